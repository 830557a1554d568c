// Dot products of codes and integer activations, in lanes. Types stand for constants: conditions on their sizes are decided by the compiler, so that
// only one branch is ever made.
//   W  weights: u8 = packed 4-bit codes, u16 = bytes        A  activations: u8 = int8, u16 = int8 with 32-bit dots, u32, u64 = int16 likewise
//   G  block of G·8 elements: u16, u32, u64                 T  tokens of a tile: u8, u16, u32, u64 (matmul-integer.ts)
import { heldInt, integerSums4 } from './numbers';

/** The mask that takes 4-bit codes out of their place, made before a loop. */
// @ts-ignore: decorator
@inline
export function maskOf(): v128 { return heldInt(0x0f0f0f0f); }
/** 1 in each 16 bits. */
// @ts-ignore: decorator
@inline
export function onesOf(): v128 { return heldInt(0x00010001); }
/** 256 in each 16 bits. */
// @ts-ignore: decorator
@inline
export function highsOf(): v128 { return heldInt(0x01000100); }

/** Bytes of a chunk of codes, and of one token's chunk of activations. */
// @ts-ignore: decorator
@inline
export function chunkBytes<W, G>(): usize { return sizeof<W>() == 1 || sizeof<G>() == 2 ? 16 : 32; }
// @ts-ignore: decorator
@inline
export function valueBytes<A, G>(): usize { return (sizeof<G>() == 2 ? 16 : 32) * (sizeof<A>() >= 4 ? 2 : 1); }

/** First and second sixteen codes of a chunk at w, whose first sixteen bytes are u. */
// @ts-ignore: decorator
@inline
export function lower<W>(u: v128, mask: v128): v128 { return sizeof<W>() == 1 ? v128.and(u, mask) : u; }
// @ts-ignore: decorator
@inline
export function upper<W>(w: usize, u: v128, mask: v128): v128 {
  return sizeof<W>() == 1 ? v128.and(i16x8.shr_u(u, 4), mask) : v128.load(w, 16); // the 8-bit shift costs four instructions
}

// @ts-ignore: decorator
@inline
function sums16<G>(x: usize, n0: v128, n1: v128): v128 {
  const first = i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(x), n0);
  if (sizeof<G>() == 2) return first;
  return i16x8.add(first, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(x, 16), n1));
}
// @ts-ignore: decorator
@inline
function sums32<G>(x: usize, n0: v128, n1: v128, acc: v128): v128 {
  const first = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(x), n0, acc);
  if (sizeof<G>() == 2) return first;
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(x, 16), n1, first);
}

/**
 * Lanes of a block of 16-bit sums: i16 for packed codes (8·15·128 at most), i32 for bytes, widened after each chunk (4·63·128 at most), times `one`.
 */
// @ts-ignore: decorator
@inline
function narrowPlane<W, G>(x: usize, apart: usize, n0: v128, n1: v128, n2: v128, n3: v128, one: v128): v128 {
  const first = sums16<G>(x, n0, n1);
  if (sizeof<W>() == 1) return sizeof<G>() == 8 ? i16x8.add(first, sums16<G>(x + apart, n2, n3)) : first;
  const wide = i32x4.dot_i16x8_s(first, one);
  return sizeof<G>() == 8 ? i32x4.add(wide, i32x4.dot_i16x8_s(sums16<G>(x + apart, n2, n3), one)) : wide;
}
// @ts-ignore: decorator
@inline
function widePlane<G>(x: usize, apart: usize, n0: v128, n1: v128, n2: v128, n3: v128): v128 {
  const first = sums32<G>(x, n0, n1, i32x4.splat(0));
  return sizeof<G>() == 8 ? sums32<G>(x + apart, n2, n3, first) : first;
}

/**
 * Lanes of a block of codes and the activations of one token at x: 4 lanes of i32 (≤ 16·255·32,639 each), but for packed codes and
 * int8 without 32-bit dots 8 lanes of i16.
 */
// @ts-ignore: decorator
@inline
export function meet<W, A, G>(n0: v128, n1: v128, n2: v128, n3: v128, x: usize, ones: v128, highs: v128): v128 {
  const apart = valueBytes<A, G>(), low: usize = sizeof<G>() == 2 ? 16 : 32;
  if (sizeof<A>() == 1) return narrowPlane<W, G>(x, apart, n0, n1, n2, n3, ones);
  if (sizeof<A>() == 2) return widePlane<G>(x, apart, n0, n1, n2, n3);
  if (sizeof<A>() == 8) return i32x4.add(i32x4.shl(widePlane<G>(x, apart, n0, n1, n2, n3), 8), widePlane<G>(x + low, apart, n0, n1, n2, n3));
  const h = narrowPlane<W, G>(x, apart, n0, n1, n2, n3, highs), l = narrowPlane<W, G>(x + low, apart, n0, n1, n2, n3, ones);
  if (sizeof<W>() != 1) return i32x4.add(h, l);
  return i32x4.add(i32x4.dot_i16x8_s(h, highs), i32x4.dot_i16x8_s(l, ones));
}

/** Lanes of a block of codes at w and one token. */
// @ts-ignore: decorator
@inline
export function dotBlock<W, A, G>(w: usize, x: usize, mask: v128, ones: v128, highs: v128): v128 {
  const u = v128.load(w), n0 = lower<W>(u, mask), n1 = sizeof<G>() == 2 ? n0 : upper<W>(w, u, mask);
  if (sizeof<G>() != 8) return meet<W, A, G>(n0, n1, n0, n1, x, ones, highs);
  const z = w + chunkBytes<W, G>(), v = v128.load(z);
  return meet<W, A, G>(n0, n1, lower<W>(v, mask), upper<W>(z, v, mask), x, ones, highs);
}

/** Four blocks' lanes → their four dot products as f32x4. */
// @ts-ignore: decorator
@inline
export function finish4<W, A, G>(a: v128, b: v128, c: v128, d: v128, ones: v128): v128 {
  if (sizeof<W>() != 1 || sizeof<A>() != 1) return f32x4.convert_i32x4_s(integerSums4(a, b, c, d));
  // Sums of four lanes are at most 30,480 and fit in i16 again; for blocks of 32 so do the next ones.
  const ab = i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones)), ones);
  const cd = i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(i32x4.dot_i16x8_s(c, ones), i32x4.dot_i16x8_s(d, ones)), ones);
  if (sizeof<G>() == 4) return f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(ab, cd), ones));
  return f32x4.convert_i32x4_s(i32x4.add(v128.shuffle<i32>(ab, cd, 0, 2, 4, 6), v128.shuffle<i32>(ab, cd, 1, 3, 5, 7)));
}
