import { constants } from 'node:fs';
import { lstat, open, readFile, readlink, unlink } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { acquireBlobLock } from './blob-lock.ts';
import { directoryEntries } from './cache-layout.ts';
import type { StoreOptions } from './options.ts';

/**
 * The store of the shared cache that huggingface_hub 2 keeps beside the models: `<hub>/blobs/<2 hex>/<64 hex>`, marked by a file.
 * A blob of a model may be a link into it; `<64 hex>.refs` beside the content lists the models' blobs that link to it.
 */
const MARKER = '.huggingface-shared-blobs';
const VERSION = '1\n';

/** Whether a real path is the content of a shared blob of this cache. */
export function isSharedBlob(cacheDirectory: string, path: string): boolean {
  const [prefix = '', hash = '', ...rest] = relative(join(cacheDirectory, 'blobs'), path).split(sep);
  return rest.length === 0 && /^[0-9a-f]{64}$/.test(hash) && hash.startsWith(prefix) && prefix.length === 2;
}

async function isMarked(cacheDirectory: string): Promise<boolean> {
  try {
    const path = join(cacheDirectory, 'blobs', MARKER);
    return (await lstat(path)).isFile() && (await readFile(path, 'utf8')) === VERSION;
  } catch {
    return false;
  }
}

/** The shared blobs that the `blobs/` of a model link to. */
export async function sharedBlobs(cacheDirectory: string, modelDirectory: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await directoryEntries(join(modelDirectory, 'blobs'))) {
    if (!entry.isSymbolicLink()) continue;
    const target = await sharedTarget(cacheDirectory, join(modelDirectory, 'blobs', entry.name));
    if (target !== null) found.push(target);
  }
  return found.length > 0 && (await isMarked(cacheDirectory)) ? found : [];
}

async function sharedTarget(cacheDirectory: string, link: string): Promise<string | null> {
  try {
    const target = resolve(dirname(link), await readlink(link));
    return isSharedBlob(cacheDirectory, target) && (await lstat(target)).isFile() ? target : null;
  } catch {
    return null;
  }
}

/** Removes the shared blobs that no model links to any more; one whose list of models is missing or unreadable stays. Gives the bytes freed. */
export async function sweepSharedBlobs(options: Pick<StoreOptions, 'cacheDirectory' | 'sleep'>, paths: readonly string[]): Promise<number> {
  let bytes = 0;
  for (const path of paths) {
    await using _ = await acquireBlobLock(`${path}.lock`, { sleep: options.sleep, signal: new AbortController().signal });
    if (await isReferenced(options.cacheDirectory, path)) continue;
    const size = (await lstat(path).catch(() => null))?.size ?? 0;
    await unlink(path).catch(() => {});
    await unlink(`${path}.refs`).catch(() => {});
    bytes += size;
  }
  return bytes;
}

async function isReferenced(cacheDirectory: string, path: string): Promise<boolean> {
  let text: string;
  try {
    await using handle = await open(`${path}.refs`, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    text = await handle.readFile('utf8');
  } catch {
    return true;
  }
  for (const line of text.split('\n')) {
    if (!/^(models|datasets|spaces|kernels)--[^/]+\/blobs\/[^/]+$/.test(line)) continue;
    if ((await sharedTarget(cacheDirectory, join(cacheDirectory, line))) === path) return true;
  }
  return false;
}
