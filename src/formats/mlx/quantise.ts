import { decodeFloats, encodeFloats, type FloatDtype } from '../safetensors/index.ts';
import { packCodes } from './packing.ts';
import type { Quantization } from './quantization.ts';
import { E4M3_VALUES, numberToE4m3, numberToFp4 } from './small-floats.ts';

export interface Quantised {
  readonly codes: Uint8Array;
  readonly words: Uint32Array;
  /** Affine: numbers, already rounded to the scale dtype; else bytes of E8M0 or E4M3. */
  readonly scales: Float32Array | Uint8Array;
  /** Affine only. */
  readonly biases?: Float32Array;
}

const { fround } = Math;
/** Added and taken away again, it rounds |x| < 2^51 half to even: between 2^52 and 2^53 the unit of a double is 1. */
const MAGIC = 1.5 * 2 ** 52;

/**
 * MLX's own rule (docs/spec/formats.md §3.3): float32 steps over groups of the row, then scale and bias are rounded to `scaleDtype`.
 * `values` are whole rows, each a multiple of the group. A value in the middle between two codes takes the even one, as MLX does on the
 * CPU; its GPU kernels take the one farther from zero.
 */
export function quantise(quantization: Quantization, values: Float32Array, scaleDtype: FloatDtype = 'F32'): Quantised {
  const { mode, bits, group } = quantization;
  if (values.length % group !== 0) throw new RangeError(`${values.length} values are not whole groups of ${group}`);
  const groups = values.length / group;
  const codes = new Uint8Array(values.length);
  if (mode !== 'affine') {
    const scales = new Uint8Array(groups);
    for (let g = 0; g < groups; g++) scales[g] = quantiseFloatGroup(mode, values.subarray(g * group, (g + 1) * group), codes.subarray(g * group));
    return { codes, words: packCodes(bits, codes), scales };
  }
  const scales = new Float32Array(groups);
  const biases = new Float32Array(groups);
  quantiseAffine(2 ** bits - 1, group, values, codes, scales, biases);
  const round = (x: Float32Array): Float32Array => decodeFloats(scaleDtype, encodeFloats(scaleDtype, x));
  return { codes, words: packCodes(bits, codes), scales: round(scales), biases: round(biases) };
}

const SMALLEST_SCALE = fround(1e-7);

/** All groups in one function without calls: this is what quantising a model at load waits for. */
function quantiseAffine(top: number, group: number, values: Float32Array, codes: Uint8Array, scales: Float32Array, biases: Float32Array): void {
  for (let g = 0, start = 0; g < scales.length; g++, start += group) {
    const end = start + group;
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
    for (let i = start; i < end; i++) {
      const value = values[i]!;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    let scale = fround(fround(max - min) / top);
    if (!(scale > SMALLEST_SCALE)) scale = SMALLEST_SCALE;
    const fromMin = Math.abs(min) > Math.abs(max);
    if (!fromMin) scale = -scale;
    const edge = fromMin ? min : max;
    const steps = fround(edge / scale) + MAGIC - MAGIC;
    const bias = steps === 0 ? 0 : edge;
    if (steps !== 0) scale = fround(edge / steps);
    for (let i = start; i < end; i++) {
      const code = fround(fround(values[i]! - bias) / scale) + MAGIC - MAGIC;
      codes[i] = code < 0 ? 0 : code > top ? top : code;
    }
    scales[g] = scale;
    biases[g] = bias;
  }
}

/** Gives the byte of the scale. */
function quantiseFloatGroup(mode: 'mxfp4' | 'mxfp8' | 'nvfp4', values: Float32Array, codes: Uint8Array): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  const scale = fround(largest / (mode === 'mxfp8' ? 448 : 6));
  const byte = mode === 'nvfp4' ? numberToE4m3(scale) : exponentByte(scale);
  const divisor = mode === 'nvfp4' ? E4M3_VALUES[byte]! : 2 ** (byte - 127);
  const encode = mode === 'mxfp8' ? numberToE4m3 : numberToFp4;
  for (let i = 0; i < values.length; i++) codes[i] = divisor === 0 ? 0 : encode(fround(values[i]! / divisor));
  return byte;
}

/**
 * The smallest power of two that is not below the scale, as E8M0, so that the largest value of the group is not clipped, as MLX 0.32 does
 * (older ones took the nearest power). A group of zeros has the neutral 127.
 */
function exponentByte(scale: number): number {
  if (scale === 0) return 127;
  let exponent = Math.floor(Math.log2(scale));
  while (2 ** exponent < scale) exponent++;
  return Math.min(Math.max(exponent + 127, 0), 254);
}
