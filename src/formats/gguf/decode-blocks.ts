import { HearthError } from '../../core/index.ts';
import { E4M3_VALUES, E8M0_VALUES, FP4_VALUES } from '../mlx/index.ts';
import { bf16ToNumber, f16ToNumber } from '../safetensors/index.ts';
import { type GgufTypeName, ggufTypeByName } from './block-types.ts';

type DecodeBlock = (view: DataView, at: number, out: Float64Array, to: number) => void;

const f16 = (view: DataView, at: number): number => f16ToNumber(view.getUint16(at, true));

/** Codes of a block of 32: byte i holds element i in its low nibble and element i + 16 in its high one. */
function nibbles(view: DataView, at: number, value: (code: number, element: number) => number, out: Float64Array, to: number): void {
  for (let i = 0; i < 16; i += 1) {
    const byte = view.getUint8(at + i);
    out[to + i] = value(byte & 15, i);
    out[to + 16 + i] = value(byte >> 4, i + 16);
  }
}

/** 6-bit scale and minimum of sub-block j, out of the 12 bytes that Q4_K and Q5_K keep them in. */
function scaleAndMinimum(view: DataView, at: number, j: number): readonly [number, number] {
  const byte = (index: number) => view.getUint8(at + index);
  if (j < 4) return [byte(j) & 63, byte(j + 4) & 63];
  return [(byte(j + 4) & 15) | ((byte(j - 4) >> 6) << 4), (byte(j + 4) >> 4) | ((byte(j) >> 6) << 4)];
}

/** Code of 2 bits: byte i of a half of 128 elements holds elements i, i + 32, i + 64 and i + 96 of it, lowest bits first. */
const twoBits = (view: DataView, at: number, element: number): number =>
  (view.getUint8(at + 32 * (element >> 7) + (element & 31)) >> (2 * ((element >> 5) & 3))) & 3;

const DECODERS: Partial<Record<GgufTypeName, DecodeBlock>> = {
  F32: (view, at, out, to) => {
    out[to] = view.getFloat32(at, true);
  },
  F16: (view, at, out, to) => {
    out[to] = f16(view, at);
  },
  BF16: (view, at, out, to) => {
    out[to] = bf16ToNumber(view.getUint16(at, true));
  },
  Q4_0: (view, at, out, to) => {
    const d = f16(view, at);
    nibbles(view, at + 2, (code) => d * (code - 8), out, to);
  },
  Q4_1: (view, at, out, to) => {
    const d = f16(view, at);
    const m = f16(view, at + 2);
    nibbles(view, at + 4, (code) => d * code + m, out, to);
  },
  Q5_0: (view, at, out, to) => {
    const d = f16(view, at);
    const high = view.getUint32(at + 2, true);
    nibbles(view, at + 6, (code, i) => d * ((code | (((high >>> i) & 1) << 4)) - 16), out, to);
  },
  Q5_1: (view, at, out, to) => {
    const d = f16(view, at);
    const m = f16(view, at + 2);
    const high = view.getUint32(at + 4, true);
    nibbles(view, at + 8, (code, i) => d * (code | (((high >>> i) & 1) << 4)) + m, out, to);
  },
  Q8_0: (view, at, out, to) => {
    const d = f16(view, at);
    for (let i = 0; i < 32; i += 1) out[to + i] = d * view.getInt8(at + 2 + i);
  },
  MXFP4: (view, at, out, to) => {
    const scale = E8M0_VALUES[view.getUint8(at)]!;
    nibbles(view, at + 1, (code) => FP4_VALUES[code]! * scale, out, to);
  },
  NVFP4: (view, at, out, to) => {
    for (let s = 0; s < 4; s += 1) {
      const byte = view.getUint8(at + s);
      const scale = byte === 0x7f ? 0 : E4M3_VALUES[byte & 0x7f]!;
      for (let j = 0; j < 8; j += 1) {
        const codes = view.getUint8(at + 4 + 8 * s + j);
        out[to + 16 * s + j] = FP4_VALUES[codes & 15]! * scale;
        out[to + 16 * s + 8 + j] = FP4_VALUES[codes >> 4]! * scale;
      }
    }
  },
  Q2_K: (view, at, out, to) => {
    const d = f16(view, at + 80);
    const least = f16(view, at + 82);
    for (let element = 0; element < 256; element += 1) {
      const both = view.getUint8(at + (element >> 4));
      out[to + element] = d * (both & 15) * twoBits(view, at + 16, element) - least * (both >> 4);
    }
  },
  Q3_K: (view, at, out, to) => {
    const d = f16(view, at + 108);
    const scales = Array.from({ length: 16 }, (_, k) => {
      const low = k < 8 ? view.getUint8(at + 96 + k) & 15 : view.getUint8(at + 88 + k) >> 4;
      return (low | (((view.getUint8(at + 104 + (k & 3)) >> (2 * (k >> 2))) & 3) << 4)) - 32;
    });
    for (let element = 0; element < 256; element += 1) {
      const high = (view.getUint8(at + (element & 31)) >> (element >> 5)) & 1;
      out[to + element] = d * scales[element >> 4]! * (twoBits(view, at + 32, element) - (high === 1 ? 0 : 4));
    }
  },
  Q4_K: (view, at, out, to) => {
    const d = f16(view, at);
    const least = f16(view, at + 2);
    for (let j = 0; j < 8; j += 1) {
      const [scale, minimum] = scaleAndMinimum(view, at + 4, j);
      for (let i = 0; i < 32; i += 1) {
        const code = (view.getUint8(at + 16 + 32 * (j >> 1) + i) >> (4 * (j & 1))) & 15;
        out[to + 32 * j + i] = d * scale * code - least * minimum;
      }
    }
  },
  Q5_K: (view, at, out, to) => {
    const d = f16(view, at);
    const least = f16(view, at + 2);
    for (let j = 0; j < 8; j += 1) {
      const [scale, minimum] = scaleAndMinimum(view, at + 4, j);
      for (let i = 0; i < 32; i += 1) {
        const low = (view.getUint8(at + 48 + 32 * (j >> 1) + i) >> (4 * (j & 1))) & 15;
        const code = low | (((view.getUint8(at + 16 + i) >> j) & 1) << 4);
        out[to + 32 * j + i] = d * scale * code - least * minimum;
      }
    }
  },
  Q6_K: (view, at, out, to) => {
    const d = f16(view, at + 208);
    for (let element = 0; element < 256; element += 1) {
      const half = element >> 7;
      const quarter = (element >> 5) & 3;
      const i = element & 31;
      const low = (view.getUint8(at + 64 * half + 32 * (quarter & 1) + i) >> (4 * (quarter >> 1))) & 15;
      const high = (view.getUint8(at + 128 + 32 * half + i) >> (2 * quarter)) & 3;
      out[to + element] = d * view.getInt8(at + 192 + (element >> 4)) * ((low | (high << 4)) - 32);
    }
  },
};

/**
 * The real numbers that encoded blocks stand for, exactly (docs/spec/formats.md §6; K types as llama.cpp's reference decodes them).
 * Throws `convert_type_unsupported` for a type without a decoder.
 */
export function decodeBlocks(type: GgufTypeName, bytes: Uint8Array): Float64Array {
  const decode = DECODERS[type];
  if (decode === undefined) throw new HearthError('convert_type_unsupported', `Blocks of type ${type} cannot be decoded.`);
  const block = ggufTypeByName(type);
  const count = bytes.byteLength / block.bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Float64Array(count * block.elements);
  for (let index = 0; index < count; index += 1) decode(view, index * block.bytes, out, index * block.elements);
  return out;
}
