// Dot products of packed codes and integer activations, in lanes. Types stand for constants, as in matmul-integer.ts: conditions on their sizes are
// decided by the compiler, so that only one branch is ever made.
import { heldInt, integerSums4 } from './numbers';
import { W4D16, W4D8, W4X16, W4X8, W8X16 } from './layout';

/** The mask that takes codes out of their place, made before a loop: 15 in each byte, or in each 16 bits for W4X16. */
// @ts-ignore: decorator
@inline
export function maskOf<K>(): v128 { return heldInt(sizeof<K>() != W4X16 ? 0x0f0f0f0f : 0x000f000f); }
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
export function weights32<K>(): usize { return sizeof<K>() == W8X16 ? 32 : 16; }
// @ts-ignore: decorator
@inline
export function values32<K>(): usize { return sizeof<K>() == W4X8 || sizeof<K>() == W4D8 ? 32 : 64; }

// @ts-ignore: decorator
@inline
function sums16(x: usize, n0: v128, n1: v128): v128 {
  return i16x8.add(i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(x), n0), i16x8.relaxed_dot_i8x16_i7x16_s(v128.load(x + 16), n1));
}
// @ts-ignore: decorator
@inline
function sums32(x: usize, n0: v128, n1: v128, acc: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(x + 16), n1, i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(x), n0, acc));
}
/** A block of 32, or of 64 elements whose second half lies `apart` bytes on. */
// @ts-ignore: decorator
@inline
function wideSums<G>(x: usize, apart: usize, n0: v128, n1: v128, n2: v128, n3: v128): v128 {
  const first = sums32(x, n0, n1, i32x4.splat(0));
  if (sizeof<G>() == 4) return first;
  return sums32(x + apart, n2, n3, first);
}

/**
 * Lanes of unpacked codes and the activations of one token of a tile of T at x; a whole block for codes in bytes, else 32 elements.
 * W4X8: 8 lanes of i16, of eight products at most (8·15·127 = 15,240). The others: 4 lanes of i32; a block of 64: ≤ 16·255·32,639 a lane.
 * W4D16: activations are 256·h + l, all h of 32 elements before all l.
 */
// @ts-ignore: decorator
@inline
export function meet<K, G, T>(n0: v128, n1: v128, n2: v128, n3: v128, x: usize): v128 {
  if (sizeof<K>() == W4X8) {
    if (sizeof<G>() == 4) return sums16(x, n0, n1);
    return i16x8.add(sums16(x, n0, n1), sums16(x + 32 * sizeof<T>(), n2, n3));
  }
  if (sizeof<K>() == W4D8) return wideSums<G>(x, 32 * sizeof<T>(), n0, n1, n2, n3);
  if (sizeof<K>() == W4D16) return i32x4.add(i32x4.shl(wideSums<G>(x, 64 * sizeof<T>(), n0, n1, n2, n3), 8), wideSums<G>(x + 32, 64 * sizeof<T>(), n0, n1, n2, n3));
  const a = i32x4.add(i32x4.dot_i16x8_s(v128.load(x), n0), i32x4.dot_i16x8_s(v128.load(x + 16), n1));
  const b = i32x4.add(i32x4.dot_i16x8_s(v128.load(x + 32), n2), i32x4.dot_i16x8_s(v128.load(x + 48), n3));
  return i32x4.add(a, b);
}

// @ts-ignore: decorator
@inline
function dot32<K>(w: usize, x: usize, mask: v128): v128 {
  if (sizeof<K>() == W8X16) return meet<K, u32, u8>(v128.load_ext<u8>(w), v128.load_ext<u8>(w + 8), v128.load_ext<u8>(w + 16), v128.load_ext<u8>(w + 24), x);
  const u = v128.load(w);
  return meet<K, u32, u8>(quarter(u, 0, mask), quarter(u, 1, mask), quarter(u, 2, mask), quarter(u, 3, mask), x);
}

/** Lanes of one block of one token. */
// @ts-ignore: decorator
@inline
export function dotBlock<K, G>(w: usize, x: usize, mask: v128): v128 {
  if (sizeof<K>() != W4X16 && sizeof<K>() != W8X16) {
    const u = v128.load(w), v = sizeof<G>() == 4 ? u : v128.load(w + 16);
    return meet<K, G, u8>(even(u, mask), odd(u, mask), even(v, mask), odd(v, mask), x);
  }
  if (sizeof<G>() == 4) return dot32<K>(w, x, mask);
  return i32x4.add(dot32<K>(w, x, mask), dot32<K>(w + weights32<K>(), x + values32<K>(), mask));
}

/** Four blocks' lanes → their four dot products as f32x4. */
// @ts-ignore: decorator
@inline
export function finish4<K, G>(a: v128, b: v128, c: v128, d: v128, ones: v128): v128 {
  if (sizeof<K>() != W4X8) return f32x4.convert_i32x4_s(integerSums4(a, b, c, d));
  // Sums of four lanes are at most 30,480 and fit in i16 again; for blocks of 32 so do the next ones.
  const ab = i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones)), ones);
  const cd = i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(i32x4.dot_i16x8_s(c, ones), i32x4.dot_i16x8_s(d, ones)), ones);
  if (sizeof<G>() == 4) return f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(ab, cd), ones));
  return f32x4.convert_i32x4_s(i32x4.add(v128.shuffle<i32>(ab, cd, 0, 2, 4, 6), v128.shuffle<i32>(ab, cd, 1, 3, 5, 7)));
}

/** One block's lanes → f32 lanes whose sum is the dot product. */
// @ts-ignore: decorator
@inline
export function finish1<K>(lanes: v128, ones: v128): v128 {
  return f32x4.convert_i32x4_s(sizeof<K>() == W4X8 ? i32x4.dot_i16x8_s(lanes, ones) : lanes);
}
