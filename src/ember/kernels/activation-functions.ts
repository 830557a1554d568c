// GELU, SwiGLU and the soft cap, over n values. Outputs may be one of the inputs.
import { exp4, tanh4 } from './numbers';

// Forms as types, told apart by their sizes at compile time.
type GeluTanh = u8;
type GeluErf = u16;

/** x · sigmoid(2u) with u = √(2/π)·(x + 0.044715·x³): the same as ½x·(1 + tanh u), and right where tanh u comes near −1. */
// @ts-ignore: decorator
@inline
function geluTanh4(x: v128): v128 {
  const inner = f32x4.relaxed_madd(f32x4.mul(x, x), f32x4.splat(-0.0713548163), f32x4.splat(-1.5957691216));
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp4(f32x4.mul(x, inner))));
}

/** max(x, 0) − ½|x|·erfc(|x|/√2), which loses no digits on the left; erfc(z) = e^−z² · polynomial of 1/(1 + pz), within 1.5e-7 (Abramowitz and Stegun 7.1.26). */
// @ts-ignore: decorator
@inline
function geluErf4(x: v128): v128 {
  const size = f32x4.abs(x);
  const t = f32x4.div(f32x4.splat(1), f32x4.relaxed_madd(size, f32x4.splat(0.3275911 * 0.70710678118654752), f32x4.splat(1)));
  let p = f32x4.relaxed_madd(f32x4.splat(1.061405429), t, f32x4.splat(-1.453152027));
  p = f32x4.relaxed_madd(p, t, f32x4.splat(1.421413741));
  p = f32x4.relaxed_madd(p, t, f32x4.splat(-0.284496736));
  p = f32x4.relaxed_madd(p, t, f32x4.splat(0.254829592));
  const half = f32x4.mul(size, f32x4.splat(0.5));
  const left = f32x4.mul(f32x4.mul(half, f32x4.mul(p, t)), exp4(f32x4.mul(f32x4.neg(half), size)));
  return f32x4.sub(f32x4.pmax(x, f32x4.splat(0)), left);
}

// @ts-ignore: decorator
@inline
function gelu4<F>(x: v128): v128 { return sizeof<F>() == sizeof<GeluTanh>() ? geluTanh4(x) : geluErf4(x); }

function geluEach<F>(x: usize, out: usize, n: u32): void {
  const end = x + (<usize>n << 2);
  for (; x + 16 <= end; x += 16, out += 16) v128.store(out, gelu4<F>(v128.load(x)));
  for (; x < end; x += 4, out += 4) v128.store_lane<f32>(out, gelu4<F>(v128.load32_zero(x)), 0);
}

function geluMultiplyEach<F>(gate: usize, up: usize, out: usize, n: u32): void {
  const end = gate + (<usize>n << 2);
  for (; gate + 16 <= end; gate += 16, up += 16, out += 16) v128.store(out, f32x4.mul(gelu4<F>(v128.load(gate)), v128.load(up)));
  for (; gate < end; gate += 4, up += 4, out += 4) v128.store_lane<f32>(out, f32x4.mul(gelu4<F>(v128.load32_zero(gate)), v128.load32_zero(up)), 0);
}

export function gelu(x: usize, out: usize, n: u32, form: i32): void {
  if (form) geluEach<GeluErf>(x, out, n);
  else geluEach<GeluTanh>(x, out, n);
}

export function geluMultiply(gate: usize, up: usize, out: usize, n: u32, form: i32): void {
  if (form) geluMultiplyEach<GeluErf>(gate, up, out, n);
  else geluMultiplyEach<GeluTanh>(gate, up, out, n);
}

// @ts-ignore: decorator
@inline
function sigmoid4(x: v128): v128 { return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x)))); }

export function sigmoidMultiply(gate: usize, x: usize, out: usize, n: u32): void {
  const end = x + (<usize>n << 2);
  for (; x + 16 <= end; gate += 16, x += 16, out += 16) v128.store(out, f32x4.mul(v128.load(x), sigmoid4(v128.load(gate))));
  for (; x < end; gate += 4, x += 4, out += 4) v128.store_lane<f32>(out, f32x4.mul(v128.load32_zero(x), sigmoid4(v128.load32_zero(gate))), 0);
}

export function silu(x: usize, out: usize, n: u32): void { sigmoidMultiply(x, x, out, n); }

export function squaredRelu(x: usize, out: usize, n: u32): void {
  const end = x + (<usize>n << 2);
  for (; x + 16 <= end; x += 16, out += 16) {
    const v = f32x4.max(v128.load(x), f32x4.splat(0));
    v128.store(out, f32x4.mul(v, v));
  }
  for (; x < end; x += 4, out += 4) {
    const v = max<f32>(load<f32>(x), 0);
    store<f32>(out, v * v);
  }
}

// @ts-ignore: decorator
@inline
function swiglu4(gate: v128, up: v128, minusAlpha: v128, limit: v128, minusLimit: v128): v128 {
  const g = f32x4.pmin(gate, limit), u = f32x4.pmax(f32x4.pmin(up, limit), minusLimit);
  const gated = f32x4.div(g, f32x4.add(f32x4.splat(1), exp4(f32x4.mul(g, minusAlpha))));
  return f32x4.mul(gated, f32x4.add(u, f32x4.splat(1)));
}

export function swigluClamped(gate: usize, up: usize, out: usize, n: u32, alpha: f32, limit: f32): void {
  const end = gate + (<usize>n << 2), a = f32x4.splat(-alpha), high = f32x4.splat(limit), low = f32x4.splat(-limit);
  for (; gate + 16 <= end; gate += 16, up += 16, out += 16) v128.store(out, swiglu4(v128.load(gate), v128.load(up), a, high, low));
  for (; gate < end; gate += 4, up += 4, out += 4) {
    v128.store_lane<f32>(out, swiglu4(v128.load32_zero(gate), v128.load32_zero(up), a, high, low), 0);
  }
}

export function softCap(x: usize, n: u32, cap: f32): void {
  const end = x + (<usize>n << 2), caps = f32x4.splat(cap), inverses = f32x4.splat(1 / cap);
  for (; x + 16 <= end; x += 16) v128.store(x, f32x4.mul(caps, tanh4(f32x4.mul(v128.load(x), inverses))));
  for (; x < end; x += 4) v128.store_lane<f32>(x, f32x4.mul(caps, tanh4(f32x4.mul(v128.load32_zero(x), inverses))), 0);
}
