import type { Dirent } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemError } from '../core/index.ts';
import { repositoryDirectory, repositoryName } from './names.ts';

/** The Hugging Face cache on disk (docs/spec/store.md §3). Reading never validates a name and never fails on a malformed directory. */

export interface CachedRepository {
  /** `org/name`. */
  readonly name: string;
  /** `<hub>/models--org--name`. */
  readonly directory: string;
}

export interface CachedSnapshot {
  /** Directory name below `snapshots/`, usually the commit. */
  readonly hash: string;
  readonly directory: string;
}

const HIDDEN = 'TEST-CACHE-SENTINEL';

export async function directoryEntries(path: string): Promise<Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch {
    return [];
  }
}

export async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

/** Sorted by name; a missing cache has none. */
export async function listRepositories(cacheDirectory: string): Promise<CachedRepository[]> {
  const found: CachedRepository[] = [];
  for (const entry of await cacheEntries(cacheDirectory)) {
    const name = entry.isDirectory() && !entry.name.includes(HIDDEN) ? repositoryName(entry.name) : null;
    if (name !== null) found.push({ name, directory: join(cacheDirectory, entry.name) });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A cache that is not there is empty; one that may not be read is an error. */
async function cacheEntries(cacheDirectory: string): Promise<Dirent[]> {
  try {
    return await readdir(cacheDirectory, { withFileTypes: true });
  } catch (error) {
    const said = systemError(error);
    if (said?.code === 'permission_denied') throw said;
    return [];
  }
}

export async function findRepository(cacheDirectory: string, name: string): Promise<CachedRepository | null> {
  const directory = join(cacheDirectory, repositoryDirectory(name));
  return (await isDirectory(directory)) ? { name, directory } : null;
}

export async function listSnapshots(repository: CachedRepository): Promise<CachedSnapshot[]> {
  const root = join(repository.directory, 'snapshots');
  const names = (await directoryEntries(root)).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return names.sort().map((hash) => ({ hash, directory: join(root, hash) }));
}

/** The commit that a ref names, or null. */
async function readRef(repository: CachedRepository, ref: string): Promise<string | null> {
  try {
    const commit = (await readFile(join(repository.directory, 'refs', ...ref.split('/')), 'utf8')).trim();
    return /^[\w.-]{1,128}$/.test(commit) ? commit : null;
  } catch {
    return null;
  }
}

/** Every ref below `refs/` with the commit that it names. */
export async function listRefs(repository: CachedRepository): Promise<{ readonly ref: string; readonly commit: string }[]> {
  const found: { ref: string; commit: string }[] = [];
  const walk = async (prefix: readonly string[]): Promise<void> => {
    for (const entry of await directoryEntries(join(repository.directory, 'refs', ...prefix))) {
      const path = [...prefix, entry.name];
      if (entry.isDirectory()) await walk(path);
      else {
        const commit = await readRef(repository, path.join('/'));
        if (commit !== null) found.push({ ref: path.join('/'), commit });
      }
    }
  };
  await walk([]);
  return found;
}

/** Without a revision: what `refs/main` names if it is here, else the newest by mtime (ties by name). */
export async function chooseSnapshot(repository: CachedRepository): Promise<CachedSnapshot | null> {
  const snapshots = await listSnapshots(repository);
  const main = await readRef(repository, 'main');
  const named = snapshots.find((snapshot) => snapshot.hash === main);
  if (named !== undefined) return named;
  let newest: { snapshot: CachedSnapshot; mtimeMs: number } | null = null;
  for (const snapshot of snapshots) {
    const { mtimeMs } = await stat(snapshot.directory);
    if (newest === null || mtimeMs > newest.mtimeMs) newest = { snapshot, mtimeMs };
  }
  return newest?.snapshot ?? null;
}

/** Snapshots that a revision picks: the one of the ref with that name, else those whose hash starts with it. */
export async function snapshotsAt(repository: CachedRepository, revision: string): Promise<CachedSnapshot[]> {
  const snapshots = await listSnapshots(repository);
  const commit = await readRef(repository, revision);
  const named = snapshots.filter((snapshot) => snapshot.hash === commit);
  return named.length > 0 ? named : snapshots.filter((snapshot) => snapshot.hash.startsWith(revision));
}
