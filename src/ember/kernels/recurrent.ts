// One token's step of a head of recurrent layers: the state is read and written once.
import { sum4 } from './numbers';

export function gatedDeltaHead(state: usize, query: usize, key: usize, value: usize, out: usize, keyDim: u32, valueDim: u32, decay: f32, beta: f32): void {
  const rowBytes: usize = <usize>keyDim << 2, whole: usize = rowBytes & ~15, decays = f32x4.splat(decay);
  for (const end = value + (<usize>valueDim << 2); value < end; value += 4, out += 4, state += rowBytes) {
    let a = f32x4.splat(0), i: usize = 0;
    for (; i < whole; i += 16) a = f32x4.relaxed_madd(v128.load(state + i), v128.load(key + i), a);
    let held = sum4(a);
    for (; i < rowBytes; i += 4) held += load<f32>(state + i) * load<f32>(key + i);
    const delta: f32 = (load<f32>(value) - decay * held) * beta, deltas = f32x4.splat(delta);
    a = f32x4.splat(0);
    for (i = 0; i < whole; i += 16) {
      const next = f32x4.relaxed_madd(v128.load(state + i), decays, f32x4.mul(v128.load(key + i), deltas));
      v128.store(state + i, next);
      a = f32x4.relaxed_madd(next, v128.load(query + i), a);
    }
    let y = sum4(a);
    for (; i < rowBytes; i += 4) {
      const next = decay * load<f32>(state + i) + delta * load<f32>(key + i);
      store<f32>(state + i, next);
      y += next * load<f32>(query + i);
    }
    store<f32>(out, y);
  }
}

export function stateSpaceHead(state: usize, x: usize, b: usize, c: usize, out: usize, headDim: u32, size: u32, kept: f32, step: f32, skip: f32): void {
  const rowBytes: usize = <usize>size << 2, whole: usize = rowBytes & ~15, keeps = f32x4.splat(kept);
  for (const end = x + (<usize>headDim << 2); x < end; x += 4, out += 4, state += rowBytes) {
    const value = load<f32>(x), gain: f32 = step * value, gains = f32x4.splat(gain);
    let a = f32x4.splat(0), i: usize = 0;
    for (; i < whole; i += 16) {
      const next = f32x4.relaxed_madd(v128.load(state + i), keeps, f32x4.mul(v128.load(b + i), gains));
      v128.store(state + i, next);
      a = f32x4.relaxed_madd(next, v128.load(c + i), a);
    }
    let y = sum4(a);
    for (; i < rowBytes; i += 4) {
      const next = kept * load<f32>(state + i) + gain * load<f32>(b + i);
      store<f32>(state + i, next);
      y += next * load<f32>(c + i);
    }
    store<f32>(out, y + skip * value);
  }
}
