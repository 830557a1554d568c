// Brings activations into the form of layout.ts. Order of the elements inside each 32, so that codes meet activations as they are unpacked:
//   4-bit × int8: the 16 even elements, then the odd ones          4-bit × int16: elements 4j, then 4j + 1, 4j + 2, 4j + 3;
//   with 32-bit dot products (cpu.ts) 256·h + l in two planes of bytes, h before l, each even before odd
//   4-bit × f32: of each 16 the even elements, then the odd ones   8-bit: as they come
import { wideDots } from './cpu';
import { blockSize, codeBytes, F32, INT8, tileBytes, tileOf } from './layout';

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
/** 32 values of 16 bits as bytes, even ones first. */
// @ts-ignore: decorator
@inline
function storeBytes(to: usize, a: v128, b: v128, c: v128, d: v128): void {
  const e = i8x16.narrow_i16x8_s(a, b), f = i8x16.narrow_i16x8_s(c, d);
  v128.store(to, v128.shuffle<i8>(e, f, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
  v128.store(to, v128.shuffle<i8>(e, f, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), 16);
}

function prepareBlock(activation: i32, bits: u32, block: u32, x: usize, codes: usize, step: usize, scaleAt: usize, sumAt: usize): void {
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
  for (let i: u32 = 0; i < block; i += 32) {
    const q0 = v128.and(codes4(x, scales, low, high), keep), q1 = v128.and(codes4(x + 16, scales, low, high), keep);
    const q2 = v128.and(codes4(x + 32, scales, low, high), keep), q3 = v128.and(codes4(x + 48, scales, low, high), keep);
    const q4 = v128.and(codes4(x + 64, scales, low, high), keep), q5 = v128.and(codes4(x + 80, scales, low, high), keep);
    const q6 = v128.and(codes4(x + 96, scales, low, high), keep), q7 = v128.and(codes4(x + 112, scales, low, high), keep);
    sums = i32x4.add(sums, i32x4.add(i32x4.add(i32x4.add(q0, q1), i32x4.add(q2, q3)), i32x4.add(i32x4.add(q4, q5), i32x4.add(q6, q7))));
    const a = i16x8.narrow_i32x4_s(q0, q1), b = i16x8.narrow_i32x4_s(q2, q3), c = i16x8.narrow_i32x4_s(q4, q5), d = i16x8.narrow_i32x4_s(q6, q7);
    if (bits == 8) {
      v128.store(codes, a);
      v128.store(codes, b, 16);
      v128.store(codes, c, 32);
      v128.store(codes, d, 48);
    } else if (activation == INT8) {
      storeBytes(codes, a, b, c, d);
    } else if (wideDots()) {
      const h0 = highByte(a), h1 = highByte(b), h2 = highByte(c), h3 = highByte(d);
      storeBytes(codes, h0, h1, h2, h3);
      storeBytes(codes + 32, lowByte(a, h0), lowByte(b, h1), lowByte(c, h2), lowByte(d, h3));
    } else {
      const e = v128.shuffle<i16>(a, b, 0, 4, 8, 12, 1, 5, 9, 13), f = v128.shuffle<i16>(c, d, 0, 4, 8, 12, 1, 5, 9, 13);
      const g = v128.shuffle<i16>(a, b, 2, 6, 10, 14, 3, 7, 11, 15), h = v128.shuffle<i16>(c, d, 2, 6, 10, 14, 3, 7, 11, 15);
      v128.store(codes, v128.shuffle<i64>(e, f, 0, 2));
      v128.store(codes, v128.shuffle<i64>(e, f, 1, 3), 16);
      v128.store(codes, v128.shuffle<i64>(g, h, 0, 2), 32);
      v128.store(codes, v128.shuffle<i64>(g, h, 1, 3), 48);
    }
    x += 128;
    codes += step;
  }
  f32.store(scaleAt, scale);
  const sum = i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + (i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3));
  f32.store(sumAt, scale * <f32>sum);
}

function prepareFloats(bits: u32, x: usize, codes: usize, step: usize, k: u32): void {
  for (let i: u32 = 0; i < k; i += 32) {
    for (let half: usize = 0; half < 128; half += 64) {
      const a = v128.load(x + half), b = v128.load(x + half, 16), c = v128.load(x + half, 32), d = v128.load(x + half, 48);
      const to = codes + half;
      v128.store(to, bits == 8 ? a : v128.shuffle<f32>(a, b, 0, 2, 4, 6));
      v128.store(to, bits == 8 ? b : v128.shuffle<f32>(c, d, 0, 2, 4, 6), 16);
      v128.store(to, bits == 8 ? c : v128.shuffle<f32>(a, b, 1, 3, 5, 7), 32);
      v128.store(to, bits == 8 ? d : v128.shuffle<f32>(c, d, 1, 3, 5, 7), 48);
    }
    x += 128;
    codes += step;
  }
}

export function prepare(activation: i32, bits: u32, group: u32, x: usize, tokens: u32, k: u32, prepared: usize): void {
  const size = codeBytes(activation, bits), block = blockSize(group), blocks = k / block;
  for (let left = tokens; left > 0; ) {
    const tile = tileOf(left), full = min(tile, left), bytes = tileBytes(activation, bits, group, tile, k);
    if (full < tile) memory.fill(prepared, 0, bytes);
    const step = tile * 32 * size; // from one 32 of a token to its next
    const scales = prepared + tile * k * size, sums = scales + ((tile * blocks) << 2);
    for (let t: u32 = 0; t < full; t++) {
      const codes = prepared + t * 32 * size;
      if (activation == F32) prepareFloats(bits, x, codes, step, k);
      else {
        for (let b: u32 = 0; b < blocks; b++) {
          const at = (b * tile + t) << 2;
          prepareBlock(activation, bits, block, x + ((b * block) << 2), codes + b * (block >> 5) * step, step, scales + at, sums + at);
        }
      }
      x += <usize>k << 2;
    }
    prepared += bytes;
    left -= full;
  }
}
