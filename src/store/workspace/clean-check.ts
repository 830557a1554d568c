import { isObject } from '../health/json-value.ts';
import { computeContentHash, entryHash, walkWorkspace } from './content-hash.ts';
import { DEFAULT_EXCLUDES } from './exclude-patterns.ts';
import { isManaged, readSentinel, type Sentinel, writeSentinel } from './sentinel.ts';

interface IndexEntry {
  readonly path: string;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly sha: string;
}

/**
 * Whether a workspace is as its sentinel pinned it; null: not known (unmanaged, another hash version, an index that is not safe to follow,
 * a link that leaves the workspace). Changed times of unchanged files are written back silently.
 */
export async function checkClean(directory: string, sentinel: Sentinel | null): Promise<boolean | null> {
  if (!isManaged(sentinel) || sentinel['hash_algorithm'] !== 'v2' || typeof sentinel['content_hash'] !== 'string') return null;
  const index = readIndex(sentinel['file_index']);
  if (index === null) return null;
  const files = await walkWorkspace(directory, patternsOf(sentinel)).catch(() => null);
  if (files === null) return null;
  if (files.length !== index.size) return false;
  const healed = new Map<string, bigint>();
  for (const file of files) {
    const known = index.get(file.path);
    if (known === undefined || known.size !== file.size) return false;
    if (known.mtimeNs === file.mtimeNs && file.linkTarget === null) continue;
    if ((await entryHash(file).catch(() => null)) !== known.sha) return false;
    if (known.mtimeNs !== file.mtimeNs) healed.set(file.path, file.mtimeNs);
  }
  if (healed.size > 0) await writeHealed(directory, healed);
  return true;
}

const patternsOf = (sentinel: Sentinel): readonly string[] => {
  const patterns = sentinel['exclude_patterns'];
  return Array.isArray(patterns) && patterns.every((pattern) => typeof pattern === 'string') ? patterns : DEFAULT_EXCLUDES;
};

/** null when an entry is not as it must be: then no file operation is made on its behalf. */
function readIndex(value: unknown): Map<string, IndexEntry> | null {
  if (!Array.isArray(value)) return null;
  const index = new Map<string, IndexEntry>();
  for (const entry of value) {
    if (!isObject(entry)) return null;
    const { path, size, mtime_ns: mtimeNs, sha } = entry;
    if (!isSafePath(path) || typeof size !== 'number' || typeof mtimeNs !== 'bigint' || typeof sha !== 'string') return null;
    index.set(path, { path, size, mtimeNs, sha });
  }
  return index;
}

const isSafePath = (path: unknown): path is string =>
  typeof path === 'string' && path !== '' && !/[\0\\]|^\/|^[A-Za-z]:/.test(path) && !path.split('/').includes('..');

async function writeHealed(directory: string, healed: ReadonlyMap<string, bigint>): Promise<void> {
  const sentinel = await readSentinel(directory);
  if (sentinel === null || !Array.isArray(sentinel['file_index'])) return;
  const index = sentinel['file_index'].map((entry: unknown) =>
    isObject(entry) && healed.has(String(entry['path'])) ? { ...entry, mtime_ns: healed.get(String(entry['path'])) } : entry,
  );
  // A workspace that may only be read stays as it is, and is hashed again the next time.
  await writeSentinel(directory, { ...sentinel, file_index: index }).catch(() => {});
}

/** Pins the present content: hash, index and the exclude patterns, which are frozen at the first time. null: it cannot be hashed. */
export async function recalculateHash(directory: string, sentinel: Sentinel, now: Date): Promise<Sentinel | null> {
  const patterns = sentinel['hash_algorithm'] === 'v2' ? patternsOf(sentinel) : DEFAULT_EXCLUDES;
  const computed = await computeContentHash(directory, patterns);
  if (computed === null) return null;
  const next = {
    ...sentinel,
    hash_algorithm: 'v2',
    content_hash: computed.contentHash,
    hash_modified: now.toISOString().replace(/\.\d{3}Z$/, 'Z'),
    exclude_patterns: [...patterns],
    file_index: computed.index.map(({ path, size, mtimeNs, sha }) => ({ path, size, mtime_ns: mtimeNs, sha })),
  };
  await writeSentinel(directory, next);
  return next;
}
