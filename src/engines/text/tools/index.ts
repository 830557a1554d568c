// Owns: how families of models write tool calls into their text: reading them, and the grammars that force them.
// Refuses: other text of an answer, templates; everything here is pure.
// Called by: the rest of engines/text.
export { hasToolSlot, toolFamilyOf } from './families.ts';
export { parsed } from './json-text.ts';
export type { CallGrammar, CallReading, SectionReading, ToolFamily } from './tool-family.ts';
export { parametersOf } from './tool-family.ts';
