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
/** Half to even for |x| < 2^51, far above any code: between 2^52 and 2^53 the unit of a double is 1. */
const MAGIC = 1.5 * 2 ** 52;
const rint = (x: number): number => x + MAGIC - MAGIC;

/**
 * MLX's own rule (docs/spec/formats.md §3.3): float32 steps over groups of the row, then scale and bias are rounded to `scaleDtype`.
 * `values` are whole rows, each a multiple of the group.
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
  for (let g = 0; g < groups; g++) {
    const found = quantiseAffineGroup(bits, values.subarray(g * group, (g + 1) * group), codes.subarray(g * group));
    scales[g] = found.scale;
    biases[g] = found.bias;
  }
  const round = (x: Float32Array): Float32Array => decodeFloats(scaleDtype, encodeFloats(scaleDtype, x));
  return { codes, words: packCodes(bits, codes), scales: round(scales), biases: round(biases) };
}

function quantiseAffineGroup(bits: number, values: Float32Array, codes: Uint8Array): { scale: number; bias: number } {
  const top = 2 ** bits - 1;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  let scale = Math.max(fround(fround(max - min) / top), fround(1e-7));
  const fromMin = Math.abs(min) > Math.abs(max);
  if (!fromMin) scale = -scale;
  const edge = fromMin ? min : max;
  const steps = rint(fround(edge / scale));
  const bias = steps === 0 ? 0 : edge;
  if (steps !== 0) scale = fround(edge / steps);
  for (let i = 0; i < values.length; i++) {
    const code = rint(fround(fround(values[i]! - bias) / scale));
    codes[i] = code < 0 ? 0 : code > top ? top : code;
  }
  return { scale, bias };
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
