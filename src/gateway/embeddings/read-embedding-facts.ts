import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelFacts } from '../../core/index.ts';
import type { EmbeddingFacts } from './embedding-rules.ts';

const MAX_BYTES = 1024 * 1024;

/** What the files beside the weights say of pooling and prefixes; absent or unreadable ones say nothing. */
export async function readEmbeddingFacts({ directory, config, architecture }: ModelFacts): Promise<EmbeddingFacts> {
  const [pooling, sentence] = await Promise.all([
    readObject(join(directory, '1_Pooling', 'config.json')),
    readObject(join(directory, 'config_sentence_transformers.json')),
  ]);
  const prompts = typeof sentence?.['prompts'] === 'object' && sentence['prompts'] !== null ? Object.entries(sentence['prompts']) : [];
  return {
    declaresPooling: pooling !== null || Object.keys(config).some((key) => key.endsWith('.pooling_type')),
    prompts: Object.fromEntries(prompts.filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
    architecture,
  };
}

async function readObject(path: string): Promise<Record<string, unknown> | null> {
  try {
    if ((await stat(path)).size > MAX_BYTES) return null;
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
