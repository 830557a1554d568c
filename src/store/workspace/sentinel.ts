import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../core/index.ts';
import { isObject } from '../health/json-value.ts';

/** The file that marks a managed workspace; shared with other tools, so unknown keys are kept (docs/spec/store.md §8). */
export const SENTINEL_FILE = '.mlxk_workspace.json';

/** `mtime_ns` of `file_index` is a bigint here: it exceeds 2^53. */
export type Sentinel = Readonly<Record<string, unknown>>;

const MAX_BYTES = 64 * 1024 * 1024;

type Reviver = (this: unknown, key: string, value: unknown, context: { readonly source?: string }) => unknown;
// In the language since ES2026; the compiler's library does not know them yet.
const parseWithSource = JSON.parse as (text: string, reviver: Reviver) => unknown;
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/** null when there is none, or one that is no JSON object. A link is not followed. */
export async function readSentinel(directory: string): Promise<Sentinel | null> {
  const path = join(directory, SENTINEL_FILE);
  try {
    const info = await lstat(path);
    if (!info.isFile() || info.size > MAX_BYTES) return null;
    const value = parseWithSource(await readFile(path, 'utf8'), (key, number, { source }) =>
      key === 'mtime_ns' && source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : number,
    );
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** Two spaces, a final newline; the old file or the new one is there at any time. */
export async function writeSentinel(directory: string, sentinel: Sentinel): Promise<void> {
  const text = JSON.stringify(sentinel, (_, value: unknown) => (typeof value === 'bigint' ? rawJson(String(value)) : value), 2);
  await writeFileAtomic(join(directory, SENTINEL_FILE), `${text}\n`, 0o644);
}

/** The sentinel as plain JSON values, for output. */
export const plainSentinel = (sentinel: Sentinel): Record<string, unknown> =>
  JSON.parse(JSON.stringify(sentinel, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value))) as Record<string, unknown>;

export const isManaged = (sentinel: Sentinel | null): sentinel is Sentinel => sentinel?.['managed'] === true;
