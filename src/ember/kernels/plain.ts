// Plain weights, widening.
import { load1, load4, sum4, sums4 } from './numbers';

// @ts-ignore: decorator
@inline
function put(y: usize, v: f32, keep: f32, factor: f32): void { f32.store(y, keep ? load<f32>(y) + factor * v : v); }
// @ts-ignore: decorator
@inline
function putTokens(y: usize, yStride: usize, v: v128, keep: f32, factor: f32): void {
  put(y, f32x4.extract_lane(v, 0), keep, factor);
  put(y + yStride, f32x4.extract_lane(v, 1), keep, factor);
  put(y + 2 * yStride, f32x4.extract_lane(v, 2), keep, factor);
  put(y + 3 * yStride, f32x4.extract_lane(v, 3), keep, factor);
}

function dotPlain<S>(w: usize, x: usize, k: u32): f32 {
  let a = f32x4.splat(0), b = f32x4.splat(0), c = f32x4.splat(0), d = f32x4.splat(0);
  let i: u32 = 0;
  for (; i + 16 <= k; i += 16) {
    a = f32x4.relaxed_madd(load4<S>(w), v128.load(x), a);
    b = f32x4.relaxed_madd(load4<S>(w + 4 * sizeof<S>()), v128.load(x, 16), b);
    c = f32x4.relaxed_madd(load4<S>(w + 8 * sizeof<S>()), v128.load(x, 32), c);
    d = f32x4.relaxed_madd(load4<S>(w + 12 * sizeof<S>()), v128.load(x, 48), d);
    w += 16 * sizeof<S>();
    x += 64;
  }
  let total = sum4(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
  for (; i < k; i++) {
    total += load1<S>(w) * load<f32>(x);
    w += sizeof<S>();
    x += 4;
  }
  return total;
}

/** Two rows (w and w + wrow) meet four tokens: each value is widened and loaded once for eight sums. wrow 0: one row, its results at y. */
// @ts-ignore: decorator
@inline
function twoRows<S>(w: usize, wrow: usize, x: usize, k: u32, y: usize, yStride: usize, keep: f32, factor: f32): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  const x1 = <usize>k << 2, x2 = x1 * 2, x3 = x1 * 3, rest = <usize>(k & 3) * sizeof<S>();
  for (const end = w + <usize>(k & ~3) * sizeof<S>(); w < end; w += 4 * sizeof<S>()) {
    const u = load4<S>(w), v = load4<S>(w + wrow);
    const t0 = v128.load(x), t1 = v128.load(x + x1), t2 = v128.load(x + x2), t3 = v128.load(x + x3);
    a0 = f32x4.relaxed_madd(u, t0, a0);
    b0 = f32x4.relaxed_madd(v, t0, b0);
    a1 = f32x4.relaxed_madd(u, t1, a1);
    b1 = f32x4.relaxed_madd(v, t1, b1);
    a2 = f32x4.relaxed_madd(u, t2, a2);
    b2 = f32x4.relaxed_madd(v, t2, b2);
    a3 = f32x4.relaxed_madd(u, t3, a3);
    b3 = f32x4.relaxed_madd(v, t3, b3);
    x += 16;
  }
  let a = sums4(a0, a1, a2, a3), b = sums4(b0, b1, b2, b3);
  for (const end = w + rest; w < end; w += sizeof<S>()) {
    const t = f32x4.replace_lane(f32x4.replace_lane(f32x4.replace_lane(f32x4.splat(load<f32>(x)), 1, load<f32>(x + x1)), 2, load<f32>(x + x2)), 3, load<f32>(x + x3));
    a = f32x4.relaxed_madd(f32x4.splat(load1<S>(w)), t, a);
    b = f32x4.relaxed_madd(f32x4.splat(load1<S>(w + wrow)), t, b);
    x += 4;
  }
  putTokens(y, yStride, a, keep, factor);
  if (wrow) putTokens(y + 4, yStride, b, keep, factor);
}

/** keep 0: y = products; 1: y += factor·products. */
function plainRows<S>(w: usize, x: usize, y: usize, yStride: usize, r0: usize, r1: usize, k: u32, tokens: usize, keep: f32, factor: f32): void {
  const wrow: usize = <usize>k * sizeof<S>(), xrow: usize = <usize>k << 2, quads = tokens & ~3;
  for (let r = r0; r < r1; r += 2) {
    const row = w + r * wrow, out = y + (r << 2), second: usize = r + 1 < r1 ? wrow : 0;
    for (let t: usize = 0; t < quads; t += 4) twoRows<S>(row, second, x + t * xrow, k, out + t * yStride, yStride, keep, factor);
    for (let t = quads; t < tokens; t++) {
      put(out + t * yStride, dotPlain<S>(row, x + t * xrow, k), keep, factor);
      if (second) put(out + t * yStride + 4, dotPlain<S>(row + wrow, x + t * xrow, k), keep, factor);
    }
  }
}

function plainBy(type: i32, w: usize, x: usize, y: usize, yStride: u32, r0: u32, r1: u32, k: u32, tokens: u32, keep: f32, factor: f32): void {
  const stride: usize = <usize>yStride << 2;
  if (type == 0) plainRows<i16>(w, x, y, stride, r0, r1, k, tokens, keep, factor);
  else if (type == 1) plainRows<u16>(w, x, y, stride, r0, r1, k, tokens, keep, factor);
  else plainRows<f32>(w, x, y, stride, r0, r1, k, tokens, keep, factor);
}

export function matmulPlain(type: i32, w: usize, x: usize, y: usize, yStride: u32, r0: u32, r1: u32, k: u32, tokens: u32): void {
  plainBy(type, w, x, y, yStride, r0, r1, k, tokens, 0, 0);
}

export function matmulPlainAdd(type: i32, w: usize, x: usize, y: usize, yStride: u32, r0: u32, r1: u32, k: u32, tokens: u32, factor: f32): void {
  plainBy(type, w, x, y, yStride, r0, r1, k, tokens, 1, factor);
}

/** y[t] = Σ w[i]·x[t, i] for one row of f32; yStride in bytes. */
export function rowTimesTokens(w: usize, x: usize, y: usize, yStride: usize, k: u32, tokens: usize): void {
  plainRows<f32>(w, x, y, yStride, 0, 1, k, tokens, 0, 0);
}

function widenValues<S>(src: usize, y: usize, n: u32): void {
  let i: u32 = 0;
  for (; i + 4 <= n; i += 4) v128.store(y + (i << 2), load4<S>(src + i * <u32>sizeof<S>()));
  for (; i < n; i++) f32.store(y + (i << 2), load1<S>(src + i * <u32>sizeof<S>()));
}

export function widen(type: i32, src: usize, y: usize, n: u32): void {
  if (type == 0) widenValues<i16>(src, y, n);
  else if (type == 1) widenValues<u16>(src, y, n);
  else widenValues<f32>(src, y, n);
}
