import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve as resolvePath } from 'node:path';
import { HearthError } from '../core/index.ts';
import {
  type CachedRepository,
  type CachedSnapshot,
  chooseSnapshot,
  directoryEntries,
  findRepository,
  isDirectory,
  listRepositories,
  listSnapshots,
  snapshotsAt,
} from './cache-layout.ts';
import { parseReference, type Reference, shortName } from './names.ts';
import type { StoreOptions } from './options.ts';
import { isInWorkArea } from './workspace/work-area.ts';

/** Where a model is. */
export type Located = LocatedWorkspace | LocatedCache;

export interface LocatedWorkspace {
  readonly kind: 'workspace';
  /** Absolute path: the name of a workspace. */
  readonly name: string;
  readonly directory: string;
  /** Set when one GGUF file was named by its path. */
  readonly file: string | null;
  readonly variant: string | null;
}

export interface LocatedCache {
  readonly kind: 'cache';
  /** `org/name`. */
  readonly name: string;
  readonly repository: CachedRepository;
  /** null: the repository holds no snapshot. */
  readonly snapshot: CachedSnapshot | null;
  readonly variant: string | null;
  /** The revision that was asked for, or null. */
  readonly revision: string | null;
  /** The name was typed in full. */
  readonly exact: boolean;
}

type Paths = Pick<StoreOptions, 'cacheDirectory' | 'workspaceHome' | 'userHome' | 'workingDirectory'>;
type NameReference = Extract<Reference, { kind: 'name' }>;

/** Finds the model of a reference in the order of docs/spec/store.md §3. Errors: invalid_name, model_not_found, ambiguous_match, hash_not_found. */
export async function locate(paths: Paths, text: string): Promise<Located> {
  const reference = parseReference(text);
  if (reference.kind === 'path') return locatePath(paths, reference.path);
  const workspace = await locateInWorkspaceHome(paths, reference);
  return workspace ?? (await locateInCache(paths, reference));
}

/** An explicit path as an absolute path. */
export function expandPath(paths: Pick<StoreOptions, 'userHome' | 'workingDirectory'>, path: string): string {
  const expanded = path.startsWith('~') && paths.userHome !== null ? join(paths.userHome, path.slice(1)) : path;
  return resolvePath(paths.workingDirectory, expanded);
}

async function locatePath(paths: Paths, path: string): Promise<LocatedWorkspace> {
  const absolute = expandPath(paths, path);
  if (isInWorkArea(absolute))
    throw new HearthError('model_not_found', `There is no model at ${absolute} yet: a clone that has not ended keeps its files there. Run that clone again.`);
  const found = await workspaceAt(absolute);
  if (found !== null) return found;
  const variantMark = absolute.lastIndexOf(':');
  const withVariant = variantMark > 0 && !absolute.slice(variantMark).includes('/') ? await workspaceAt(absolute.slice(0, variantMark)) : null;
  if (withVariant !== null) return { ...withVariant, variant: absolute.slice(variantMark + 1) };
  throw new HearthError('model_not_found', `There is no model at ${absolute}: neither a directory with config.json or a .gguf file, nor a .gguf file.`);
}

async function workspaceAt(absolute: string): Promise<LocatedWorkspace | null> {
  const base = { kind: 'workspace', variant: null } as const;
  if (await isWorkspace(absolute)) return { ...base, name: absolute, directory: absolute, file: null };
  if (!absolute.endsWith('.gguf')) return null;
  try {
    const parent = dirname(await realpath(absolute));
    const file = basename(await realpath(absolute));
    const entry = (await directoryEntries(parent)).find((candidate) => candidate.name === file);
    return entry?.isFile() ? { ...base, name: absolute, directory: parent, file } : null;
  } catch {
    return null;
  }
}

/** A directory with config.json, or with a `*.gguf` at its root. */
export async function isWorkspace(path: string): Promise<boolean> {
  if (!(await isDirectory(path))) return false;
  return (await directoryEntries(path)).some((entry) => !entry.isDirectory() && (entry.name === 'config.json' || entry.name.endsWith('.gguf')));
}

