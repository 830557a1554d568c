import { randomBytes } from 'node:crypto';
import { lstat, readlink, rm as remove, rename, rmdir } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import type { RmData } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import { type LockFileState, lockFileState } from './blob-lock.ts';
import { type CachedRepository, type CachedSnapshot, chooseSnapshot, directoryEntries, isDirectory, listRefs, listSnapshots } from './cache-layout.ts';
import { toStoreError } from './file-errors.ts';
import { type LocatedCache, locate } from './locate.ts';
import { forgetManifest } from './manifest.ts';
import { repositoryDirectory } from './names.ts';
import type { StoreOptions } from './options.ts';
import { sharedBlobs, sweepSharedBlobs } from './shared-blobs.ts';
import { storeLockPath, tryStoreLock } from './store-lock.ts';

export interface RmParameters {
  readonly reference: string;
  /** Delete although the name was not typed in full, or locks are there. */
  readonly force?: boolean;
  /** Remove only what nothing names: snapshots without a ref, blobs without a link, partial downloads. */
  readonly prune?: boolean;
  /** Whether an engine holds this snapshot of the model now; the hash is null for a model without one. */
  readonly isLoaded?: (name: string, hash: string | null) => boolean;
  readonly signal?: AbortSignal;
}

/**
 * Deletes a model of the cache, or one revision of it (docs/spec/store.md §7); never a workspace.
 * Errors: workspace_model, cache_not_found, model_not_found, ambiguous_match, hash_not_found, requires_confirmation, locks_present, deletion_failed.
 */
export async function rm(options: StoreOptions, parameters: RmParameters): Promise<RmData> {
  const located = await locateForDeletion(options, parameters.reference);
  const base: RmData = {
    action: 'unknown',
    model: located.name,
    requires_confirmation: false,
    lock_files_cleaned: 0,
    locks_detected: false,
    lock_files: [],
    commit_hash: null,
    freed_bytes: 0,
  };
  const refuse = (code: 'requires_confirmation' | 'locks_present', message: string, data: Partial<RmData>): HearthError =>
    new HearthError(code, message, { details: { data: { ...base, ...data, message } } });
  if (!located.exact && parameters.force !== true) {
    throw refuse('requires_confirmation', `"${parameters.reference}" means ${located.name}. Type the full name, or use --force. Nothing was deleted.`, {
      action: 'requires_confirmation',
      requires_confirmation: true,
      matches: [located.name],
    });
  }
  const files = await lockFiles(options, located.name);
  const locks = files.filter(({ state }) => state !== 'free').map(({ path }) => path);
  const own = await tryStoreLock(storeLockPath(options.stateDirectory, located.repository.directory));
  await using _ = Symbol.asyncDispose in own ? own : undefined;
  const writer = 'pid' in own ? own.pid : null;
  if ((locks.length > 0 || writer !== null) && parameters.force !== true) {
    throw refuse('locks_present', lockMessage(located.name, writer, files), { locks_detected: true, lock_files: locks });
  }
  if (parameters.force !== true && parameters.isLoaded?.(located.name, located.snapshot?.hash ?? null) === true) {
    throw refuse('locks_present', `${located.name} is loaded at this moment. Unload it first, or use --force. Nothing was deleted.`, { locks_detected: true });
  }
  checkDeletable(options, located.repository.directory);
  try {
    const found = { lock_files: locks, locks_detected: locks.length > 0 || writer !== null };
    if (parameters.prune === true) return { ...base, ...(await prune(options, located.repository)), ...found };
    const freed = located.revision === null ? await deleteDirectory(options, located.repository.directory) : await deleteSnapshot(options, located);
    for (const { path } of files) await remove(join(options.cacheDirectory, path), { force: true });
    await rmdir(join(options.cacheDirectory, '.locks', repositoryDirectory(located.name))).catch(() => {});
    await forgetManifest(options, located.name, located.revision === null ? null : (located.snapshot?.hash ?? null));
    return {
      ...base,
      action: 'deleted',
      message: `${located.name}${located.revision === null ? '' : `@${located.snapshot?.hash.slice(0, 8)}`} was deleted.`,
      commit_hash: located.revision === null ? null : (located.snapshot?.hash ?? null),
      ...found,
      lock_files_cleaned: files.length,
      freed_bytes: freed,
    };
  } catch (error) {
    throw toStoreError(error, 'deletion_failed');
  }
}

async function locateForDeletion(options: StoreOptions, reference: string): Promise<LocatedCache> {
  const workspace = await locate({ ...options, cacheDirectory: join(options.stateDirectory, 'no-cache') }, reference).catch((error: unknown) => {
    if (error instanceof HearthError && error.code === 'model_not_found' && !/^(\.|~|\/)/.test(reference)) return null;
    throw error;
  });
  if (workspace !== null) {
    throw new HearthError(
      'workspace_model',
      `${workspace.name} is your own directory, which hearth does not delete. Do it yourself: rm -rf '${workspace.name.replaceAll("'", "'\\''")}'`,
    );
  }
  if (!(await isDirectory(options.cacheDirectory))) throw new HearthError('cache_not_found', `There is no model cache at ${options.cacheDirectory}.`);
  const located = await locate({ ...options, workspaceHome: null }, reference);
  if (located.kind !== 'cache') throw new HearthError('internal_error', 'A name resolved to a path.');
  return located;
}

interface FoundLock {
  /** Relative to the cache, as other tools print it. */
  readonly path: string;
  readonly state: LockFileState;
}

