import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { HearthError } from '../../../core/index.ts';
import { POOLING_FILE } from '../../model-text/pooling-file.ts';
import type { Pooling } from './readings.ts';

/** Files of sentence-transformers: 1_Pooling/config.json, and the texts put in front of an input. */
const poolingFile = z.looseObject({
  pooling_mode_cls_token: z.boolean().optional(),
  pooling_mode_mean_tokens: z.boolean().optional(),
  pooling_mode_lasttoken: z.boolean().optional(),
  pooling_mode_max_tokens: z.boolean().optional(),
  pooling_mode_mean_sqrt_len_tokens: z.boolean().optional(),
  pooling_mode_weightedmean_tokens: z.boolean().optional(),
});
const promptsFile = z.looseObject({ prompts: z.record(z.string(), z.string().nullable()).optional() });

export interface EmbeddingFiles {
  readonly pooling: Pooling;
  /** Whether the files say so, or the kind of model does. */
  readonly declared: boolean;
  /** Text in front of a query or a document, by its name. */
  readonly prompts: Readonly<Record<string, string>>;
}

/** Pooling as the model's files say, else the first token's row for encoders and the last one's for decoders. Throws not_implemented for others. */
export async function readEmbeddingFiles(directory: string, encoder: boolean): Promise<EmbeddingFiles> {
  const pooling = poolingFile.safeParse(await json(join(directory, POOLING_FILE)));
  const prompts = promptsFile.safeParse(await json(join(directory, 'config_sentence_transformers.json')));
  const texts = Object.entries(prompts.success ? (prompts.data.prompts ?? {}) : {}).filter((entry): entry is [string, string] => entry[1] !== null);
  return {
    pooling: pooling.success ? poolingOf(pooling.data) : encoder ? 'cls' : 'last',
    declared: pooling.success,
    prompts: Object.fromEntries(texts),
  };
}

function poolingOf(file: z.infer<typeof poolingFile>): Pooling {
  const on = Object.entries(file).filter(([key, value]) => key.startsWith('pooling_mode_') && value === true);
  const known: Readonly<Record<string, Pooling>> = { pooling_mode_cls_token: 'cls', pooling_mode_mean_tokens: 'mean', pooling_mode_lasttoken: 'last' };
  const pooling = on.length === 1 ? known[on[0]![0]] : undefined;
  if (pooling !== undefined) return pooling;
  throw new HearthError('not_implemented', `The model pools by ${on.map(([key]) => key).join(' and ') || 'no mode at all'}, which ember cannot do yet.`);
}

async function json(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return undefined;
  }
}