/** Workspaces of the workspace home by basename, sorted. */
export async function listWorkspaceHome(paths: Pick<StoreOptions, 'workspaceHome'>): Promise<string[]> {
  if (paths.workspaceHome === null) return [];
  const names: string[] = [];
  for (const entry of await directoryEntries(paths.workspaceHome)) {
    if (!entry.name.startsWith('.') && (await isWorkspace(join(paths.workspaceHome, entry.name)))) names.push(entry.name);
  }
  return names.sort();
}

async function locateInWorkspaceHome(paths: Paths, reference: NameReference): Promise<LocatedWorkspace | null> {
  if (paths.workspaceHome === null || reference.name.includes('/') || reference.revision !== null) return null;
  const names = await listWorkspaceHome(paths);
  const matches = names.includes(reference.name) ? [reference.name] : names.filter((name) => containsText(name, reference.name));
  if (matches.length > 1) throw ambiguous(reference.text, matches);
  const name = matches[0];
  if (name === undefined) return null;
  const directory = join(paths.workspaceHome, name);
  return { kind: 'workspace', name: directory, directory, file: null, variant: reference.variant };
}

async function locateInCache(paths: Paths, reference: NameReference): Promise<LocatedCache> {
  const { repositories, exact } = await matchRepositories(paths, reference.name);
  if (repositories.length === 0) {
    throw new HearthError('model_not_found', `No model here matches "${reference.text}".`, { details: { name: reference.text } });
  }
  const common = { kind: 'cache', variant: reference.variant, revision: reference.revision, exact } as const;
  if (reference.revision === null) {
    const only = repositories[0]!;
    if (repositories.length > 1)
      throw ambiguous(
        reference.text,
        repositories.map((repository) => repository.name),
      );
    return { ...common, name: only.name, repository: only, snapshot: await chooseSnapshot(only) };
  }
  const hits: { repository: CachedRepository; snapshot: CachedSnapshot }[] = [];
  const available: string[] = [];
  for (const repository of repositories) {
    for (const snapshot of await snapshotsAt(repository, reference.revision)) hits.push({ repository, snapshot });
    for (const snapshot of await listSnapshots(repository)) available.push(snapshot.hash.slice(0, 8));
  }
  const hit = hits[0];
  if (hit === undefined) {
    throw new HearthError('hash_not_found', `No revision "${reference.revision}" of ${repositories.map((found) => found.name).join(', ')} is here.`, {
      details: { available_hashes: available.sort() },
    });
  }
  if (hits.length > 1)
    throw ambiguous(
      reference.text,
      hits.map((found) => `${found.repository.name}@${found.snapshot.hash.slice(0, 8)}`),
    );
  return { ...common, name: hit.repository.name, repository: hit.repository, snapshot: hit.snapshot };
}

/** Bare names mean `mlx-community/NAME` first; then the exact directory; then every cached name that contains the text. */
async function matchRepositories(
  paths: Pick<StoreOptions, 'cacheDirectory'>,
  name: string,
): Promise<{ readonly repositories: readonly CachedRepository[]; readonly exact: boolean }> {
  const community = name.includes('/') ? null : await findRepository(paths.cacheDirectory, `mlx-community/${name}`);
  if (community !== null) return { repositories: [community], exact: false };
  const exact = await findRepository(paths.cacheDirectory, name);
  if (exact !== null) return { repositories: [exact], exact: true };
  const all = await listRepositories(paths.cacheDirectory);
  return { repositories: all.filter((repository) => containsText(repository.name, name)), exact: false };
}

export const containsText = (text: string, part: string): boolean => text.toLowerCase().includes(part.toLowerCase());

function ambiguous(text: string, matches: readonly string[]): HearthError {
  const sorted = [...matches].sort();
  const shown = sorted.slice(0, 5).map(shortName).join(', ');
  return new HearthError('ambiguous_match', `"${text}" matches ${sorted.length} models: ${shown}${sorted.length > 5 ? ', …' : ''}.`, {
    details: { matches: sorted },
  });
}
