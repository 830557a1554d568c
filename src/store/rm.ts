import { randomBytes } from 'node:crypto';
import { lstat, readlink, rm as remove, rename } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import type { RmData } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import { type CachedRepository, type CachedSnapshot, chooseSnapshot, directoryEntries, isDirectory, listRefs, listSnapshots } from './cache-layout.ts';
import { toStoreError } from './file-errors.ts';
import { type LocatedCache, locate } from './locate.ts';
import { forgetManifest } from './manifest.ts';
import { repositoryDirectory } from './names.ts';
import type { StoreOptions } from './options.ts';

export interface RmParameters {
  readonly reference: string;
  /** Delete although the name was not typed in full, or locks are there. */
  readonly force?: boolean;
  /** Remove only what nothing names: snapshots without a ref, blobs without a link, partial downloads. */
  readonly prune?: boolean;
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
  const locks = await lockFiles(options, located.name);
  if (locks.length > 0 && parameters.force !== true) {
    throw refuse('locks_present', `${located.name} has ${locks.length} lock files: another program may be writing it. Use --force when none is.`, {
      locks_detected: true,
      lock_files: locks,
    });
  }
  checkDeletable(options, located.repository.directory);
  try {
    if (parameters.prune === true) return { ...base, ...(await prune(options, located.repository)), lock_files: locks, locks_detected: locks.length > 0 };
    const freed = located.revision === null ? await deleteDirectory(options, located.repository.directory) : await deleteSnapshot(options, located);
    for (const lock of locks) await remove(lock, { force: true });
    await forgetManifest(options, located.name, located.revision === null ? null : (located.snapshot?.hash ?? null));
    return {
      ...base,
      action: 'deleted',
      message: `${located.name}${located.revision === null ? '' : `@${located.snapshot?.hash.slice(0, 8)}`} was deleted.`,
      commit_hash: located.revision === null ? null : (located.snapshot?.hash ?? null),
      locks_detected: locks.length > 0,
      lock_files: locks,
      lock_files_cleaned: locks.length,
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

async function lockFiles(options: StoreOptions, name: string): Promise<string[]> {
  const directory = join(options.cacheDirectory, '.locks', repositoryDirectory(name));
  return (await directoryEntries(directory)).filter((entry) => entry.name.endsWith('.lock')).map((entry) => join(directory, entry.name));
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
  const bytes = await sizeOfTree(directory);
  await moveAway(options, directory);
  return bytes;
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
  return deleteUnlinked(located.repository, (blob) => own.includes(blob));
}

async function prune(options: StoreOptions, repository: CachedRepository): Promise<Partial<RmData>> {
  const named = new Set((await listRefs(repository)).map(({ commit }) => commit));
  const snapshots = await listSnapshots(repository);
  // Without any ref nothing says which snapshot is wanted: the default one stays.
  if (named.size === 0) named.add((await chooseSnapshot(repository))?.hash ?? '');
  const unnamed = snapshots.filter((snapshot) => !named.has(snapshot.hash));
  for (const snapshot of unnamed) await moveAway(options, snapshot.directory);
  const freed = await deleteUnlinked(repository, () => true);
  return { action: 'deleted', message: `${repository.name}: ${unnamed.length} old revisions and ${freed} bytes were removed.`, freed_bytes: freed };
}

async function moveAway(options: StoreOptions, directory: string): Promise<void> {
  const trash = join(options.cacheDirectory, `.trash-${randomBytes(8).toString('hex')}`);
  await rename(directory, trash);
  await remove(trash, { recursive: true, force: true });
}

/** Removes the chosen files of `blobs/` that no snapshot links. Gives the bytes freed. */
async function deleteUnlinked(repository: CachedRepository, chosen: (blob: string) => boolean): Promise<number> {
  const linked = new Set<string>();
  for (const snapshot of await listSnapshots(repository)) for (const blob of await blobsOf(snapshot)) linked.add(blob);
  let bytes = 0;
  for (const { name } of await directoryEntries(join(repository.directory, 'blobs'))) {
    if (linked.has(name) || !chosen(name)) continue;
    const path = join(repository.directory, 'blobs', name);
    bytes += (await lstat(path)).size;
    await remove(path, { force: true });
  }
  return bytes;
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
