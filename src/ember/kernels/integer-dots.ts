// Dot products of packed codes and integer activations, in lanes. `kind` (W4X8, W4X16, W8X16) and `B` (block of 32 or 64) are constants at each use.
import { heldInt, integerSums4 } from './numbers';
import { W4X8, W4X16, W8X16 } from './layout';

/** The mask that takes codes out of their place, made before a loop: 15 in each byte, or in each 16 bits for W4X16. */
// @ts-ignore: decorator
@inline
export function maskOf(kind: i32): v128 { return heldInt(kind == W4X8 ? 0x0f0f0f0f : 0x000f000f); }
/** 1 in each 16 bits. */
// @ts-ignore: decorator
@inline
export function onesOf(): v128 { return heldInt(0x00010001); }
// @ts-ignore: decorator
@inline
export function even(w: v128, mask: v128): v128 { return v128.and(w, mask); }
// @ts-ignore: decorator
@inline
export function odd(w: v128, mask: v128): v128 { return v128.and(i16x8.shr_u(w, 4), mask); } // the 8-bit shift costs four instructions
/** Codes 4j + i of 32 packed ones in lane j. */
// @ts-ignore: decorator
@inline
export function quarter(w: v128, i: i32, mask: v128): v128 {
  if (i == 3) return i16x8.shr_u(w, 12);
  return v128.and(i == 0 ? w : i16x8.shr_u(w, 4 * i), mask);
}

/** Bytes of 32 packed codes, and of 32 activations. */
// @ts-ignore: decorator
@inline
export function weights32(kind: i32): usize { return kind == W8X16 ? 32 : 16; }
// @ts-ignore: decorator
@inline
export function values32(kind: i32): usize { return kind == W4X8 ? 32 : 64; }

// @ts-ignore: decorator
@inline
export function add(kind: i32, a: v128, b: v128): v128 { return kind == W4X8 ? i16x8.add(a, b) : i32x4.add(a, b); }

/**
 * Lanes of 32 unpacked codes and the activations at x. W4X8: 8 lanes of i16, four products each, at most 4·15·127 = 7,620: four such sums fit.
 * The others: 4 lanes of i32, eight products each, at most 8·255·32,767: a block of 64 fits many times.
 */
// @ts-ignore: decorator
@inline
export function meet(kind: i32, n0: v128, n1: v128, n2: v128, n3: v128, x: usize): v128 {
  if (kind == W4X8) return i16x8.add(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(x), n0), i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(x + 16), n1));
  const a = i32x4.add(i32x4.dot_i16x8_s(v128.load(x), n0), i32x4.dot_i16x8_s(v128.load(x + 16), n1));
  const b = i32x4.add(i32x4.dot_i16x8_s(v128.load(x + 32), n2), i32x4.dot_i16x8_s(v128.load(x + 48), n3));
  return i32x4.add(a, b);
}

// @ts-ignore: decorator
@inline
function dot32(kind: i32, w: usize, x: usize, mask: v128): v128 {
  if (kind == W8X16) return meet(kind, v128.load_ext<u8>(w), v128.load_ext<u8>(w + 8), v128.load_ext<u8>(w + 16), v128.load_ext<u8>(w + 24), x);
  const u = v128.load(w);
  if (kind == W4X16) return meet(kind, quarter(u, 0, mask), quarter(u, 1, mask), quarter(u, 2, mask), quarter(u, 3, mask), x);
  return meet(kind, even(u, mask), odd(u, mask), u, u, x);
}

/** Lanes of one block of one token. */
// @ts-ignore: decorator
@inline
export function dotBlock(kind: i32, B: i32, w: usize, x: usize, mask: v128): v128 {
  if (B == 32) return dot32(kind, w, x, mask);
  return add(kind, dot32(kind, w, x, mask), dot32(kind, w + weights32(kind), x + values32(kind), mask));
}

/** Four blocks' lanes → their four dot products as f32x4. */
// @ts-ignore: decorator
@inline
export function finish4(kind: i32, B: i32, a: v128, b: v128, c: v128, d: v128, ones: v128): v128 {
  if (kind != W4X8) return f32x4.convert_i32x4_s(integerSums4(a, b, c, d));
  // Sums of four lanes are at most 30,480 and fit in i16 again; for blocks of 32 so do the next ones.
  const ab = i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones)), ones);
  const cd = i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(i32x4.dot_i16x8_s(c, ones), i32x4.dot_i16x8_s(d, ones)), ones);
  if (B == 32) return f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(ab, cd), ones));
  return f32x4.convert_i32x4_s(i32x4.add(v128.shuffle<i32>(ab, cd, 0, 2, 4, 6), v128.shuffle<i32>(ab, cd, 1, 3, 5, 7)));
}

/** One block's lanes → f32 lanes whose sum is the dot product. */
// @ts-ignore: decorator
@inline
export function finish1(kind: i32, lanes: v128, ones: v128): v128 {
  return f32x4.convert_i32x4_s(kind == W4X8 ? i32x4.dot_i16x8_s(lanes, ones) : lanes);
}
