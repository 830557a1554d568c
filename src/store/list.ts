import { basename, dirname, join, relative } from 'node:path';
import type { ListData, ModelObject } from '../contract/index.ts';
import { chooseSnapshot, directoryEntries, listRepositories } from './cache-layout.ts';
import { judgedModel } from './judged-model.ts';
import { containsText, expandPath, isWorkspace, type Located, listWorkspaceHome } from './locate.ts';
import { isExplicitPath } from './names.ts';
import type { StoreOptions } from './options.ts';

export interface ListParameters {
  /** Case-insensitive substring of the name, or an explicit path (workspaces only). */
  readonly pattern?: string;
  readonly signal?: AbortSignal;
}

/** Every model, healthy or not, sorted by name: what people see of it is filtered where it is printed. */
export async function list(options: StoreOptions, parameters: ListParameters = {}): Promise<ListData> {
  const models: ModelObject[] = [];
  const queue = await candidates(options, parameters.pattern);
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      parameters.signal?.throwIfAborted();
      const model = await judgedModel(options, next.located);
      models.push(next.displayName === null ? model : withDisplayName(model, next.displayName));
    }
  };
  // Several at once: judging is mostly waiting for small reads.
  await Promise.all(Array.from({ length: 8 }, worker));
  await options.judgements?.save();
  models.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { models, count: models.length };
}

/** In the order of the schema, as every document prints it. */
const withDisplayName = ({ quantization, ...model }: ModelObject, name: string): ModelObject => ({ ...model, display_name: name, quantization });

interface Candidate {
  readonly located: Located;
  /** How a workspace is shown; null for the cache. */
  readonly displayName: string | null;
}

async function candidates(options: StoreOptions, pattern: string | undefined): Promise<Candidate[]> {
  if (pattern !== undefined && isExplicitPath(pattern)) return workspacesAt(options, pattern);
  const matches = (name: string): boolean => pattern === undefined || containsText(name, pattern);
  const found: Candidate[] = [];
  for (const name of await listWorkspaceHome(options)) {
    if (matches(name)) found.push({ located: workspace(join(options.workspaceHome!, name)), displayName: name });
  }
  return [...found, ...(await cachedModels(options)).filter((model) => matches(model.name)).map((located) => ({ located, displayName: null }))];
}

/** The default snapshot of each cached repository. */
export async function cachedModels(options: Pick<StoreOptions, 'cacheDirectory'>): Promise<Extract<Located, { kind: 'cache' }>[]> {
  const found: Extract<Located, { kind: 'cache' }>[] = [];
  for (const repository of await listRepositories(options.cacheDirectory)) {
    const snapshot = await chooseSnapshot(repository);
    found.push({ kind: 'cache', name: repository.name, repository, snapshot, variant: null, revision: null, exact: true });
  }
  return found;
}

export const workspace = (directory: string): Located => ({ kind: 'workspace', name: directory, directory, file: null, variant: null });

/** An exact workspace, else the workspaces of that directory, else those of its parent whose names begin so. */
async function workspacesAt(options: StoreOptions, pattern: string): Promise<Candidate[]> {
  const absolute = expandPath(options, pattern);
  if (await isWorkspace(absolute)) return [{ located: workspace(absolute), displayName: basename(absolute) }];
  const scanned = await workspacesIn(absolute);
  if (scanned.length > 0) return scanned.map((path) => shown(path, absolute, pattern));
  const parent = dirname(absolute);
  return (await workspacesIn(parent)).filter((path) => basename(path).startsWith(basename(absolute))).map((path) => shown(path, parent, pattern));
}

const shown = (path: string, base: string, pattern: string): Candidate => ({
  located: workspace(path),
  displayName: pattern.startsWith('/') ? path : relative(base, path),
});

async function workspacesIn(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await directoryEntries(directory)) {
    const path = join(directory, entry.name);
    if (!entry.name.startsWith('.') && (await isWorkspace(path))) found.push(path);
  }
  return found;
}
