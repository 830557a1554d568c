// Norms, sums, activation functions, rotation: small work between the matrices.
import { exp4, sum4 } from './numbers';

export function rmsNorm(x: usize, weight: usize, y: usize, tokens: u32, dim: u32, eps: f32): void {
  const end: usize = <usize>dim << 2, whole: usize = end & ~15;
  for (let t: u32 = 0; t < tokens; t++) {
    let a = f32x4.splat(0), b = f32x4.splat(0);
    let i: usize = 0;
    for (; i + 32 <= end; i += 32) {
      const u = v128.load(x + i), v = v128.load(x + i, 16);
      a = f32x4.relaxed_madd(u, u, a);
      b = f32x4.relaxed_madd(v, v, b);
    }
    let squares = sum4(f32x4.add(a, b));
    for (; i < end; i += 4) squares += load<f32>(x + i) * load<f32>(x + i);
    const factor: f32 = 1 / sqrt<f32>(squares / <f32>dim + eps), factors = f32x4.splat(factor);
    for (i = 0; i < whole; i += 16) v128.store(y + i, f32x4.mul(f32x4.mul(v128.load(x + i), factors), v128.load(weight + i)));
    for (; i < end; i += 4) store<f32>(y + i, load<f32>(x + i) * factor * load<f32>(weight + i));
    x += end;
    y += end;
  }
}

export function layerNorm(x: usize, weight: usize, bias: usize, y: usize, tokens: u32, dim: u32, eps: f32): void {
  const end: usize = <usize>dim << 2, whole: usize = end & ~15;
  for (let t: u32 = 0; t < tokens; t++) {
    let a = f32x4.splat(0), i: usize = 0;
    for (; i < whole; i += 16) a = f32x4.add(a, v128.load(x + i));
    let total = sum4(a);
    for (; i < end; i += 4) total += load<f32>(x + i);
    const mean: f32 = total / <f32>dim, means = f32x4.splat(mean);
    a = f32x4.splat(0);
    for (i = 0; i < whole; i += 16) {
      const d = f32x4.sub(v128.load(x + i), means);
      a = f32x4.relaxed_madd(d, d, a);
    }
    total = sum4(a);
    for (; i < end; i += 4) total += (load<f32>(x + i) - mean) * (load<f32>(x + i) - mean);
    const factor: f32 = 1 / sqrt<f32>(total / <f32>dim + eps), factors = f32x4.splat(factor);
    for (i = 0; i < whole; i += 16) v128.store(y + i, f32x4.mul(f32x4.mul(f32x4.sub(v128.load(x + i), means), factors), v128.load(weight + i)));
    for (; i < end; i += 4) store<f32>(y + i, (load<f32>(x + i) - mean) * factor * load<f32>(weight + i));
    if (bias) addInto(y, bias, dim);
    x += end;
    y += end;
  }
}

export function addInto(y: usize, x: usize, n: u32): void {
  let i: u32 = 0;
  for (; i + 8 <= n; i += 8) {
    v128.store(y, f32x4.add(v128.load(y), v128.load(x)));
    v128.store(y, f32x4.add(v128.load(y, 16), v128.load(x, 16)), 16);
    y += 32;
    x += 32;
  }
  for (; i < n; i++) {
    store<f32>(y, load<f32>(y) + load<f32>(x));
    y += 4;
    x += 4;
  }
}

export function addBias(y: usize, bias: usize, tokens: u32, n: u32, yStride: u32): void {
  for (let t: u32 = 0; t < tokens; t++) {
    addInto(y, bias, n);
    y += <usize>yStride << 2;
  }
}

export function addScaled(y: usize, x: usize, n: u32, factor: f32): void {
  const end = y + (<usize>n << 2), factors = f32x4.splat(factor);
  for (; y + 16 <= end; y += 16, x += 16) v128.store(y, f32x4.relaxed_madd(v128.load(x), factors, v128.load(y)));
  for (; y < end; y += 4, x += 4) store<f32>(y, load<f32>(y) + load<f32>(x) * factor);
}

