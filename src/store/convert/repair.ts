import { join } from 'node:path';
import { HearthError, writeFileAtomic } from '../../core/index.ts';
import { fillDirectory } from '../../formats/index.ts';
import type { ConvertJob, ConvertOutcome } from '../convert.ts';
import { isObject } from '../health/json-value.ts';
import { requireFreeSpace } from '../hub/download-files.ts';
import { type ModelView, openModelView } from '../model-view.ts';
import { copyFiles } from '../workspace/copy-files.ts';
import { pinWorkspace } from '../workspace/pin-workspace.ts';
import { SENTINEL_FILE } from '../workspace/sentinel.ts';
import { buildIndex, INDEX_FILE, indexDiffers, type RebuiltIndex } from './shard-index.ts';

/** `--repair-index`: a copy whose index is made anew from the headers of the weight files. */
export async function repairIndex(job: ConvertJob): Promise<ConvertOutcome> {
  const view = await openSource(job);
  const index = await buildIndex(view);
  const contentHash = await copyChanged(job, view, { index, files: {}, provenance: { mode: 'repair-index' } });
  const message =
    index.text === null
      ? `${job.target} has one safetensors file, which needs no index.`
      : `The index of ${job.target} names ${index.tensors} tensors in ${index.shards} files.`;
  return { made: true, message, content_hash: contentHash };
}

interface Defect {
  readonly name: 'safetensors_index' | 'spatial_merge_size' | 'eos_token_id_null' | 'video_processor_null';
  /** What makes it good; absent: nobody but the user can know. */
  readonly files?: Readonly<Record<string, string>>;
  readonly index?: RebuiltIndex;
}

/** `--repair`: finds four kinds of defects of published models, mends those of which the right value is known, and tells of the others. */
export async function repairDefects(job: ConvertJob): Promise<ConvertOutcome> {
  const view = await openSource(job);
  const found = await findDefects(view);
  const safe = found.filter((defect) => defect.files !== undefined || defect.index !== undefined);
  const repair = { applied: safe.map(({ name }) => name), detected_unsafe: found.filter((defect) => !safe.includes(defect)).map(({ name }) => name) };
  if (safe.length === 0) {
    const message =
      found.length === 0
        ? `Nothing to repair was found in ${job.source}; nothing was made.`
        : `${repair.detected_unsafe.join(', ')}: only you can know the right value, so that nothing was made.`;
    return { made: false, message, repair };
  }
  const contentHash = await copyChanged(job, view, {
    index: safe.find(({ index }) => index !== undefined)?.index ?? null,
    files: Object.assign({}, ...safe.map(({ files }) => files ?? {})) as Record<string, string>,
    provenance: { mode: 'repair', convert_options: { mode: 'repair', repairs_applied: repair.applied, repairs_detected_unsafe: repair.detected_unsafe } },
  });
  const left = repair.detected_unsafe.length === 0 ? '' : ` Left as they are: ${repair.detected_unsafe.join(', ')}.`;
  return { made: true, message: `Repaired in ${job.target}: ${repair.applied.join(', ')}.${left}`, repair, content_hash: contentHash };
}

async function findDefects(view: ModelView): Promise<Defect[]> {
  const config = await objectOf(view, 'config.json');
  const processor = await objectOf(view, 'processor_config.json');
  const found: Defect[] = [];
  if (view.files.some(({ path }) => /^[^/]+\.safetensors$/.test(path)) && (await indexDiffers(view))) {
    const index = await buildIndex(view).catch(() => null);
    found.push(index === null ? { name: 'safetensors_index' } : { name: 'safetensors_index', index });
  }
  const size = config?.['spatial_merge_size'];
  if (processor !== null && typeof size === 'number' && processor['spatial_merge_size'] !== size)
    found.push({ name: 'spatial_merge_size', files: { 'processor_config.json': `${JSON.stringify({ ...processor, spatial_merge_size: size }, null, 2)}\n` } });
  if (config !== null && config['eos_token_id'] === null) found.push({ name: 'eos_token_id_null' });
  if ([config, processor].some((file) => file !== null && file['video_processor'] === null)) found.push({ name: 'video_processor_null' });
  return found;
}

async function objectOf(view: ModelView, path: string): Promise<Readonly<Record<string, unknown>> | null> {
  const json = await view.json(path);
  return json.kind === 'value' && isObject(json.value) ? json.value : null;
}

async function openSource({ source, parameters }: ConvertJob): Promise<ModelView> {
  const view = await openModelView({ directory: source, root: source });
  if (view.files.length === 0) throw new HearthError('model_not_found', `${source} is no workspace: there is no such directory, or no file in it.`);
  if (view.refused.length > 0)
    parameters.onNotice?.(`Left out, since they lead out of the source or are no plain files: ${view.refused.slice(0, 5).join(', ')}.`);
  return view;
}

interface Changes {
  /** null: the index stays as it is. */
  readonly index: RebuiltIndex | null;
  readonly files: Readonly<Record<string, string>>;
  readonly provenance: Pick<Parameters<typeof pinWorkspace>[2], 'mode' | 'convert_options'>;
}

async function copyChanged({ options, target, parameters, signal, origin }: ConvertJob, view: ModelView, changes: Changes): Promise<string | null> {
  const skipped = new Set([SENTINEL_FILE, ...(changes.index === null ? [] : [INDEX_FILE]), ...Object.keys(changes.files)]);
  const items = view.files.filter(({ path }) => !skipped.has(path)).map(({ path, realPath, sizeBytes }) => ({ from: realPath, path, sizeBytes }));
  const fill = async (directory: string): Promise<string | null> => {
    await copyFiles(items, directory, {
      requireSpace: (bytes) => requireFreeSpace(options, directory, bytes),
      onProgress: (doneBytes, totalBytes) => parameters.onProgress?.({ step: 'copy', doneBytes, totalBytes }),
      signal,
    });
    for (const [path, text] of Object.entries(changes.files)) await writeFileAtomic(join(directory, path), text, 0o600);
    if (typeof changes.index?.text === 'string') await writeFileAtomic(join(directory, INDEX_FILE), changes.index.text, 0o600);
    return await pinWorkspace(options, directory, { ...origin, operation: 'convert', ...changes.provenance });
  };
  return await fillDirectory(target, fill, { replaceEmpty: true });
}
