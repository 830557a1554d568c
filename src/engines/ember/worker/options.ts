import { z } from 'zod';

/** Options of a load. Strict: anything else, such as a host, a port or a path, is refused before a process is started. */
export const emberOptions = z.strictObject({
  contextTokens: z
    .int()
    .min(32)
    .max(2 ** 24)
    .optional()
    .describe('Cells of the KV pool, and the limit of one request'),
  parallelSequences: z.int().min(1).max(64).optional().describe('Sequences in one step'),
  threads: z.int().min(1).max(256).optional().describe('Compute threads'),
  activations: z.enum(['mixed', 'int8', 'int16', 'f32']).optional().describe('Form of the activations that enter a matrix'),
  batchTokens: z.int().min(64).max(256).optional().describe('Largest number of tokens in one step'),
});

export type EmberEngineOptions = z.infer<typeof emberOptions>;

export const DEFAULTS = { contextTokens: 8_192, parallelSequences: 4, activations: 'mixed', batchTokens: 256 } as const;
