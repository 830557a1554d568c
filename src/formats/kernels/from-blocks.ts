// Blocks of 32 of GGML to the codes, scales and biases of MLX.

import { pack16 } from './codes';
import { F32, fromHalf, toHalf } from './floats';

/** Codes of two elements in one byte each -> neighbours in one byte: 16 elements to 8 bytes, twice. */
@inline
export function packNeighbours(first: v128, second: v128): v128 {
  const byte = i16x8.splat(0xff);
  return i8x16.narrow_i16x8_u(v128.and(v128.or(first, i16x8.shr_u(first, 4)), byte), v128.and(v128.or(second, i16x8.shr_u(second, 4)), byte));
}

/** Blocks of `stride` bytes with 16 bytes of nibbles at `offset`, elements i and i + 16 in one byte -> packed as MLX does. */
export function nibblesOfBlocks(blocks: usize, stride: i32, offset: i32, count: i32, out: usize): void {
  const nibble = i8x16.splat(15);
  let at = blocks + offset;
  for (let block = 0; block < count; block++, at += stride, out += 16) {
    const halves = v128.load(at);
    v128.store(out, packNeighbours(v128.and(halves, nibble), v128.and(i16x8.shr_u(halves, 4), nibble)));
  }
}

/** Blocks with 32 fifth bits at `offset` and nibbles after them -> codes of 5 bits as MLX packs them, 20 bytes a block. */
export function fiveBitsOfBlocks(blocks: usize, stride: i32, offset: i32, count: i32, out: usize): void {
  const nibble = i8x16.splat(15);
  const bit = i64x2.splat(0x8040201008040201);
  let at = blocks + offset;
  for (let block = 0; block < count; block++, at += stride, out += 20) {
    const high = v128.load32_zero(at);
    const low = v128.load(at + 4);
    const first = fifth(i8x16.shuffle(high, high, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), bit);
    const second = fifth(i8x16.shuffle(high, high, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3), bit);
    pack16(v128.or(v128.and(low, nibble), first), 5, out);
    pack16(v128.or(v128.and(i16x8.shr_u(low, 4), nibble), second), 5, out + 10);
  }
}

/** 16 where a byte has the bit of its lane. */
@inline
function fifth(bytes: v128, bit: v128): v128 {
  return v128.and(i8x16.eq(v128.and(bytes, bit), bit), i8x16.splat(16));
}

/** Blocks with 32 signed codes at `offset` -> the codes plus 128. */
export function bytesOfBlocks(blocks: usize, stride: i32, offset: i32, count: i32, out: usize): void {
  const sign = i8x16.splat(-128);
  let at = blocks + offset;
  for (let block = 0; block < count; block++, at += stride, out += 32) {
    v128.store(out, v128.xor(v128.load(at), sign));
    v128.store(out + 16, v128.xor(v128.load(at + 16), sign));
  }
}

/** The fp16 number at `offset` of each block times `factor`, which the dtype of `out`, F32 or F16, holds. Gives false where one is not finite. */
export function halvesOfBlocks(blocks: usize, stride: i32, offset: i32, count: i32, factor: f32, dtype: i32, out: usize): bool {
  let at = blocks + offset;
  for (let block = 0; block < count; block++, at += stride) {
    const half = <u32>load<u16>(at);
    if ((half & 0x7c00) === 0x7c00) return false;
    if (dtype === F32) {
      store<f32>(out, fromHalf(half) * factor);
      out += 4;
    } else {
      store<u16>(out, factor === 1 ? <u16>half : <u16>toHalf(fromHalf(half) * factor));
      out += 2;
    }
  }
  return true;
}

/** The largest fp16 number by magnitude at `offset` of the blocks; at least 65,536 where one is not finite. */
export function largestHalf(blocks: usize, stride: i32, offset: i32, count: i32): f32 {
  let most: u32 = 0;
  let at = blocks + offset;
  for (let block = 0; block < count; block++, at += stride) most = max(most, <u32>load<u16>(at) & 0x7fff);
  return fromHalf(most);
}
