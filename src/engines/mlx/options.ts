import { z } from 'zod';
import { HearthError } from '../../core/index.ts';

/** Options of a load. Strict: anything else, such as a host, a port or a path, is refused before a process is started. */
export const mlxOptions = z.strictObject({
  contextTokens: z
    .int()
    .min(32)
    .max(2 ** 24)
    .optional()
    .describe('Tokens that all sequences together may hold, and the limit of one request'),
  parallelSequences: z.int().min(1).max(64).optional().describe('Sequences in one step'),
  residentAdapters: z.int().min(0).max(256).optional().describe('Adapters held beside the base at a time'),
});

export type MlxEngineOptions = z.infer<typeof mlxOptions>;

export const MLX_DEFAULTS = { contextTokens: 8_192, parallelSequences: 4, residentAdapters: 4 } as const;

/** Throws engine_options_invalid naming the option. */
export function parseMlxOptions(options: unknown): MlxEngineOptions {
  const result = mlxOptions.safeParse(options ?? {});
  if (result.success) return result.data;
  const names = result.error.issues.flatMap((issue) => (issue.code === 'unrecognized_keys' ? issue.keys : [issue.path.join('.') || 'options']));
  throw new HearthError('engine_options_invalid', `The engine mlx was given options that it does not take: ${names.join(', ')}.`, {
    details: { options: names },
  });
}
