// One token's step of a head of recurrent layers: the state is read and written once. Sums go into four vectors, since one would wait for itself.
import { sum4 } from './numbers';

/** Σ a·b over `bytes` of f32. */
// @ts-ignore: decorator
@inline
function dot(a: usize, b: usize, bytes: usize): f32 {
  let s = f32x4.splat(0), t = s, u = s, v = s, i: usize = 0;
  for (; i + 64 <= bytes; i += 64) {
    s = f32x4.relaxed_madd(v128.load(a + i), v128.load(b + i), s);
    t = f32x4.relaxed_madd(v128.load(a + i, 16), v128.load(b + i, 16), t);
    u = f32x4.relaxed_madd(v128.load(a + i, 32), v128.load(b + i, 32), u);
    v = f32x4.relaxed_madd(v128.load(a + i, 48), v128.load(b + i, 48), v);
  }
  for (; i + 16 <= bytes; i += 16) s = f32x4.relaxed_madd(v128.load(a + i), v128.load(b + i), s);
  let sum = sum4(f32x4.add(f32x4.add(s, t), f32x4.add(u, v)));
  for (; i < bytes; i += 4) sum += load<f32>(a + i) * load<f32>(b + i);
  return sum;
}

/** row = kept·row + gain·x, over `bytes` of f32; gives Σ row·y. */
// @ts-ignore: decorator
@inline
function renew(row: usize, x: usize, y: usize, bytes: usize, kept: f32, gain: f32): f32 {
  const keeps = f32x4.splat(kept), gains = f32x4.splat(gain);
  let s = f32x4.splat(0), t = s, u = s, v = s, i: usize = 0;
  for (; i + 64 <= bytes; i += 64) {
    const a = f32x4.relaxed_madd(v128.load(row + i), keeps, f32x4.mul(v128.load(x + i), gains));
    const b = f32x4.relaxed_madd(v128.load(row + i, 16), keeps, f32x4.mul(v128.load(x + i, 16), gains));
    const c = f32x4.relaxed_madd(v128.load(row + i, 32), keeps, f32x4.mul(v128.load(x + i, 32), gains));
    const d = f32x4.relaxed_madd(v128.load(row + i, 48), keeps, f32x4.mul(v128.load(x + i, 48), gains));
    v128.store(row + i, a); v128.store(row + i, b, 16); v128.store(row + i, c, 32); v128.store(row + i, d, 48);
    s = f32x4.relaxed_madd(a, v128.load(y + i), s);
    t = f32x4.relaxed_madd(b, v128.load(y + i, 16), t);
    u = f32x4.relaxed_madd(c, v128.load(y + i, 32), u);
    v = f32x4.relaxed_madd(d, v128.load(y + i, 48), v);
  }
  for (; i + 16 <= bytes; i += 16) {
    const a = f32x4.relaxed_madd(v128.load(row + i), keeps, f32x4.mul(v128.load(x + i), gains));
    v128.store(row + i, a);
    s = f32x4.relaxed_madd(a, v128.load(y + i), s);
  }
  let sum = sum4(f32x4.add(f32x4.add(s, t), f32x4.add(u, v)));
  for (; i < bytes; i += 4) {
    const next = kept * load<f32>(row + i) + gain * load<f32>(x + i);
    store<f32>(row + i, next);
    sum += next * load<f32>(y + i);
  }
  return sum;
}

export function gatedDeltaHead(state: usize, query: usize, key: usize, value: usize, out: usize, keyDim: u32, valueDim: u32, decay: f32, beta: f32): void {
  const rowBytes: usize = <usize>keyDim << 2;
  for (const end = value + (<usize>valueDim << 2); value < end; value += 4, out += 4, state += rowBytes) {
    const delta: f32 = (load<f32>(value) - decay * dot(state, key, rowBytes)) * beta;
    store<f32>(out, renew(state, key, query, rowBytes, decay, delta));
  }
}

export function stateSpaceHead(state: usize, x: usize, b: usize, c: usize, out: usize, headDim: u32, size: u32, kept: f32, step: f32, skip: f32): void {
  const rowBytes: usize = <usize>size << 2;
  for (const end = x + (<usize>headDim << 2); x < end; x += 4, out += 4, state += rowBytes) {
    const value = load<f32>(x);
    store<f32>(out, renew(state, b, c, rowBytes, kept, step * value) + skip * value);
  }
}
