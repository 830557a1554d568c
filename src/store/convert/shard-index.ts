import { HearthError } from '../../core/index.ts';
import { openSafetensors } from '../../formats/index.ts';
import { isObject } from '../health/json-value.ts';
import type { ModelView } from '../model-view.ts';

export const INDEX_FILE = 'model.safetensors.index.json';

export interface RebuiltIndex {
  /** null: one file needs no index. */
  readonly text: string | null;
  readonly tensors: number;
  readonly shards: number;
}

const SHARD = /^model-(\d{5})-of-(\d{5})\.safetensors$/;

/** The index that the headers of the weight files at the root ask for. Errors: conversion_failed, `st_*`. */
export async function buildIndex(view: ModelView): Promise<RebuiltIndex> {
  const shards = shardsOf(view);
  if (shards.length === 0)
    throw new HearthError('conversion_failed', `${view.directory} has no safetensors file at its root, so that there is nothing to index.`);
  refuseGaps(
    view.directory,
    shards.map(({ path }) => path),
  );
  const files = await fileOfTensors(view);
  if (shards.length === 1) return { text: null, tensors: files.size, shards: 1 };
  const totalBytes = shards.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const weightMap = Object.fromEntries([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
  return { text: `${JSON.stringify({ metadata: { total_size: totalBytes }, weight_map: weightMap }, null, 2)}\n`, tensors: files.size, shards: shards.length };
}

/** Whether the index says something else than the headers, or is missing where several files need one. */
export async function indexDiffers(view: ModelView): Promise<boolean> {
  const json = await view.json(INDEX_FILE);
  if (json.kind === 'missing') return shardsOf(view).length > 1;
  const map = json.kind === 'value' && isObject(json.value) ? json.value['weight_map'] : null;
  if (!isObject(map)) return true;
  const files = await fileOfTensors(view).catch(() => null);
  if (files === null) return true;
  const listed = Object.entries(map);
  return listed.length !== files.size || listed.some(([tensor, file]) => files.get(tensor) !== file);
}

const shardsOf = (view: ModelView): { readonly path: string; readonly sizeBytes: number; readonly realPath: string }[] =>
  view.files.filter(({ path }) => /^[^/]+\.safetensors$/.test(path)).sort((a, b) => (a.path < b.path ? -1 : 1));

async function fileOfTensors(view: ModelView): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const { path, realPath } of shardsOf(view)) {
    await using shard = await openSafetensors(realPath);
    for (const tensor of shard.tensors.keys()) {
      const other = files.get(tensor);
      if (other !== undefined)
        throw new HearthError('conversion_failed', `The tensor ${tensor} is in ${other} and in ${path}; an index can name one file only.`);
      files.set(tensor, path);
    }
  }
  return files;
}

/** An index of the shards that are there would hide the ones that are missing. */
function refuseGaps(directory: string, names: readonly string[]): void {
  const parts = names.flatMap((name) => SHARD.exec(name)?.slice(1).map(Number) ?? []);
  const total = parts[1] ?? 0;
  const present = new Set(parts.filter((_, i) => i % 2 === 0));
  const missing = Array.from({ length: total }, (_, i) => i + 1).filter((part) => !present.has(part));
  if (missing.length > 0)
    throw new HearthError(
      'conversion_failed',
      `${directory} lacks shard ${missing.slice(0, 5).join(', ')} of ${total}; an index cannot replace it. Fetch the model again.`,
    );
}
