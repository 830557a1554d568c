import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Sampling values that a model's authors recommend (generation_config.json of transformers). */
export interface GenerationConfig {
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
}

const MAX_BYTES = 1024 * 1024;

/** Reads the file; absent, unreadable or out-of-range values count as not given. */
export async function readGenerationConfig(directory: string): Promise<GenerationConfig> {
  const path = join(directory, 'generation_config.json');
  try {
    if ((await stat(path)).size > MAX_BYTES) return {};
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof value !== 'object' || value === null) return {};
    const fields = value as Record<string, unknown>;
    return {
      ...within(fields, 'temperature', 'temperature', (n) => n >= 0 && n <= 2),
      ...within(fields, 'top_p', 'topP', (n) => n > 0 && n <= 1),
      ...within(fields, 'top_k', 'topK', (n) => Number.isSafeInteger(n) && n >= 0),
      ...within(fields, 'min_p', 'minP', (n) => n >= 0 && n <= 1),
      ...within(fields, 'repetition_penalty', 'repetitionPenalty', (n) => n > 0 && n <= 100),
    };
  } catch {
    return {};
  }
}

function within<K extends string>(fields: Record<string, unknown>, from: string, to: K, ok: (value: number) => boolean): { readonly [P in K]?: number } {
  const value = fields[from];
  return typeof value === 'number' && ok(value) ? ({ [to]: value } as { readonly [P in K]?: number }) : {};
}