export function addProduct(y: usize, a: usize, b: usize, n: u32): void {
  const end = y + (<usize>n << 2);
  for (; y + 16 <= end; y += 16, a += 16, b += 16) v128.store(y, f32x4.relaxed_madd(v128.load(a), v128.load(b), v128.load(y)));
  for (; y < end; y += 4, a += 4, b += 4) store<f32>(y, load<f32>(y) + load<f32>(a) * load<f32>(b));
}

export function multiplyInto(y: usize, x: usize, n: u32): void {
  const end = y + (<usize>n << 2);
  for (; y + 16 <= end; y += 16, x += 16) v128.store(y, f32x4.mul(v128.load(y), v128.load(x)));
  for (; y < end; y += 4, x += 4) store<f32>(y, load<f32>(y) * load<f32>(x));
}

export function scaleBy(x: usize, n: u32, factor: f32): void {
  const end = x + (<usize>n << 2), factors = f32x4.splat(factor);
  for (; x + 16 <= end; x += 16) v128.store(x, f32x4.mul(v128.load(x), factors));
  for (; x < end; x += 4) store<f32>(x, load<f32>(x) * factor);
}

// @ts-ignore: decorator
@inline
function silu4(gate: v128, up: v128): v128 {
  return f32x4.mul(f32x4.div(gate, f32x4.add(f32x4.splat(1), exp4(f32x4.neg(gate)))), up);
}

export function siluMultiply(gate: usize, up: usize, out: usize, n: u32): void {
  let i: u32 = 0;
  for (; i + 8 <= n; i += 8) {
    const at = <usize>i << 2;
    const a = silu4(v128.load(gate + at), v128.load(up + at)), b = silu4(v128.load(gate + at, 16), v128.load(up + at, 16));
    v128.store(out + at, a);
    v128.store(out + at, b, 16);
  }
  for (; i < n; i++) {
    const at = <usize>i << 2;
    const v = silu4(f32x4.splat(load<f32>(gate + at)), f32x4.splat(load<f32>(up + at)));
    store<f32>(out + at, f32x4.extract_lane(v, 0));
  }
}

function ropeHalves(x: usize, half: u32, cos: usize, sin: usize): void {
  const far: usize = <usize>half << 2;
  let i: usize = 0;
  for (; i + 16 <= far; i += 16) {
    const a = v128.load(x + i), b = v128.load(x + far + i), c = v128.load(cos + i), s = v128.load(sin + i);
    v128.store(x + i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
    v128.store(x + far + i, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
  }
  for (; i < far; i += 4) {
    const a = load<f32>(x + i), b = load<f32>(x + far + i), c = load<f32>(cos + i), s = load<f32>(sin + i);
    store<f32>(x + i, a * c - b * s);
    store<f32>(x + far + i, b * c + a * s);
  }
}

function ropeNeighbours(x: usize, half: u32, cos: usize, sin: usize): void {
  for (let i: u32 = 0; i < half; i++) {
    const a = load<f32>(x), b = load<f32>(x, 4), c = load<f32>(cos), s = load<f32>(sin);
    store<f32>(x, a * c - b * s);
    store<f32>(x, b * c + a * s, 4);
    x += 8;
    cos += 4;
    sin += 4;
  }
}

export function rope(x: usize, tokens: u32, heads: u32, headDim: u32, rotaryDim: u32, stride: u32, cos: usize, sin: usize, traditional: i32): void {
  const half = rotaryDim >> 1;
  for (let t: u32 = 0; t < tokens; t++) {
    let head = x;
    for (let h: u32 = 0; h < heads; h++) {
      if (traditional) ropeNeighbours(head, half, cos, sin);
      else ropeHalves(head, half, cos, sin);
      head += <usize>headDim << 2;
    }
    x += <usize>stride << 2;
    cos += <usize>half << 2;
    sin += <usize>half << 2;
  }
}
