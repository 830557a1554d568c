import { HearthError } from '../../core/index.ts';
import { E4M3_VALUES, E8M0_VALUES, FP4_VALUES } from '../mlx/index.ts';
import { decodeFloats, f16ToNumber, isFloatDtype } from '../safetensors/index.ts';
import { type GgufTypeName, ggufTypeByName } from './block-types.ts';

/** Writes the numbers of the block at `at` to `out` from `to` on. Conversions are checked with these loops: no block makes anything new. */
type DecodeBlock = (bytes: Uint8Array, at: number, out: Float64Array, to: number) => void;

const f16 = (bytes: Uint8Array, at: number): number => f16ToNumber(bytes[at]! | (bytes[at + 1]! << 8));

/** Codes of a block of 32: byte i holds element i in its low nibble and element i + 16 in its high one. `least`: the number of code 0. */
function fourBits(bytes: Uint8Array, at: number, d: number, least: number, out: Float64Array, to: number): void {
  for (let i = 0; i < 16; i += 1) {
    const byte = bytes[at + i]!;
    out[to + i] = d * (byte & 15) + least;
    out[to + 16 + i] = d * (byte >> 4) + least;
  }
}

/** The same with 32 fifth bits before the nibbles. */
function fiveBits(bytes: Uint8Array, at: number, d: number, least: number, out: Float64Array, to: number): void {
  for (let i = 0; i < 16; i += 1) {
    const byte = bytes[at + 4 + i]!;
    const high = bytes[at + (i >> 3)]! >> (i & 7);
    const other = bytes[at + 2 + (i >> 3)]! >> (i & 7);
    out[to + i] = d * ((byte & 15) | ((high & 1) << 4)) + least;
    out[to + 16 + i] = d * ((byte >> 4) | ((other & 1) << 4)) + least;
  }
}

/** 6-bit scale of sub-block j, out of the 12 bytes that Q4_K and Q5_K keep scales and minima in. */
const scaleOf = (bytes: Uint8Array, at: number, j: number): number =>
  j < 4 ? bytes[at + j]! & 63 : (bytes[at + j + 4]! & 15) | ((bytes[at + j - 4]! >> 6) << 4);

const minimumOf = (bytes: Uint8Array, at: number, j: number): number =>
  j < 4 ? bytes[at + j + 4]! & 63 : (bytes[at + j + 4]! >> 4) | ((bytes[at + j]! >> 6) << 4);

/** Where the codes of 2 bits of elements 16k … 16k + 15 lie: byte i of a half of 128 holds elements i, i + 32, i + 64 and i + 96 of it, lowest bits first. */
const twoBitsAt = (k: number): number => 32 * (k >> 3) + 16 * (k & 1);
const twoBitsShift = (k: number): number => 2 * ((k >> 1) & 3);

