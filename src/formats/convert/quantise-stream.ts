import { HearthError } from '../../core/index.ts';
import { type Quantization, quantiseWords } from '../mlx/index.ts';
import { decodeFloats, encodeFloats, type FloatDtype } from '../safetensors/index.ts';
import { requireFinite } from './require-finite.ts';
import type { Spill, SpillRange } from './spill.ts';
import type { TensorStream } from './tensor-stream.ts';

/**
 * The three tensors of an affine layer, made from plain numbers by MLX's rule. The numbers are read when the codes are written; scales and
 * biases, which a file holds elsewhere, wait in the spill. Throws `convert_not_finite` for an infinite number or NaN.
 */
export function quantiseStream(source: TensorStream, quantization: Quantization, spill: Spill): TensorStream[] {
  const module = source.name.slice(0, -'.weight'.length);
  const dtype = source.dtype as FloatDtype;
  const columns = source.shape.at(-1)!;
  const rows = source.shape.slice(0, -1);
  let sides: Record<'scales' | 'biases', SpillRange[]> | null = null;

  async function* pass(): AsyncGenerator<Uint8Array> {
    const found = { scales: [] as SpillRange[], biases: [] as SpillRange[] };
    for await (const bytes of source.data()) {
      const made = quantiseWords(quantization, decodeFloats(dtype, requireFinite(dtype, bytes, source.name)), dtype);
      const scales = made.scales as Float32Array;
      if (!scales.every(Number.isFinite) || !made.biases!.every(Number.isFinite))
        throw new HearthError('convert_not_finite', `The tensor ${source.name} holds numbers that are too large for scales in ${dtype}.`);
      if (sides === null) {
        found.scales.push(await spill.append(encodeFloats(dtype, scales)));
        found.biases.push(await spill.append(encodeFloats(dtype, made.biases!)));
      }
      yield new Uint8Array(made.words.buffer);
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
    { name: `${module}.scales`, dtype, shape: groups, data: () => side('scales') },
    { name: `${module}.biases`, dtype, shape: groups, data: () => side('biases') },
  ];
}
