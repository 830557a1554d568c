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
  quantize: z
    .union([z.literal(4), z.literal(8)])
    .optional()
    .describe('Bits that plain weights are quantised to before the load'),
  kvType: z.enum(['bf16', 'f32', 'int8']).optional().describe('Form of the cells of the KV cache'),
  residentAdapters: z.int().min(0).max(256).optional().describe('Adapters held beside the base at a time'),
  batchTokens: z.int().min(64).max(512).optional().describe('Largest number of tokens in one step'),
  promptLookup: z.boolean().optional().describe('Guess the next tokens from what followed the same ones earlier, and check the guesses in one step'),
  draftModel: z.string().min(1).optional().describe('View directory of a smaller model of the same vocabulary that guesses the next tokens'),
});

export type EmberEngineOptions = z.infer<typeof emberOptions>;
