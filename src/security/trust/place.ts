import { realpath } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import type { AdmitRequest, SourceKind } from './types.ts';

export interface TrustPlaces {
  /** The hub directory that holds `models--*`. */
  readonly cacheDirectory: string;
  readonly workspaceHome: string | null;
  /** `<home>/adapters`, whose directories belong to their editor as those of the workspace home do. */
  readonly adaptersDirectory?: string;
}

/** Where a model comes from, told by where it lies and by nothing that a caller says. */
export interface Place {
  readonly kind: SourceKind;
  /** What rules, keys and pins name it by: the repository; of a workspace its basename; of a path the path itself. */
  readonly name: string;
  /** The id that a signer vouches for; null: a path may have any. */
  readonly modelId: string | null;
  /** Commit of a snapshot. */
  readonly revision: string | null;
  readonly directory: string;
  /** Of its state: one content is known under it. */
  readonly key: string;
  /** Links of a snapshot may end in one of these. */
  readonly blobs: readonly string[];
}

/** Throws ENOENT when the directory is gone. */
export async function placeOf(places: TrustPlaces, { directory, only }: AdmitRequest): Promise<Place> {
  const real = await realpath(directory);
  const cache = await realpath(places.cacheDirectory).catch(() => null);
  const repository = dirname(dirname(real));
  if (cache !== null && basename(dirname(real)) === 'snapshots' && dirname(repository) === cache && basename(repository).startsWith('models--')) {
    const name = basename(repository).slice('models--'.length).replaceAll('--', '/');
    const blobs = [join(repository, 'blobs'), join(cache, 'blobs')];
    return { kind: 'hub', name, modelId: name, revision: basename(real), directory: real, key: `hub:${name}`, blobs };
  }
  const homes = [places.workspaceHome, places.adaptersDirectory ?? null].filter((home) => home !== null);
  const edited = (await Promise.all(homes.map((home) => realpath(home).catch(() => null)))).some((home) => home !== null && real.startsWith(home + sep));
  const key = `path:${[real, ...(only ?? [])].join('\n')}`;
  if (edited) return { kind: 'workspace', name: basename(real), modelId: basename(real), revision: null, directory: real, key, blobs: [] };
  return { kind: 'path', name: real, modelId: null, revision: null, directory: real, key, blobs: [] };
}
