import { fileURLToPath } from 'node:url';
import { type HelperJob, programUrl } from '../../core/index.ts';

/** What the helper says of a template. */
export interface TemplateVerdict {
  /** Why it cannot be used; null when it renders. */
  readonly problem: { readonly code: 'template_syntax' | 'template_render'; readonly message: string } | null;
  /** Names that the interpreter does not know. */
  readonly unknown: readonly string[];
}

/** The template's own clock (docs/spec/security.md §5): the helper keeps it. */
export const TEMPLATE_MS = 1_000;
/** The process that does not keep it is killed. */
export const TEMPLATE_LIMITS = { wallMs: 2 * TEMPLATE_MS, outputCharacters: 4 * 1024 * 1024, memoryBytes: 256 * 1024 * 1024 } as const;

/** The job that reads and tries one template in a helper process. */
export const templateJob = (template: string): HelperJob => ({
  program: fileURLToPath(programUrl(import.meta.url, './template-program')),
  packages: ['zod', '@huggingface/jinja', '@huggingface/tokenizers'],
  input: { template },
  limits: TEMPLATE_LIMITS,
  overLimit: { code: 'template_limit', subject: 'The chat template of this model' },
});
