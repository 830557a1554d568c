// Plain values and scales, four at a time. Types stand for formats at compile time: u16 = BF16, i16 = F16, f32 = F32, u8 = E8M0, i8 = E4M3.

/**
 * Always 0, but only the caller of the module could know. V8 builds a vector constant anew (three instructions) at every use inside a loop;
 * one that is made with this value before the loop stays in its register.
 */
export let zero: i32 = 0;

// @ts-ignore: decorator
@inline
export function heldInt(value: i32): v128 { return i32x4.splat(value | zero); }
// @ts-ignore: decorator
@inline
export function heldFloat(value: f32): v128 { return i32x4.splat(reinterpret<i32>(value) | zero); }

// @ts-ignore: decorator
@inline
const F16_REBIAS: f32 = 5192296858534827628530496329220096.0; // 2^112: moves the exponent of an F16, placed in the bits of an F32, to where it belongs

/** Four E4M3 bytes, one in each 32 bits. 0x7f is read as 480. Without subnormal F32 on the way, which takes more instructions and less time. */
// @ts-ignore: decorator
@inline
export function e4m3(bytes: v128): v128 {
  const top = i32x4.shl(bytes, 24), size = i32x4.shr_u(i32x4.shl(top, 1), 5);
  const value = i32x4.add(size, E4M3_EXPONENT); // right unless the exponent is 0: then (1 + m/8)·2^−7 stands for m/8·2^−6
  const small = v128.and(i32x4.lt_s(size, E4M3_NORMAL), f32x4.sub(value, E4M3_LEAST));
  return v128.or(f32x4.add(value, small), v128.and(top, SIGN));
}

/** Four values of format S at p. F16 infinities are read as 65,536: no checkpoint that passes its health check holds one. */
// @ts-ignore: decorator
@inline
export function load4<S>(p: usize): v128 {
  if (isFloat<S>()) return v128.load(p);
  if (sizeof<S>() == 1) {
    const bytes = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(p)));
    if (isSigned<S>()) return e4m3(bytes);
    return i32x4.max_s(i32x4.shl(bytes, 23), i32x4.splat(0x00400000)); // 0 is 2^−127
  }
  if (isSigned<S>()) {
    return f32x4.mul(v128.and(i32x4.shl(v128.load_ext<i16>(p), 13), F16_MASK), REBIAS);
  }
  return i32x4.shl(v128.load_ext<u16>(p), 16);
}

/** One value of format S at p. */
// @ts-ignore: decorator
@inline
export function load1<S>(p: usize): f32 {
  if (isFloat<S>()) return load<f32>(p);
  if (sizeof<S>() == 1) return f32x4.extract_lane(load4<S>(p), 0);
  if (isSigned<S>()) return reinterpret<f32>((<i32>load<i16>(p) << 13) & <i32>0x8fffe000) * F16_REBIAS;
  return reinterpret<f32>(<u32>load<u16>(p) << 16);
}

// @ts-ignore: decorator
@inline
export function sum4(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 2) + (f32x4.extract_lane(v, 1) + f32x4.extract_lane(v, 3));
}

/** Lane i of the result = sum of the lanes of the i-th argument. */
// @ts-ignore: decorator
@inline
export function sums4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

/** The same for i32 lanes. */
// @ts-ignore: decorator
@inline
export function integerSums4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}


/** Lane i goes to the row of token i, for the first `full` of them; yStride in bytes. */
// @ts-ignore: decorator
@inline
export function storeTokens(out: usize, yStride: usize, v: v128, full: i32): void {
  f32.store(out, f32x4.extract_lane(v, 0));
  if (full > 1) f32.store(out + yStride, f32x4.extract_lane(v, 1));
  if (full > 2) f32.store(out + 2 * yStride, f32x4.extract_lane(v, 2));
  if (full > 3) f32.store(out + 3 * yStride, f32x4.extract_lane(v, 3));
}

// Constants as variables, so that V8 loads them instead of building them at each use. ln 2 in two parts: the first has few bits, so that
// its products are exact. E6 … E3: 1/6! … 1/3!.
let E4M3_EXPONENT: v128 = i32x4.splat(120 << 23), E4M3_NORMAL: v128 = i32x4.splat(8 << 20), E4M3_LEAST: v128 = f32x4.splat(0.015625);
let SIGN: v128 = i32x4.splat(<i32>0x80000000);
let F16_MASK: v128 = i32x4.splat(<i32>0x8fffe000), REBIAS: v128 = f32x4.splat(F16_REBIAS);
let LOG2E: v128 = f32x4.splat(1.44269504), LN2_HIGH: v128 = f32x4.splat(-0.693359375), LN2_LOW: v128 = f32x4.splat(2.12194440e-4);
let E6: v128 = f32x4.splat(1.3888889e-3), E5: v128 = f32x4.splat(8.3333333e-3), E4: v128 = f32x4.splat(4.1666668e-2), E3: v128 = f32x4.splat(1.6666667e-1);
let HALF: v128 = f32x4.splat(0.5), ONE: v128 = f32x4.splat(1);
let BIAS: v128 = i32x4.splat(127), TOP: v128 = f32x4.splat(88.3), BOTTOM: v128 = f32x4.splat(-87.3);

