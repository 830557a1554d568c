import type { ModelFile, ModelView } from '../model-view.ts';
import { isObject } from './json-value.ts';
import { findPointers } from './lfs-pointer.ts';

const WEIGHTS = /\.(safetensors|bin|gguf)$/;
const SHARD = /^(?:.*\/)?model-(\d{5})-of-(\d{5})\.safetensors$/;
const GGUF_SHARD = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

const atRoot = (file: ModelFile): boolean => !file.path.includes('/');
const names = (files: readonly { readonly path: string }[]): string => files.map((file) => file.path).join(', ');

/** Weight files at the root, else anywhere below. */
export function weightFilesOf(view: ModelView): readonly ModelFile[] {
  const all = view.files.filter((file) => WEIGHTS.test(file.path));
  const root = all.filter(atRoot);
  return root.length > 0 ? root : all;
}

/** The first problem of a model with an index, or null. */
export async function checkIndexedWeights(view: ModelView, indexName: string): Promise<string | null> {
  const index = await view.json(indexName);
  if (index.kind !== 'value') return 'Invalid index file';
  const shards = shardsOf(index.value);
  if (shards === null) return 'Empty or invalid weight_map in index';
  const missing = shards.filter((shard) => view.find(shard) === undefined);
  if (missing.length > 0) {
    const suffix = indexName.startsWith('pytorch') ? '.bin' : '.safetensors';
    const others = view.files.filter((file) => atRoot(file) && file.path.endsWith(suffix) && !shards.includes(file.path));
    if (others.length === 0) return `Missing weight shards: ${missing.join(', ')}`;
    return `Index/shard mismatch: index references ${shards.length} shards, found ${others.length} different files. Fix: hearth convert <src> <dst> --repair-index`;
  }
  const empty = shards.filter((shard) => view.find(shard)?.sizeBytes === 0);
  if (empty.length > 0) return `Empty weight shards: ${empty.join(', ')}`;
  const pointers = await findPointers(view, shards);
  return pointers.length > 0 ? `LFS pointers instead of files: ${pointers.join(', ')}` : null;
}

/** Sorted file names of a weight_map; null when it is no object, empty, or names a path outside the model. */
function shardsOf(index: unknown): string[] | null {
  const map = isObject(index) ? index['weight_map'] : undefined;
  if (!isObject(map)) return null;
  const shards = [...new Set(Object.values(map))];
  const inside = (path: unknown): boolean =>
    typeof path === 'string' && path !== '' && !/[\0\\]|^\/|^[A-Za-z]:/.test(path) && !path.split('/').some((part) => part === '..' || part === '');
  return shards.length > 0 && shards.every(inside) ? (shards as string[]).sort() : null;
}

/** The first problem of a model without an index, or null. */
export function checkPlainWeights(view: ModelView): string | null {
  const weights = weightFilesOf(view);
  if (weights.length === 0) return 'No model weights found';
  const shards = weights.flatMap((file) => {
    const match = SHARD.exec(file.path);
    return match === null ? [] : [{ file, number: Number(match[1]), total: Number(match[2]) }];
  });
  if (shards.length > 0) {
    if (new Set(shards.map((shard) => shard.total)).size > 1) return 'Inconsistent shard totals detected';
    const gap = gapIn(shards);
    if (gap !== null) return gap;
    const empty = shards.filter((shard) => shard.file.sizeBytes === 0);
    if (empty.length > 0) return `Empty shards: ${names(empty.map((shard) => shard.file))}`;
    return 'Safetensors index missing for sharded model';
  }
  const splits = Map.groupBy(
    weights.flatMap((file) => {
      const match = GGUF_SHARD.exec(file.path);
      return match === null ? [] : [{ set: `${match[1]}/${match[3]}`, number: Number(match[2]), total: Number(match[3]) }];
    }),
    (split) => split.set,
  );
  for (const set of splits.values()) {
    const gap = gapIn(set);
    if (gap !== null) return gap;
  }
  const empty = weights.filter((file) => file.sizeBytes === 0);
  return empty.length > 0 ? `Empty weight files: ${names(empty)}` : null;
}

function gapIn(shards: readonly { readonly number: number; readonly total: number }[]): string | null {
  const total = shards[0]?.total ?? 0;
  const present = new Set(shards.map((shard) => shard.number).filter((number) => number >= 1 && number <= total)).size;
  return present < total ? `Missing shards by pattern: ${present}/${total} present` : null;
}
