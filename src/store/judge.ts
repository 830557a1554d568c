import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ModelObject } from '../contract/index.ts';
import type { FeatureVerdict, ModelFacts } from '../core/index.ts';
import { type Detection, detectModel } from './detect/detect.ts';
import { judgeRuntime } from './detect/runtime-gate.ts';
import { checkHealth, type HealthVerdict, unhealthy } from './health/check-health.ts';
import { isObject } from './health/json-value.ts';
import type { Located } from './locate.ts';
import { type ModelView, openModelView } from './model-view.ts';
import type { StoreOptions } from './options.ts';
import { ggufVariants, pickVariant } from './variants.ts';
import { checkClean } from './workspace/clean-check.ts';
import { readSentinel, type Sentinel } from './workspace/sentinel.ts';

/** Everything that the store knows of one model: the same for list, show, run and the server. */
export interface Judgement {
  readonly located: Located;
  readonly view: ModelView;
  readonly health: HealthVerdict;
  readonly detection: Detection;
  readonly facts: ModelFacts;
  readonly reachable: Readonly<Record<string, FeatureVerdict>>;
  readonly model: ModelObject;
  /** The sentinel of a workspace, or null. */
  readonly sentinel: Sentinel | null;
}

export async function judge(options: Pick<StoreOptions, 'runtimeProbe'>, located: Located): Promise<Judgement> {
  const view = await openView(located);
  const sentinel = located.kind === 'workspace' ? await readSentinel(located.directory) : null;
  const origin = typeof sentinel?.['source_repo'] === 'string' ? sentinel['source_repo'] : null;
  const nameHint = located.kind === 'cache' ? located.name : (origin ?? basename(located.name));
  const health =
    located.kind === 'cache' && located.snapshot === null ? unhealthy(await missingSnapshotReason(located.repository.directory)) : await checkHealth(view);
  const detection = await detectModel(view, nameHint);
  const runtime = await judgeRuntime({ view, detection, health, probe: options.runtimeProbe });
  const model: ModelObject = {
    name: located.name,
    hash: located.kind === 'cache' && /^[0-9A-Za-z]{40}$/.test(located.snapshot?.hash ?? '') ? located.snapshot!.hash : null,
    size_bytes: view.files.reduce((sum, file) => sum + file.sizeBytes, 0),
    last_modified: await lastModified(view.directory),
    framework: detection.framework,
    model_type: detection.modelType,
    capabilities: [...detection.capabilities],
    health: health.healthy ? 'healthy' : 'unhealthy',
    runtime_compatible: runtime.compatible,
    reason: runtime.reason,
    cached: located.kind === 'cache',
    origin,
    content_hash: sentinelText(sentinel, 'content_hash'),
    hash_modified: sentinelText(sentinel, 'hash_modified'),
    clean: located.kind === 'workspace' && located.file === null ? await checkClean(located.directory, sentinel) : null,
    ...(isObject(detection.facts.config['quantization']) ? { quantization: detection.facts.config['quantization'] } : { quantization: null }),
  };
  return { located, view, health, detection, facts: detection.facts, reachable: runtime.reachable, model, sentinel };
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

async function missingSnapshotReason(repository: string): Promise<string> {
  try {
    await stat(join(repository, 'snapshots'));
    return 'No snapshots found';
  } catch {
    return 'No snapshots directory found';
  }
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
