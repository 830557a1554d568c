import { HearthError, isHearthError, serveHelper, withTimeLimit } from '../../core/index.ts';
import { type CompiledTemplate, compileTemplate, unknownNames } from '../../formats/index.ts';
import { TEMPLATE_LIMITS, TEMPLATE_MS, type TemplateVerdict } from './template-job.ts';

/** Every template can render these, or says that it wants its own roles; then the first question alone is tried. */
const CONVERSATION = [
  { role: 'user', content: 'What is the capital of France?' },
  { role: 'assistant', content: 'Paris.' },
  { role: 'user', content: 'And of Italy?' },
];

/** The program of the helper that reads and tries the templates of models that are about to enter. */
serveHelper((input): TemplateVerdict => {
  const { template } = input as { readonly template: string };
  return withTimeLimit(() => verdict(template), TEMPLATE_MS, { code: 'template_limit', subject: 'The chat template of this model' });
});

function verdict(source: string): TemplateVerdict {
  let compiled: CompiledTemplate;
  let unknown: readonly string[];
  try {
    compiled = compileTemplate(source);
    unknown = unknownNames(source);
  } catch (error) {
    return { problem: problemOf('template_syntax', error), unknown: [] };
  }
  try {
    try {
      render(compiled, CONVERSATION);
    } catch (error) {
      if (isHearthError(error)) throw error;
      render(compiled, CONVERSATION.slice(0, 1));
    }
    return { problem: null, unknown };
  } catch (error) {
    return { problem: problemOf('template_render', error), unknown };
  }
}

function render(compiled: CompiledTemplate, messages: readonly object[]): void {
  const { length } = compiled.render({ messages, add_generation_prompt: true, bos_token: '<s>', eos_token: '</s>' });
  if (length > TEMPLATE_LIMITS.outputCharacters) throw new HearthError('template_limit', 'The chat template of this model made a prompt of more than 4 MiB.');
}

function problemOf(code: 'template_syntax' | 'template_render', error: unknown): NonNullable<TemplateVerdict['problem']> {
  if (isHearthError(error)) throw error;
  return { code, message: (error as Error).message.slice(0, 500) };
}
