import type { Family } from './families/index.ts';

export { FAMILIES, type Family, modelTypeOfGguf } from './families/index.ts';

/** Module of a tensor without its leaf, and the leaf: `model.layers.0.mlp.up_proj` and `weight`. */
export function splitLeaf(name: string): { readonly module: string; readonly leaf: string } {
  const cut = name.lastIndexOf('.');
  return { module: name.slice(0, cut), leaf: name.slice(cut + 1) };
}

/** MLX module of a GGUF one (`blk.3.attn_q` → `model.layers.3.self_attn.q_proj`), or undefined. */
export function toMlxModule(family: Family, module: string): string | undefined {
  const layer = /^blk\.(\d+)\.(.+)$/.exec(module);
  if (layer === null) return family.outer.find(([, gguf]) => gguf === module)?.[0];
  const found = family.layer.find(([, gguf]) => gguf === layer[2]);
  return found && `${family.layerPrefix}.${Number(layer[1])}.${found[0]}`;
}

/** GGUF module of an MLX one, or undefined. */
export function toGgufModule(family: Family, module: string): string | undefined {
  const layer = inLayer(family, module);
  if (layer === null) return family.outer.find(([mlx]) => mlx === module)?.[1];
  const found = family.layer.find(([mlx]) => mlx === layer.rest);
  return found && `blk.${layer.number}.${found[1]}`;
}

const LEAVES = ['weight', 'bias'];

/** Name of an MLX tensor for that of a GGUF one, or undefined. */
export function toMlxTensor(family: Family, name: string): string | undefined {
  const layer = /^blk\.(\d+)\.(.+)$/.exec(name);
  const whole = layer && family.layerTensors.find(([, gguf]) => gguf === layer[2]);
  if (whole) return `${family.layerPrefix}.${Number(layer[1])}.${whole[0]}`;
  const { module, leaf } = splitLeaf(name);
  const found = toMlxModule(family, module);
  return found !== undefined && LEAVES.includes(leaf) ? `${found}.${leaf}` : undefined;
}

/** Name of a GGUF tensor for that of an MLX one, or undefined. */
export function toGgufTensor(family: Family, name: string): string | undefined {
  const layer = inLayer(family, name);
  const whole = layer && family.layerTensors.find(([mlx]) => mlx === layer.rest);
  if (whole) return `blk.${layer.number}.${whole[1]}`;
  const { module, leaf } = splitLeaf(name);
  const found = toGgufModule(family, module);
  return found !== undefined && LEAVES.includes(leaf) ? `${found}.${leaf}` : undefined;
}

function inLayer(family: Family, name: string): { readonly number: number; readonly rest: string } | null {
  const prefix = `${family.layerPrefix}.`;
  const found = name.startsWith(prefix) ? /^(\d+)\.(.+)$/.exec(name.slice(prefix.length)) : null;
  return found && { number: Number(found[1]), rest: found[2]! };
}

/** Heads whose rows are permuted in the tensor of this MLX module; 0 = none. */
export function permutedHeads(family: Family, module: string, heads: { readonly query: number; readonly key: number }): number {
  if (!family.permutesHeads) return 0;
  if (module.endsWith('.self_attn.q_proj')) return heads.query;
  return module.endsWith('.self_attn.k_proj') ? heads.key : 0;
}

/** What GGUF's number is larger by: norms of some families are kept as their distance from one. */
export const normShift = (family: Family, name: string): 0 | 1 => (family.normsFromOne && /norm\.weight$/.test(name) ? 1 : 0);

/** Whether the tensor holds a matrix, or a bias, for each expert. */
export const isStack = (family: Family, name: string): boolean => toGgufTensor(family, name)?.includes('_exps.') === true;

/** Whether the tensor is a router, which GGUF keeps in float32. */
export const isRouter = (family: Family, name: string): boolean => family.routers.some((router) => name.endsWith(`.${router}.weight`));

/**
 * Order of rows that GGUF's llama graph wants: `order[i]` is the MLX row at place i. Rows of a head are
 * reshaped to (2, headDim / 2) and transposed, so that the two halves of a pair become neighbours.
 */
export function rowOrder(rows: number, heads: number): Uint32Array {
  const headDim = rows / heads;
  const half = headDim / 2;
  return Uint32Array.from({ length: rows }, (_, place) => {
    const head = Math.floor(place / headDim);
    const within = place % headDim;
    return head * headDim + (within % 2) * half + Math.floor(within / 2);
  });
}
