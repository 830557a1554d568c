import { join } from 'node:path';
import { isHearthError } from '../core/index.ts';
import { fileKind } from '../security/index.ts';
import { findRepository } from './cache-layout.ts';
import type { CloneRequest } from './clone.ts';
import { type Judgement, judge } from './judge.ts';
import { type LocatedCache, locate } from './locate.ts';
import type { StoreOptions } from './options.ts';
import { pull } from './pull.ts';
import { holdsAnything, markComplete, openWorkArea, readComplete, removeWorkArea } from './workspace/work-area.ts';

/** The files that a clone is made of. */
export interface CloneSource {
  /** `org/name`. */
  readonly name: string;
  readonly commit: string;
  readonly files: readonly { readonly from: string; readonly path: string; readonly sizeBytes: number }[];
  /** They are our own download, and may be moved. */
  readonly temporary: boolean;
}

const spec = (name: string, { variant, revision }: CloneRequest): string =>
  `${name}${variant === null ? '' : `:${variant}`}${revision === null ? '' : `@${revision}`}`;

/** What the cache has: whole, or, where no hub may be asked, whatever it is. null: the hub is to be asked. */
export async function cachedSource(options: StoreOptions, request: CloneRequest): Promise<CloneSource | null> {
  if (request.parameters.fromHub === true) return null;
  for (const name of [request.name, ...(request.parameters.cacheNames ?? [])]) {
    const located = await locateCached(options, spec(name, request));
    if (located === null || located.snapshot === null) continue;
    const judgement = await judge(options, located);
    if (judgement.health.healthy || options.hub.offline) return sourceOf(judgement, located.name, located.snapshot.hash, false);
  }
  return null;
}

/** Workspaces are not looked at: clone takes what came from the hub. */
async function locateCached(options: StoreOptions, reference: string): Promise<LocatedCache | null> {
  try {
    const located = await locate({ ...options, workspaceHome: null }, reference);
    return located.kind === 'cache' ? located : null;
  } catch (error) {
    if (isHearthError(error) && (error.code === 'model_not_found' || error.code === 'hash_not_found')) return null;
    throw error;
  }
}

const sourceOf = ({ view }: Judgement, name: string, commit: string, temporary: boolean): CloneSource => ({
  name,
  commit,
  // Other tools fetch what hearth would have skipped.
  files: view.files.filter(({ path }) => fileKind(path) !== 'refused').map(({ path, realPath, sizeBytes }) => ({ from: realPath, path, sizeBytes })),
  temporary,
});

/**
 * Downloads into the work area, which is laid out as a cache is, or takes the complete download of an earlier try. One that is complete and
 * not healthy is fetched anew unless `forceResume` is set. Errors: those of `pull`.
 */
export async function downloadedSource(given: StoreOptions, request: CloneRequest, workArea: string): Promise<CloneSource> {
  const options = { ...given, cacheDirectory: join(workArea, 'hub') };
  const { parameters, signal } = request;
  const earlier = await readComplete(workArea);
  if (earlier !== null) {
    const source = await downloaded(options, request, earlier);
    if (source !== null && (source.healthy || parameters.forceResume === true)) return source;
    await removeWorkArea(workArea);
    await openWorkArea(workArea);
  } else if (await holdsAnything(workArea)) parameters.onNotice?.('An earlier download goes on.');
  const pulled = await pull(options, {
    reference: spec(request.name, request),
    // What is there is of an earlier try of the same command, so that nobody has to be asked.
    forceResume: true,
    ...(parameters.secondSource === undefined ? {} : { secondSource: parameters.secondSource }),
    onProgress: ({ doneBytes, totalBytes }) => parameters.onProgress?.({ step: 'download', doneBytes, totalBytes }),
    ...(parameters.onNotice === undefined ? {} : { onNotice: parameters.onNotice }),
    signal,
  });
  const complete = { name: pulled.model ?? request.name, commit: pulled.commit_hash ?? '' };
  await markComplete(workArea, complete);
  return (await downloaded(options, request, complete))!;
}

async function downloaded(
  options: StoreOptions,
  request: CloneRequest,
  { name, commit }: { readonly name: string; readonly commit: string },
): Promise<(CloneSource & { readonly healthy: boolean }) | null> {
  const repository = await findRepository(options.cacheDirectory, name);
  if (repository === null) return null;
  const snapshot = { hash: commit, directory: join(repository.directory, 'snapshots', commit) };
  const judgement = await judge(options, { kind: 'cache', name, repository, snapshot, variant: request.variant, revision: commit, exact: true });
  if (judgement.view.files.length === 0) return null;
  return { ...sourceOf(judgement, name, commit, true), healthy: judgement.health.healthy };
}
