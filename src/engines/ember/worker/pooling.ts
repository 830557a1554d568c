import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError, isJsonObject } from '../../../core/index.ts';
import { POOLING_FILE } from '../../model-text/pooling-file.ts';
import type { Pooling } from './readings.ts';

export interface EmbeddingFiles {
  readonly pooling: Pooling;
  /** Whether the files say so, or the kind of model does. */
  readonly declared: boolean;
  /** Text in front of a query or a document, by its name. */
  readonly prompts: Readonly<Record<string, string>>;
}

/**
 * Pooling as the model's files say, else the first token's row for encoders and the last one's for decoders. Files of sentence-transformers:
 * 1_Pooling/config.json, and the texts put in front of an input. Throws not_implemented for other poolings.
 */
export async function readEmbeddingFiles(directory: string, encoder: boolean): Promise<EmbeddingFiles> {
  const file = await json(join(directory, POOLING_FILE));
  const pooling =
    file === undefined || Object.entries(file).some(([key, value]) => key.startsWith('pooling_mode_') && typeof value !== 'boolean') ? undefined : file;
  const prompts = (await json(join(directory, 'config_sentence_transformers.json')))?.['prompts'];
  const texts = Object.entries(isJsonObject(prompts) ? prompts : {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return {
    pooling: pooling !== undefined ? poolingOf(pooling) : encoder ? 'cls' : 'last',
    declared: pooling !== undefined,
    prompts: Object.fromEntries(texts),
  };
}

function poolingOf(file: Readonly<Record<string, unknown>>): Pooling {
  const on = Object.entries(file).filter(([key, value]) => key.startsWith('pooling_mode_') && value === true);
  const known: Readonly<Record<string, Pooling>> = { pooling_mode_cls_token: 'cls', pooling_mode_mean_tokens: 'mean', pooling_mode_lasttoken: 'last' };
  const pooling = on.length === 1 ? known[on[0]![0]] : undefined;
  if (pooling !== undefined) return pooling;
  throw new HearthError('not_implemented', `The model pools by ${on.map(([key]) => key).join(' and ') || 'no mode at all'}, which ember cannot do yet.`);
}

async function json(path: string): Promise<Record<string, unknown> | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