async function lockFiles(options: StoreOptions, name: string): Promise<FoundLock[]> {
  const directory = join('.locks', repositoryDirectory(name));
  const found: FoundLock[] = [];
  for (const entry of await directoryEntries(join(options.cacheDirectory, directory))) {
    if (entry.name.endsWith('.lock'))
      found.push({ path: join(directory, entry.name), state: await lockFileState(join(options.cacheDirectory, directory, entry.name)) });
  }
  return found;
}

function lockMessage(name: string, writer: number | null, files: readonly FoundLock[]): string {
  if (writer !== null) return `Process ${writer} is fetching or deleting ${name} at this moment. Nothing was deleted.`;
  const held = files.filter(({ state }) => state === 'held').length;
  if (held > 0) return `Another program is writing ${name} at this moment (${held} of its lock files are held). Nothing was deleted.`;
  return `${name} has ${files.length} lock files that nobody holds now; a download has left them behind. --force deletes them with the model.`;
}

/** Only a direct child `models--*` of the hub directory, and in test runs only a directory that is a test's. */
function checkDeletable(options: StoreOptions, directory: string): void {
  if (dirname(directory) !== options.cacheDirectory.replace(/\/+$/, '')) throw new HearthError('deletion_failed', `${directory} is not a model of the cache.`);
  if (options.strictTestDelete === true && !/hearth_test_|mlxk2_test_/.test(options.cacheDirectory)) {
    throw new HearthError('deletion_failed', 'HEARTH_STRICT_TEST_DELETE is set and this is not a cache of a test; nothing was deleted.');
  }
}

/** Out of sight first, so that no reader sees half a model. Gives the bytes freed. */
async function deleteDirectory(options: StoreOptions, directory: string): Promise<number> {
  if (!(await lstat(directory)).isDirectory()) throw new HearthError('deletion_failed', `${directory} is a link or a file; nothing was deleted.`);
  const shared = await sharedBlobs(options.cacheDirectory, directory);
  const bytes = await sizeOfTree(directory);
  await moveAway(options, directory);
  return bytes + (await sweepSharedBlobs(options, shared));
}

async function deleteSnapshot(options: StoreOptions, located: LocatedCache): Promise<number> {
  const snapshot = located.snapshot;
  if (snapshot === null) throw new HearthError('hash_not_found', `${located.name} has no snapshot.`);
  const others = (await listSnapshots(located.repository)).filter((candidate) => candidate.hash !== snapshot.hash);
  if (others.length === 0) return deleteDirectory(options, located.repository.directory);
  const own = await blobsOf(snapshot);
  for (const { ref, commit } of await listRefs(located.repository)) {
    if (commit === snapshot.hash) await remove(join(located.repository.directory, 'refs', ...ref.split('/')), { force: true });
  }
  await moveAway(options, snapshot.directory);
  return deleteUnlinked(options, located.repository, (blob) => own.includes(blob));
}

async function prune(options: StoreOptions, repository: CachedRepository): Promise<Partial<RmData>> {
  const named = new Set((await listRefs(repository)).map(({ commit }) => commit));
  const snapshots = await listSnapshots(repository);
  // Without any ref nothing says which snapshot is wanted: the default one stays.
  if (named.size === 0) named.add((await chooseSnapshot(repository))?.hash ?? '');
  const unnamed = snapshots.filter((snapshot) => !named.has(snapshot.hash));
  for (const snapshot of unnamed) await moveAway(options, snapshot.directory);
  const freed = await deleteUnlinked(options, repository, () => true);
  return { action: 'deleted', message: `${repository.name}: ${unnamed.length} old revisions and ${freed} bytes were removed.`, freed_bytes: freed };
}

async function moveAway(options: StoreOptions, directory: string): Promise<void> {
  const trash = join(options.cacheDirectory, `.trash-${randomBytes(8).toString('hex')}`);
  await rename(directory, trash);
  await remove(trash, { recursive: true, force: true });
}

/** Removes the chosen files of `blobs/` that no snapshot links. Gives the bytes freed. */
async function deleteUnlinked(options: StoreOptions, repository: CachedRepository, chosen: (blob: string) => boolean): Promise<number> {
  const linked = new Set<string>();
  for (const snapshot of await listSnapshots(repository)) for (const blob of await blobsOf(snapshot)) linked.add(blob);
  const shared = await sharedBlobs(options.cacheDirectory, repository.directory);
  let bytes = 0;
  for (const { name } of await directoryEntries(join(repository.directory, 'blobs'))) {
    if (linked.has(name) || !chosen(name)) continue;
    const path = join(repository.directory, 'blobs', name);
    const info = await lstat(path);
    if (info.isFile()) bytes += info.size;
    await remove(path, { force: true });
  }
  return bytes + (await sweepSharedBlobs(options, shared));
}

/** Names of the blobs that a snapshot's links point to. */
async function blobsOf(snapshot: CachedSnapshot): Promise<string[]> {
  const found: string[] = [];
  const walk = async (directory: string): Promise<void> => {
    for (const entry of await directoryEntries(directory)) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) await walk(path);
      else if (entry.isSymbolicLink()) {
        const parts = (await readlink(path)).split(sep);
        const blob = parts.at(-1);
        if (parts.at(-2) === 'blobs' && blob !== undefined) found.push(blob);
      }
    }
  };
  await walk(snapshot.directory);
  return found;
}

/** Bytes of regular files; links are not followed. */
async function sizeOfTree(directory: string): Promise<number> {
  let bytes = 0;
  for (const entry of await directoryEntries(directory)) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) bytes += await sizeOfTree(path);
    else if (entry.isFile()) bytes += (await lstat(path)).size;
  }
  return bytes;
}
