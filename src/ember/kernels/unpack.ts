// A row of packed codes → one byte a code: docs/spec/formats.md §3.1.

// What `generic` needs for the width that it unpacked last: of eight codes the byte pairs that hold them, and the factors that bring each to the top.
let width: u32 = 0;
let PAIRS: v128 = i32x4.splat(0), NEXT: v128 = PAIRS, FACTORS: v128 = PAIRS;

function learn(bits: u32): void {
  if (width == bits) return;
  width = bits;
  let pairs: v128 = i32x4.splat(0), factors = pairs;
  let low: u64 = 0, high: u64 = 0, lowFactors: u64 = 0, highFactors: u64 = 0;
  for (let i: u32 = 0; i < 8; i++) {
    const bit = i * bits, pair = <u64>((bit >> 3) | (((bit >> 3) + 1) << 8)), factor = <u64>(1 << (16 - bits - (bit & 7)));
    if (i < 4) {
      low |= pair << (16 * i);
      lowFactors |= factor << (16 * i);
    } else {
      high |= pair << (16 * (i - 4));
      highFactors |= factor << (16 * (i - 4));
    }
  }
  pairs = i64x2.replace_lane(i64x2.splat(low), 1, high);
  factors = i64x2.replace_lane(i64x2.splat(lowFactors), 1, highFactors);
  PAIRS = pairs;
  NEXT = i8x16.add(pairs, i8x16.splat(<i8>bits));
  FACTORS = factors;
}

/** Widths that straddle bytes: each code, in a pair of bytes, is multiplied to the top of 16 bits, which cuts what is above it, and shifted down. */
function generic(bits: u32, w: usize, to: usize, k: u32): void {
  learn(bits);
  const pairs = PAIRS, next = NEXT, factors = FACTORS, down = 16 - bits;
  for (const end = to + k; to < end; to += 32) {
    const u = v128.load(w), v = v128.load(w + 2 * bits);
    const a = i16x8.shr_u(i16x8.mul(i8x16.relaxed_swizzle(u, pairs), factors), down), b = i16x8.shr_u(i16x8.mul(i8x16.relaxed_swizzle(u, next), factors), down);
    const c = i16x8.shr_u(i16x8.mul(i8x16.relaxed_swizzle(v, pairs), factors), down), d = i16x8.shr_u(i16x8.mul(i8x16.relaxed_swizzle(v, next), factors), down);
    v128.store(to, i8x16.narrow_i16x8_u(a, b));
    v128.store(to, i8x16.narrow_i16x8_u(c, d), 16);
    w += 4 * bits;
  }
}

/** 2·value + 12 of each E2M1 code: 0 … 24. */
let E2M1: v128 = i8x16(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);

/** `split`: the even codes of each 32, then the odd ones. */
function nibbles(floats: bool, split: bool, w: usize, to: usize, k: u32): void {
  const mask = i8x16.splat(15), table = E2M1;
  for (const end = to + k; to < end; to += 32) {
    const u = v128.load(w);
    let a = v128.and(u, mask), b = v128.and(i16x8.shr_u(u, 4), mask);
    if (floats) {
      a = i8x16.relaxed_swizzle(table, a);
      b = i8x16.relaxed_swizzle(table, b);
    }
    v128.store(to, split ? a : v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    v128.store(to, split ? b : v128.shuffle<i8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), 16);
    w += 16;
  }
}

/** k codes of 2 to 6 bits at w → bytes at `to`; small floats as 2·value + 12. k a multiple of 32; reads up to 16 bytes beyond. */
export function unpackRow(bits: u32, floats: bool, split: bool, w: usize, to: usize, k: u32): void {
  if (bits == 4) nibbles(floats, split, w, to, k);
  else generic(bits, w, to, k);
}

/** A row of bytes → its lower halves at `to` and its upper ones at `to` + k, or each less 128. */
export function splitRow(halves: bool, w: usize, to: usize, k: u32): void {
  const mask = i8x16.splat(15), top = i8x16.splat(-128);
  for (const end = w + k; w < end; w += 16) {
    const u = v128.load(w);
    v128.store(to, halves ? v128.and(u, mask) : v128.xor(u, top));
    if (halves) v128.store(to + k, v128.and(i16x8.shr_u(u, 4), mask));
    to += 16;
  }
}
