import { HearthError } from '../../core/index.ts';
import type { Quantization } from '../mlx/index.ts';
import type { FloatDtype } from '../safetensors/index.ts';
import type { QuantisedPiece } from './quantise-piece.ts';
import { inOrder, type QuantisePool } from './quantise-pool.ts';
import { release } from './release.ts';
import { notFinite } from './require-finite.ts';
import type { Spill, SpillRange } from './spill.ts';
import type { TensorStream } from './tensor-stream.ts';

export interface QuantiseContext {
  readonly spill: Spill;
  readonly pool: QuantisePool;
  /** Of scales and biases; the dtype of the numbers when absent. */
  readonly scaleDtype?: FloatDtype;
  /** Numbers are rounded to it first, and scales and biases have it. */
  readonly castTo?: FloatDtype;
}

/**
 * The three tensors of an affine layer, made from plain numbers by MLX's rule. The numbers are read when the codes are written; scales and
 * biases, which a file holds elsewhere, wait in the spill. Throws `convert_not_finite` for an infinite number or NaN.
 */
export function quantiseStream(source: TensorStream, quantization: Quantization, { spill, pool, ...context }: QuantiseContext): TensorStream[] {
  const module = source.name.slice(0, -'.weight'.length);
  const dtype = source.dtype as FloatDtype;
  const scaleDtype = context.castTo ?? context.scaleDtype ?? dtype;
  const layout = { bits: quantization.bits, group: quantization.group };
  const cast = context.castTo === undefined ? {} : { castTo: context.castTo };
  const columns = source.shape.at(-1)!;
  const rows = source.shape.slice(0, -1);
  let sides: Record<'scales' | 'biases', SpillRange[]> | null = null;

  const made = (piece: QuantisedPiece): Extract<QuantisedPiece, { kind: 'made' }> => {
    if (piece.kind === 'made') return piece;
    if (piece.of === 'source') throw notFinite(source.name);
    throw new HearthError('convert_not_finite', `The tensor ${source.name} holds numbers that are too large for scales in ${scaleDtype}.`);
  };
  async function* pass(): AsyncGenerator<Uint8Array> {
    const found = { scales: [] as SpillRange[], biases: [] as SpillRange[] };
    for await (const piece of inOrder(source.data(), pool.width, (bytes) => pool.run({ bytes, dtype, scaleDtype, quantization: layout, ...cast }))) {
      const { words, scales, biases } = made(piece);
      if (sides === null) {
        found.scales.push(await spill.append(scales));
        found.biases.push(await spill.append(biases));
      }
      release(scales);
      release(biases);
      yield words;
      release(words);
    }
    sides = found;
  }
  async function* side(leaf: 'scales' | 'biases'): AsyncGenerator<Uint8Array> {
    // Of a float32 model these are asked for before the codes.
    if (sides === null) for await (const _ of pass());
    yield* spill.read(sides![leaf]);
  }
  const groups = [...rows, columns / quantization.group];
  return [
    { name: `${module}.weight`, dtype: 'U32', shape: [...rows, (columns * quantization.bits) / 32], data: pass },
    { name: `${module}.scales`, dtype: scaleDtype, shape: groups, data: () => side('scales') },
    { name: `${module}.biases`, dtype: scaleDtype, shape: groups, data: () => side('biases') },
  ];
}
