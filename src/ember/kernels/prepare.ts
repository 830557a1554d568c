// Brings activations into the form of layout.ts. Order of the elements inside each chunk: as they come, but for 4-bit codes in chunks of 32 the
// even elements, then the odd ones, as the codes are unpacked.
import { blockRoom, blockSize, F32, INT8, planesOf, tileBytes, tileOf } from './layout';

/** Codes of four values: rint(x / scale), kept in range also where scale is a subnormal. Of NaN it makes any code: its scale is NaN too. */
// @ts-ignore: decorator
@inline
function codes4(x: usize, scale: v128, low: v128, high: v128): v128 {
  return i32x4.relaxed_trunc_f32x4_s(f32x4.pmax(f32x4.pmin(f32x4.nearest(f32x4.div(v128.load(x), scale)), high), low));
}

// @ts-ignore: decorator
@inline
function highByte(v: v128): v128 { return i16x8.shr_s(i16x8.add(v, i16x8.splat(128)), 8); }
// @ts-ignore: decorator
@inline
function lowByte(v: v128, high: v128): v128 { return i16x8.sub(v, i16x8.shl(high, 8)); }
/** 32 values of 16 bits as bytes. */
// @ts-ignore: decorator
@inline
function storeBytes(to: usize, a: v128, b: v128, c: v128, d: v128, split: bool): void {
  const e = i8x16.narrow_i16x8_s(a, b), f = i8x16.narrow_i16x8_s(c, d);
  if (!split) {
    v128.store(to, e);
    v128.store(to, f, 16);
    return;
  }
  v128.store(to, v128.shuffle<i8>(e, f, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
  v128.store(to, v128.shuffle<i8>(e, f, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), 16);
}

/** Sixteen values → i16 codes, in two vectors. */
let first: v128 = i32x4.splat(0), second: v128 = i32x4.splat(0);
// @ts-ignore: decorator
@inline
function codes16(x: usize, scale: v128, low: v128, high: v128, keep: v128): v128 {
  const q0 = v128.and(codes4(x, scale, low, high), keep), q1 = v128.and(codes4(x + 16, scale, low, high), keep);
  const q2 = v128.and(codes4(x + 32, scale, low, high), keep), q3 = v128.and(codes4(x + 48, scale, low, high), keep);
  first = i16x8.narrow_i32x4_s(q0, q1);
  second = i16x8.narrow_i32x4_s(q2, q3);
  return i32x4.add(i32x4.add(q0, q1), i32x4.add(q2, q3));
}

function prepareBlock(activation: i32, split: bool, block: u32, x: usize, codes: usize, scaleAt: usize, sumAt: usize): void {
  // As integers the bits of |x| have the order of the values, and NaN is above all: it reaches the scale, and so the result.
  let most = i32x4.splat(0);
  for (let i: u32 = 0; i < block; i += 4) most = i32x4.max_s(most, f32x4.abs(v128.load(x + (i << 2))));
  most = i32x4.max_s(most, v128.shuffle<i32>(most, most, 2, 3, 0, 1));
  most = i32x4.max_s(most, v128.shuffle<i32>(most, most, 1, 0, 3, 2));
  const largest: f32 = activation == INT8 ? 127 : 32639; // 127·256 + 127: both bytes of a code fit
  const scale = f32x4.extract_lane(most, 0) / largest;
  const high = f32x4.splat(largest), low = f32x4.splat(-largest), scales = f32x4.splat(scale);
  const keep = i32x4.splat(scale == 0 ? 0 : -1);
  let sums = i32x4.splat(0);
  if (block == 16) {
    sums = codes16(x, scales, low, high, keep);
    const h0 = highByte(first), h1 = highByte(second);
    if (activation == INT8) v128.store(codes, i8x16.narrow_i16x8_s(first, second));
    else {
      v128.store(codes, i8x16.narrow_i16x8_s(h0, h1));
      v128.store(codes, i8x16.narrow_i16x8_s(lowByte(first, h0), lowByte(second, h1)), 16);
    }
  } else {
    for (let i: u32 = 0; i < block; i += 32) {
      sums = i32x4.add(sums, codes16(x, scales, low, high, keep));
      const a = first, b = second;
      sums = i32x4.add(sums, codes16(x + 64, scales, low, high, keep));
      const c = first, d = second;
      if (activation == INT8) storeBytes(codes, a, b, c, d, split);
      else {
        const h0 = highByte(a), h1 = highByte(b), h2 = highByte(c), h3 = highByte(d);
        storeBytes(codes, h0, h1, h2, h3, split);
        storeBytes(codes + 32, lowByte(a, h0), lowByte(b, h1), lowByte(c, h2), lowByte(d, h3), split);
      }
      x += 128;
      codes += activation == INT8 ? 32 : 64;
    }
  }
  f32.store(scaleAt, scale);
  const sum = i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + (i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3));
  f32.store(sumAt, scale * <f32>sum);
}

export function prepare(activation: i32, bits: u32, group: u32, x: usize, tokens: u32, k: u32, prepared: usize): void {
  if (activation == F32) {
    memory.copy(prepared, x, <usize>(tokens * k) << 2);
    return;
  }
  const block = blockSize(group), blocks = k / block, room = blockRoom(group, k), planes = planesOf(activation);
  for (let left = tokens; left > 0; ) {
    const tile = tileOf(left), full = min(tile, left), bytes = tileBytes(activation, group, tile, k);
    const scales = prepared + (tile * k * planes + 15 & ~15), sums = scales + ((tile * room) << 2);
    if (full < tile) memory.fill(prepared, 0, bytes);
    else {
      memory.fill(scales + ((tile * blocks) << 2), 0, (tile * (room - blocks)) << 2);
      memory.fill(sums + ((tile * blocks) << 2), 0, (tile * (room - blocks)) << 2);
    }
    for (let t: u32 = 0; t < full; t++) {
      for (let b: u32 = 0; b < blocks; b++) {
        const at = (b * tile + t) << 2;
        prepareBlock(activation, bits == 4 && group >= 32, block, x + ((b * block) << 2), prepared + (b * tile + t) * block * planes, scales + at, sums + at);
      }
      x += <usize>k << 2;
    }
    prepared += bytes;
    left -= full;
  }
}