// 2^f = 1 + f·(F0 + F1·f + …), −½ ≤ f ≤ ½, fitted for the smallest relative error (9e-8 before rounding).
let F0: v128 = f32x4.splat(0.69314700), F1: v128 = f32x4.splat(0.24022242), F2: v128 = f32x4.splat(5.5507336e-2), F3: v128 = f32x4.splat(9.671513e-3);
let F4: v128 = f32x4.splat(1.3264728e-3), LEAST_POWER: v128 = f32x4.splat(-126);

/** Never called. It is exported so that no optimiser can take these variables for constants. */
export function unsettle(value: i32): void {
  const v = i32x4.splat(value);
  E4M3_EXPONENT = v; E4M3_NORMAL = v; E4M3_LEAST = v; SIGN = v; F16_MASK = v; REBIAS = v; LOG2E = v; LN2_HIGH = v; LN2_LOW = v; E6 = v; E5 = v; E4 = v; E3 = v; HALF = v; ONE = v; BIAS = v; TOP = v; BOTTOM = v;
  F0 = v; F1 = v; F2 = v; F3 = v; F4 = v; LEAST_POWER = v;
}

/** e^x, about 2e-7 relative for |x| ≤ 87; 0 below, e^88.3 above 88.3; NaN stays NaN. */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const clamped = f32x4.pmax(f32x4.pmin(x, TOP), BOTTOM); // keeps a NaN in x, and is two instructions, unlike min and max
  const whole = f32x4.nearest(f32x4.mul(clamped, LOG2E));
  const r = f32x4.relaxed_madd(whole, LN2_LOW, f32x4.relaxed_madd(whole, LN2_HIGH, clamped));
  let p = f32x4.relaxed_madd(E6, r, E5);
  p = f32x4.relaxed_madd(p, r, E4);
  p = f32x4.relaxed_madd(p, r, E3);
  p = f32x4.relaxed_madd(p, r, HALF);
  p = f32x4.relaxed_madd(p, r, ONE);
  p = f32x4.relaxed_madd(p, r, ONE);
  const power = i32x4.shl(i32x4.add(i32x4.relaxed_trunc_f32x4_s(whole), BIAS), 23);
  return v128.andnot(f32x4.mul(p, power), f32x4.lt(x, BOTTOM));
}

/** 2^x for x ≤ 0, about 2e-7 relative, exactly 1 for 0; 2^−126 below −126; NaN stays NaN. */
// @ts-ignore: decorator
@inline
export function power4(x: v128): v128 {
  const clamped = f32x4.pmax(x, LEAST_POWER), whole = f32x4.nearest(clamped), f = f32x4.sub(clamped, whole);
  let p = f32x4.relaxed_madd(F4, f, F3);
  p = f32x4.relaxed_madd(p, f, F2);
  p = f32x4.relaxed_madd(p, f, F1);
  p = f32x4.relaxed_madd(p, f, F0);
  p = f32x4.relaxed_madd(p, f, ONE);
  return i32x4.add(p, i32x4.shl(i32x4.relaxed_trunc_f32x4_s(whole), 23));
}

/** tanh: a polynomial near 0, where (1 − e^−2x) / (1 + e^−2x) would lose its digits. */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  const size = f32x4.abs(x), z = f32x4.mul(x, x);
  let p = f32x4.splat(-5.70498872745e-3);
  p = f32x4.relaxed_madd(p, z, f32x4.splat(2.06390887954e-2));
  p = f32x4.relaxed_madd(p, z, f32x4.splat(-5.37397155531e-2));
  p = f32x4.relaxed_madd(p, z, f32x4.splat(1.33314422036e-1));
  p = f32x4.relaxed_madd(p, z, f32x4.splat(-3.33332819422e-1));
  const near = f32x4.relaxed_madd(f32x4.mul(p, z), x, x);
  const e = exp4(f32x4.mul(size, f32x4.splat(-2)));
  const far = f32x4.div(f32x4.sub(f32x4.splat(1), e), f32x4.add(f32x4.splat(1), e));
  const signed = v128.or(far, v128.and(x, i32x4.splat(<i32>0x80000000)));
  return v128.bitselect(near, signed, f32x4.lt(size, f32x4.splat(0.625)));
}