const DECODERS: Partial<Record<GgufTypeName, DecodeBlock>> = {
  // Products with 8, 16 and 128 are exact, and so are the sums.
  Q4_0: (bytes, at, out, to) => {
    const d = f16(bytes, at);
    fourBits(bytes, at + 2, d, -8 * d, out, to);
  },
  Q4_1: (bytes, at, out, to) => fourBits(bytes, at + 4, f16(bytes, at), f16(bytes, at + 2), out, to),
  Q5_0: (bytes, at, out, to) => {
    const d = f16(bytes, at);
    fiveBits(bytes, at + 2, d, -16 * d, out, to);
  },
  Q5_1: (bytes, at, out, to) => fiveBits(bytes, at + 4, f16(bytes, at), f16(bytes, at + 2), out, to),
  Q8_0: (bytes, at, out, to) => {
    const d = f16(bytes, at);
    for (let i = 0; i < 32; i += 1) out[to + i] = d * ((bytes[at + 2 + i]! << 24) >> 24);
  },
  MXFP4: (bytes, at, out, to) => {
    const scale = E8M0_VALUES[bytes[at]!]!;
    for (let i = 0; i < 16; i += 1) {
      const byte = bytes[at + 1 + i]!;
      out[to + i] = FP4_VALUES[byte & 15]! * scale;
      out[to + 16 + i] = FP4_VALUES[byte >> 4]! * scale;
    }
  },
  NVFP4: (bytes, at, out, to) => {
    for (let s = 0; s < 4; s += 1) {
      const byte = bytes[at + s]!;
      const scale = byte === 0x7f ? 0 : E4M3_VALUES[byte & 0x7f]!;
      for (let j = 0; j < 8; j += 1) {
        const codes = bytes[at + 4 + 8 * s + j]!;
        out[to + 16 * s + j] = FP4_VALUES[codes & 15]! * scale;
        out[to + 16 * s + 8 + j] = FP4_VALUES[codes >> 4]! * scale;
      }
    }
  },
  Q2_K: (bytes, at, out, to) => {
    const d = f16(bytes, at + 80);
    const least = f16(bytes, at + 82);
    for (let k = 0; k < 16; k += 1) {
      const factor = d * (bytes[at + k]! & 15);
      const minimum = least * (bytes[at + k]! >> 4);
      const from = at + 16 + twoBitsAt(k);
      for (let i = 0; i < 16; i += 1) out[to + 16 * k + i] = factor * ((bytes[from + i]! >> twoBitsShift(k)) & 3) - minimum;
    }
  },
  Q3_K: (bytes, at, out, to) => {
    const d = f16(bytes, at + 108);
    for (let k = 0; k < 16; k += 1) {
      const low = k < 8 ? bytes[at + 96 + k]! & 15 : bytes[at + 88 + k]! >> 4;
      const factor = d * ((low | (((bytes[at + 104 + (k & 3)]! >> (2 * (k >> 2))) & 3) << 4)) - 32);
      const from = at + 32 + twoBitsAt(k);
      const high = at + 16 * (k & 1);
      for (let i = 0; i < 16; i += 1) {
        const code = (bytes[from + i]! >> twoBitsShift(k)) & 3;
        out[to + 16 * k + i] = factor * (code - ((bytes[high + i]! >> (k >> 1)) & 1 ? 0 : 4));
      }
    }
  },
  Q4_K: (bytes, at, out, to) => {
    const d = f16(bytes, at);
    const least = f16(bytes, at + 2);
    for (let j = 0; j < 8; j += 1) {
      const scale = d * scaleOf(bytes, at + 4, j);
      const minimum = least * minimumOf(bytes, at + 4, j);
      const from = at + 16 + 32 * (j >> 1);
      const shift = 4 * (j & 1);
      for (let i = 0; i < 32; i += 1) out[to + 32 * j + i] = scale * ((bytes[from + i]! >> shift) & 15) - minimum;
    }
  },
  Q5_K: (bytes, at, out, to) => {
    const d = f16(bytes, at);
    const least = f16(bytes, at + 2);
    for (let j = 0; j < 8; j += 1) {
      const scale = d * scaleOf(bytes, at + 4, j);
      const minimum = least * minimumOf(bytes, at + 4, j);
      const from = at + 48 + 32 * (j >> 1);
      const shift = 4 * (j & 1);
      for (let i = 0; i < 32; i += 1) {
        const code = ((bytes[from + i]! >> shift) & 15) | (((bytes[at + 16 + i]! >> j) & 1) << 4);
        out[to + 32 * j + i] = scale * code - minimum;
      }
    }
  },
  Q6_K: (bytes, at, out, to) => {
    const d = f16(bytes, at + 208);
    for (let k = 0; k < 16; k += 1) {
      const scale = d * ((bytes[at + 192 + k]! << 24) >> 24);
      const half = k >> 3;
      const quarter = (k >> 1) & 3;
      const low = at + 64 * half + 32 * (quarter & 1) + 16 * (k & 1);
      const high = at + 128 + 32 * half + 16 * (k & 1);
      for (let i = 0; i < 16; i += 1) {
        const code = ((bytes[low + i]! >> (4 * (quarter >> 1))) & 15) | (((bytes[high + i]! >> (2 * quarter)) & 3) << 4);
        out[to + 16 * k + i] = scale * (code - 32);
      }
    }
  },
};

/**
 * The real numbers that encoded blocks stand for, exactly (docs/spec/formats.md §6; K types as llama.cpp's reference decodes them).
 * Throws `convert_type_unsupported` for a type without a decoder.
 */
export function decodeBlocks(type: GgufTypeName, bytes: Uint8Array): Float64Array {
  if (isFloatDtype(type)) return new Float64Array(decodeFloats(type, bytes));
  const decode = DECODERS[type];
  if (decode === undefined) throw new HearthError('convert_type_unsupported', `Blocks of type ${type} cannot be decoded.`);
  const block = ggufTypeByName(type);
  const out = new Float64Array((bytes.length / block.bytes) * block.elements);
  for (let at = 0, to = 0; to < out.length; at += block.bytes, to += block.elements) decode(bytes, at, out, to);
  return out;
}
