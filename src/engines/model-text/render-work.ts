import { fileURLToPath } from 'node:url';
import type { ChatMessage, ToolDefinition } from '../../contract/index.ts';
import { type HelperJob, programUrl } from '../../core/index.ts';
import type { ChatRendererOptions } from '../text/index.ts';

/** A conversation and the template that it is written by. */
export interface RenderWork {
  readonly renderer: ChatRendererOptions & { readonly specialTokens: readonly string[] };
  readonly messages: readonly ChatMessage[];
  readonly templateArguments: Readonly<Record<string, unknown>>;
  readonly tools: readonly ToolDefinition[];
}

/**
 * Renders in a helper process: the template is the model's, and a thread of the daemon would bound its time only (docs/spec/security.md §5). The
 * renderer keeps the template's clock of one second; a process that does not end is killed after two.
 */
export const renderJob = (work: RenderWork): HelperJob => ({
  program: fileURLToPath(programUrl(import.meta.url, './render-program')),
  packages: ['zod', '@huggingface/jinja', '@huggingface/tokenizers'],
  input: work,
  limits: { wallMs: 2_000, outputCharacters: 32 * 1024 * 1024, memoryBytes: 256 * 1024 * 1024 },
  overLimit: { code: 'template_limit', subject: 'The chat template of this model' },
});
