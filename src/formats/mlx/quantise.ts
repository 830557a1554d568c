import { decodeFloats, encodeFloats, type FloatDtype } from '../safetensors/index.ts';
import { MAGIC, setScale } from './affine-scale.ts';
import { packCodes, unpackCodes } from './packing.ts';
import type { Quantization } from './quantization.ts';
import { E4M3_VALUES, numberToE4m3, numberToFp4 } from './small-floats.ts';

/** Packed codes with what they stand for. */
export interface QuantisedWords {
  readonly words: Uint32Array;
  /** Affine: numbers, already rounded to the scale dtype; else bytes of E8M0 or E4M3. */
  readonly scales: Float32Array | Uint8Array;
  /** Affine only. */
  readonly biases?: Float32Array;
}

export interface Quantised extends QuantisedWords {
  readonly codes: Uint8Array;
}

const { fround } = Math;

/** `quantiseWords` with the codes one by one. */
export function quantise(quantization: Quantization, values: Float32Array, scaleDtype: FloatDtype = 'F32'): Quantised {
  const made = quantiseWords(quantization, values, scaleDtype);
  return { ...made, codes: unpackCodes(quantization.bits, made.words) };
}

/**
 * MLX's own rule (docs/spec/formats.md §3.3): float32 steps over groups of the row, then scale and bias are rounded to `scaleDtype`.
 * `values` are whole rows, each a multiple of the group. A value in the middle between two codes takes the even one, as MLX does on the
 * CPU; its GPU kernels take the one farther from zero.
 */
export function quantiseWords(quantization: Quantization, values: Float32Array, scaleDtype: FloatDtype = 'F32'): QuantisedWords {
  const { mode, bits, group } = quantization;
  if (values.length % group !== 0) throw new RangeError(`${values.length} values are not whole groups of ${group}`);
  const groups = values.length / group;
  if (mode !== 'affine') {
    const codes = new Uint8Array(values.length);
    const scales = new Uint8Array(groups);
    for (let g = 0; g < groups; g++) scales[g] = quantiseFloatGroup(mode, values.subarray(g * group, (g + 1) * group), codes.subarray(g * group));
    return { words: packCodes(bits, codes), scales };
  }
  const scales = new Float32Array(groups);
  const biases = new Float32Array(groups);
  const top = 2 ** bits - 1;
  const round = (x: Float32Array): Float32Array => decodeFloats(scaleDtype, encodeFloats(scaleDtype, x));
  findScales(top, group, values, scales, biases);
  // The two widths of `options.quantize` are packed on the way: a model waits for this at its first load.
  const words = bits === 4 ? writeNibbles(group, values, scales, biases) : packCodes(bits, writeCodes(top, group, values, scales, biases));
  return { words, scales: round(scales), biases: round(biases) };
}

function findScales(top: number, group: number, values: Float32Array, scales: Float32Array, biases: Float32Array): void {
  for (let g = 0, i = 0; g < scales.length; g++) {
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
    for (const end = i + group; i < end; i++) {
      const value = values[i]!;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    setScale(top, min, max, scales, biases, g);
  }
}

function writeCodes(top: number, group: number, values: Float32Array, scales: Float32Array, biases: Float32Array): Uint8Array {
  const codes = new Uint8Array(values.length);
  for (let g = 0, i = 0; g < scales.length; g++) {
    const scale = scales[g]!;
    const bias = biases[g]!;
    for (const end = i + group; i < end; i++) {
      const code = fround(fround(values[i]! - bias) / scale) + MAGIC - MAGIC;
      codes[i] = code < 0 ? 0 : code > top ? top : code;
    }
  }
  return codes;
}

function writeNibbles(group: number, values: Float32Array, scales: Float32Array, biases: Float32Array): Uint32Array {
  const words = new Uint32Array(values.length / 8);
  const bytes = new Uint8Array(words.buffer);
  for (let g = 0, i = 0; g < scales.length; g++) {
    const scale = scales[g]!;
    const bias = biases[g]!;
    for (const end = i + group; i < end; i += 2) {
      const low = fround(fround(values[i]! - bias) / scale) + MAGIC - MAGIC;
      const high = fround(fround(values[i + 1]! - bias) / scale) + MAGIC - MAGIC;
      bytes[i >> 1] = (low < 0 ? 0 : low > 15 ? 15 : low) | ((high < 0 ? 0 : high > 15 ? 15 : high) << 4);
    }
  }
  return words;
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
