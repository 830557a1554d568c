import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError, writeFileAtomic } from '../../core/index.ts';
import { type GgufHeader, type GgufKey, ggufNumber } from '../gguf/index.ts';
import type { Family } from './families/index.ts';

/** How GGUF counts the ways from hidden rows to one vector, and what sentence-transformers calls them. */
const MODES = [
  [1, 'pooling_mode_mean_tokens'],
  [2, 'pooling_mode_cls_token'],
  [3, 'pooling_mode_lasttoken'],
] as const;

/** `pooling_type` of an embedding model, from its 1_Pooling/config.json. Throws `convert_config_key` for a way that GGUF does not have. */
export async function poolingKeys(directory: string, { architecture, rotates }: Family): Promise<GgufKey[]> {
  const text = rotates ? null : await readFile(join(directory, '1_Pooling', 'config.json'), 'utf8').catch(() => null);
  if (text === null) return [];
  const config = JSON.parse(text) as Record<string, unknown>;
  const on = Object.keys(config).filter((key) => key.startsWith('pooling_mode_') && config[key] === true);
  const found = MODES.find(([, name]) => on.length === 1 && on[0] === name);
  if (found === undefined)
    throw new HearthError('convert_config_key', `1_Pooling/config.json asks for ${on.join(' and ') || 'no pooling'}, which GGUF cannot hold.`);
  return [{ key: `${architecture}.pooling_type`, type: 'u32', value: found[0] }];
}

/** Writes 1_Pooling/config.json for the `pooling_type` of a header; nothing where it has none. */
export async function writePooling(header: GgufHeader, { architecture }: Family, directory: string): Promise<void> {
  const type = ggufNumber(header, `${architecture}.pooling_type`);
  const found = MODES.find(([number]) => number === type);
  if (type === undefined || type === 0) return;
  if (found === undefined) throw new HearthError('convert_config_key', `${architecture}.pooling_type is ${type}, which hearth does not know.`);
  await mkdir(join(directory, '1_Pooling'));
  const config = Object.fromEntries(MODES.map(([number, name]) => [name, number === type]));
  const text = JSON.stringify({ word_embedding_dimension: ggufNumber(header, `${architecture}.embedding_length`), ...config }, null, 2);
  await writeFileAtomic(join(directory, '1_Pooling', 'config.json'), `${text}\n`, 0o644);
}
