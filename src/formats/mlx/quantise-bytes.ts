import { encodeFloats, type FloatDtype, f16ToNumber } from '../safetensors/float-codec.ts';
import { MAGIC, setScale } from './affine-scale.ts';
import { packCodes } from './packing.ts';

/** MLX's affine rule over the bytes of a file: the same numbers as `quantiseWords`, made group by group without arrays of the whole in between. */

export interface AffineLayout {
  readonly bits: number;
  readonly group: number;
}

export type QuantisedBytes =
  | { readonly kind: 'made'; readonly words: Uint8Array<ArrayBuffer>; readonly scales: Uint8Array; readonly biases: Uint8Array }
  /** A number of the source, or a scale that was made of it, is infinite or NaN. */
  | { readonly kind: 'not-finite'; readonly of: 'source' | 'scale' };

const { fround } = Math;

let f16Table: Float32Array | undefined;
/** float32 values of all 16-bit patterns of F16. */
const f16Values = (): Float32Array => {
  f16Table ??= Float32Array.from({ length: 65_536 }, (_, bits) => f16ToNumber(bits));
  return f16Table;
};

/** `bytes`: whole groups of numbers, little-endian. `scaleDtype`: what scales and biases are rounded to, after the codes were made. */
export function quantiseBytes({ bits, group }: AffineLayout, dtype: FloatDtype, bytes: Uint8Array, scaleDtype: FloatDtype): QuantisedBytes {
  const size = dtype === 'F32' ? 4 : 2;
  const groups = bytes.length / size / group;
  if (!Number.isInteger(groups)) throw new RangeError(`${bytes.length / size} values are not whole groups of ${group}`);
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const read = dtype === 'F32' ? wideReader(aligned, group) : halfReader(aligned, dtype, group);
  const scales = new Float32Array(groups);
  const biases = new Float32Array(groups);
  const codes = new Uint8Array(bits === 4 ? (groups * group) / 2 : groups * group);
  const top = 2 ** bits - 1;
  const { values } = read;
  for (let g = 0; g < groups; g++) {
    if (!read.next(g)) return { kind: 'not-finite', of: 'source' };
    setScale(top, read.min, read.max, scales, biases, g);
    if (bits === 4) writeNibbles(values, scales[g]!, biases[g]!, codes, (g * group) / 2);
    else writeCodes(values, scales[g]!, biases[g]!, top, codes, g * group);
  }
  const roundedScales = encodeFloats(scaleDtype, scales);
  const roundedBiases = encodeFloats(scaleDtype, biases);
  if (!areFinite(roundedScales, scaleDtype) || !areFinite(roundedBiases, scaleDtype)) return { kind: 'not-finite', of: 'scale' };
  const words = bits === 4 || bits === 8 ? codes : new Uint8Array(packCodes(bits, codes).buffer as ArrayBuffer);
  return { kind: 'made', words, scales: roundedScales, biases: roundedBiases };
}

function writeNibbles(values: Float32Array, scale: number, bias: number, codes: Uint8Array, at: number): void {
  for (let i = 0, out = at; i < values.length; i += 2, out++) {
    const low = fround(fround(values[i]! - bias) / scale) + MAGIC - MAGIC;
    const high = fround(fround(values[i + 1]! - bias) / scale) + MAGIC - MAGIC;
    codes[out] = (low < 0 ? 0 : low > 15 ? 15 : low) | ((high < 0 ? 0 : high > 15 ? 15 : high) << 4);
  }
}

function writeCodes(values: Float32Array, scale: number, bias: number, top: number, codes: Uint8Array, at: number): void {
  for (let i = 0; i < values.length; i++) {
    const code = fround(fround(values[i]! - bias) / scale) + MAGIC - MAGIC;
    codes[at + i] = code < 0 ? 0 : code > top ? top : code;
  }
}

/** One group at a time: its numbers, the smallest and the largest. */
interface GroupReader {
  readonly values: Float32Array;
  min: number;
  max: number;
  /** False for a group with an infinite number or NaN. */
  next(group: number): boolean;
}

/** 16-bit floats are compared as whole numbers: the bits of the negative ones are turned, so that their order is that of the values. */
function halfReader(bytes: Uint8Array, dtype: 'F16' | 'BF16', group: number): GroupReader {
  const half = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  const values = new Float32Array(group);
  const bits = new Int32Array(values.buffer);
  const table = dtype === 'F16' ? f16Values() : null;
  const infinite = dtype === 'F16' ? 0x7c00 : 0x7f80;
  const numberOf = (key: number): number => {
    const pattern = key ^ ((key >> 31) & 0x7fff);
    if (table !== null) return table[pattern & 0xffff]!;
    bits[0] = pattern << 16;
    return values[0]!;
  };
  const reader: GroupReader = {
    values,
    min: 0,
    max: 0,
    next(g) {
      let least = 0x7fff;
      let most = -0x8000;
      const start = g * group;
      for (let i = 0; i < group; i++) {
        const pattern = half[start + i]!;
        const key = pattern ^ ((pattern >> 31) & 0x7fff);
        if (key < least) least = key;
        if (key > most) most = key;
      }
      if (most >= infinite || least <= ~infinite) return false;
      reader.min = numberOf(least);
      reader.max = numberOf(most);
      if (table === null) for (let i = 0; i < group; i++) bits[i] = half[start + i]! << 16;
      else for (let i = 0; i < group; i++) values[i] = table[half[start + i]! & 0xffff]!;
      return true;
    },
  };
  return reader;
}

function wideReader(bytes: Uint8Array, group: number): GroupReader {
  const numbers = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const values = new Float32Array(group);
  const reader: GroupReader = {
    values,
    min: 0,
    max: 0,
    next(g) {
      let min = Number.POSITIVE_INFINITY;
      let max = Number.NEGATIVE_INFINITY;
      let sum = 0;
      const start = g * group;
      for (let i = 0; i < group; i++) {
        const value = numbers[start + i]!;
        values[i] = value;
        if (value < min) min = value;
        if (value > max) max = value;
        sum += value;
      }
      reader.min = min;
      reader.max = max;
      // A sum of doubles stays finite unless one of them is not.
      return Number.isFinite(sum);
    },
  };
  return reader;
}

function areFinite(bytes: Uint8Array, dtype: FloatDtype): boolean {
  const words =
    dtype === 'F32' ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) : new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  const exponent = dtype === 'F32' ? 0x7f80_0000 : dtype === 'F16' ? 0x7c00 : 0x7f80;
  return words.every((word) => (word & exponent) !== exponent);
}
