import { HearthError } from '../../core/index.ts';
import { f16ToNumber, numberToF16 } from '../safetensors/index.ts';
import type { GgufTypeName } from './block-types.ts';
import { neighboursToHalves } from './regroup.ts';

/** Packed 4-bit codes of MLX with the bits of fp16 scales and biases → Q4_1. `groupSize` 32, 64 or 128: a group becomes several blocks. */
export function encodeQ41(codes: Uint8Array, scales: Uint16Array, biases: Uint16Array, groupSize: number): Uint8Array {
  const perGroup = groupSize / 32;
  const blocks = codes.length / 16;
  const out = new Uint8Array(blocks * 20);
  for (let block = 0; block < blocks; block += 1) {
    const group = Math.floor(block / perGroup);
    writeHalf(out, block * 20, scales[group]!);
    writeHalf(out, block * 20 + 2, biases[group]!);
    neighboursToHalves(codes, block * 16, out, block * 20 + 4);
  }
  return out;
}

/** Codes of 5 bits, one per byte → Q5_1. */
export function encodeQ51(codes: Uint8Array, scales: Uint16Array, biases: Uint16Array, groupSize: number): Uint8Array {
  const perGroup = groupSize / 32;
  const blocks = codes.length / 32;
  const out = new Uint8Array(blocks * 24);
  for (let block = 0; block < blocks; block += 1) {
    const at = block * 24;
    const group = Math.floor(block / perGroup);
    writeHalf(out, at, scales[group]!);
    writeHalf(out, at + 2, biases[group]!);
    for (let i = 0; i < 32; i += 1) {
      const code = codes[block * 32 + i]!;
      out[at + 4 + (i >> 3)]! |= (code >> 4) << (i & 7);
      out[at + 8 + (i & 15)]! |= (code & 15) << (i < 16 ? 0 : 4);
    }
  }
  return out;
}

/** Codes of 8 bits with a bias of −128 · scale → Q8_0. */
export function encodeQ80Codes(codes: Uint8Array, scales: Uint16Array, groupSize: number): Uint8Array {
  const blocks = codes.length / 32;
  const out = new Uint8Array(blocks * 34);
  for (let block = 0; block < blocks; block += 1) {
    writeHalf(out, block * 34, scales[Math.floor((block * 32) / groupSize)]!);
    for (let i = 0; i < 32; i += 1) out[block * 34 + 2 + i] = codes[block * 32 + i]! ^ 0x80;
  }
  return out;
}

/** Packed fp4 codes and E8M0 bytes → MXFP4. */
export function encodeMxfp4(codes: Uint8Array, scales: Uint8Array): Uint8Array {
  const out = new Uint8Array(scales.length * 17);
  for (let block = 0; block < scales.length; block += 1) {
    out[block * 17] = scales[block]!;
    neighboursToHalves(codes, block * 16, out, block * 17 + 1);
  }
  return out;
}

/** Packed fp4 codes and E4M3 bytes, one per 16 elements → NVFP4. */
export function encodeNvfp4(codes: Uint8Array, scales: Uint8Array): Uint8Array {
  const blocks = scales.length / 4;
  const out = new Uint8Array(blocks * 36);
  for (let block = 0; block < blocks; block += 1) {
    out.set(scales.subarray(block * 4, block * 4 + 4), block * 36);
    for (let s = 0; s < 4; s += 1) {
      const from = block * 32 + 8 * s;
      const to = block * 36 + 4 + 8 * s;
      for (let j = 0; j < 8; j += 1) {
        // Element j is a low nibble, element j + 8 the high one of the same byte; in MLX both lie in the order of elements.
        const nibble = (element: number) => (codes[from + (element >> 1)]! >> (4 * (element & 1))) & 15;
        out[to + j] = nibble(j) | (nibble(j + 8) << 4);
      }
    }
  }
  return out;
}

/**
 * Numbers → Q8_0 with the error bound of docs/spec/formats.md §8.2: d = max|w| ÷ 127 rounded up to fp16, so that nothing is clipped
 * and every element is at most d/2 away. Throws `convert_not_finite` where d leaves the range of fp16.
 */
export function quantiseQ80(values: ArrayLike<number>): Uint8Array {
  const blocks = values.length / 32;
  const out = new Uint8Array(blocks * 34);
  for (let block = 0; block < blocks; block += 1) {
    let largest = 0;
    for (let i = 0; i < 32; i += 1) largest = Math.max(largest, Math.abs(values[block * 32 + i]!));
    const half = roundUpToHalf(largest / 127);
    const d = f16ToNumber(half);
    writeHalf(out, block * 34, half);
    for (let i = 0; i < 32; i += 1) out[block * 34 + 2 + i] = d === 0 ? 0 : roundHalfEven(values[block * 32 + i]! / d);
  }
  return out;
}

/** Numbers → Q4_0 as llama.cpp's reference quantises: the element of largest size becomes −8. For benchmarks against other engines only. */
export function quantiseQ40(values: Float32Array): Uint8Array {
  const blocks = values.length / 32;
  const out = new Uint8Array(blocks * 18);
  for (let block = 0; block < blocks; block += 1) {
    let edge = 0;
    for (let i = 0; i < 32; i += 1) if (Math.abs(values[block * 32 + i]!) > Math.abs(edge)) edge = values[block * 32 + i]!;
    const d = Math.fround(edge / -8);
    const inverse = d === 0 ? 0 : Math.fround(1 / d);
    writeHalf(out, block * 18, numberToF16(d));
    for (let i = 0; i < 32; i += 1) {
      const code = Math.min(15, Math.trunc(Math.fround(Math.fround(values[block * 32 + i]! * inverse) + 8.5)));
      out[block * 18 + 2 + (i & 15)]! |= code << (i < 16 ? 0 : 4);
    }
  }
  return out;
}

/** Bytes of plain numbers in one of the plain types. */
export type PlainGgufType = Extract<GgufTypeName, 'F32' | 'F16' | 'BF16'>;

function writeHalf(out: Uint8Array, at: number, half: number): void {
  out[at] = half & 255;
  out[at + 1] = half >> 8;
}

function roundUpToHalf(x: number): number {
  if (!(x <= 65_504)) throw new HearthError('convert_not_finite', 'A number is too large for an fp16 scale.');
  const half = numberToF16(x);
  return f16ToNumber(half) < x ? half + 1 : half;
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
