import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { ModelObject } from '../contract/index.ts';
import type { Located } from './locate.ts';
import { type ModelView, openModelView } from './model-view.ts';
import { ggufVariants, pickVariant } from './variants.ts';
import { checkClean } from './workspace/clean-check.ts';
import { readSentinel, type Sentinel } from './workspace/sentinel.ts';

/** The part of a model object that follows from the content of its files alone. */
export type JudgedFields = Pick<ModelObject, 'framework' | 'model_type' | 'capabilities' | 'health' | 'runtime_compatible' | 'reason' | 'quantization'>;

/** A model whose files are known by name and size, and not judged yet. */
export interface OpenedModel {
  readonly view: ModelView;
  /** The sentinel of a workspace, or null. */
  readonly sentinel: Sentinel | null;
  /** The repository; for a workspace its origin, else its basename. */
  readonly nameHint: string;
}

export async function openLocated(located: Located): Promise<OpenedModel> {
  const view = await openView(located);
  const sentinel = located.kind === 'workspace' ? await readSentinel(located.directory) : null;
  return { view, sentinel, nameHint: located.kind === 'cache' ? located.name : (sentinelText(sentinel, 'source_repo') ?? basename(located.name)) };
}

/** The model object of list and show (docs/spec/store.md §2). */
export async function modelObject(parts: {
  readonly located: Located;
  readonly view: ModelView;
  readonly sentinel: Sentinel | null;
  readonly judged: JudgedFields;
}): Promise<ModelObject> {
  const { located, view, sentinel, judged } = parts;
  return {
    name: located.name,
    hash: located.kind === 'cache' && /^[0-9A-Za-z]{40}$/.test(located.snapshot?.hash ?? '') ? located.snapshot!.hash : null,
    size_bytes: view.files.reduce((sum, file) => sum + file.sizeBytes, 0),
    last_modified: await lastModified(view.directory),
    framework: judged.framework,
    model_type: judged.model_type,
    capabilities: judged.capabilities,
    health: judged.health,
    runtime_compatible: judged.runtime_compatible,
    reason: judged.reason,
    cached: located.kind === 'cache',
    origin: sentinelText(sentinel, 'source_repo'),
    content_hash: sentinelText(sentinel, 'content_hash'),
    hash_modified: sentinelText(sentinel, 'hash_modified'),
    clean: located.kind === 'workspace' && located.file === null ? await checkClean(located.directory, sentinel) : null,
    quantization: judged.quantization,
  };
}

/** The files of a model; with a variant only that GGUF file set and what is no GGUF file. */
async function openView(located: Located): Promise<ModelView> {
  const directory = located.kind === 'cache' ? (located.snapshot?.directory ?? located.repository.directory) : located.directory;
  const root = located.kind === 'cache' ? located.repository.directory : located.directory;
  if (located.kind === 'workspace' && located.file !== null) return openModelView({ directory, root, only: [located.file] });
  const places = { directory, root, ...(located.kind === 'cache' ? { cacheDirectory: dirname(root) } : {}) };
  const view = await openModelView(places);
  if (located.variant === null) return view;
  const wanted = new Set(pickVariant(located.name, ggufVariants(view.files), located.variant).files.map((file) => file.path));
  const kept = view.files.map((file) => file.path).filter((path) => wanted.has(path) || !path.endsWith('.gguf'));
  return openModelView({ ...places, only: kept });
}

const sentinelText = (sentinel: Readonly<Record<string, unknown>> | null, key: string): string | null =>
  typeof sentinel?.[key] === 'string' ? sentinel[key] : null;

/** True UTC of the directory's mtime, in seconds. */
async function lastModified(directory: string): Promise<string> {
  let mtimeMs = 0;
  try {
    mtimeMs = (await stat(directory)).mtimeMs;
  } catch {
    // A directory that went away in between: the epoch is as good as any time.
  }
  return new Date(mtimeMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
