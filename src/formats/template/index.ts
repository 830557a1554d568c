/** Chat templates: a bounded reading of the Jinja that models bring, and what in one is not known. */
export { type CompiledTemplate, compileTemplate, MAX_TEMPLATE_CHARACTERS } from './compile-template.ts';
export { unknownNames } from './unknown-names.ts';
