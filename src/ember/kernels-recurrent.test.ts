import { describe, expect, it } from 'vitest';
import { expectClose, f32, randomOf, reference, reset, take, takeFloats, wasm } from '../../test/support/kernel-memory.ts';

describe('recurrent kernels', () => {
  it('[engines E4] the gated delta rule equals the reference over several tokens, for any size of head', () => {
    const random = randomOf(31);
    for (let i = 0; i < 40; i++) {
      reset();
      const [keyDim, valueDim] = [random.pick([1, 3, 4, 16, 30, 64, 128]), random.pick([1, 5, 8, 64, 128])];
      const n = keyDim * valueDim;
      const [a, b] = [takeFloats(n + 1, () => random.normal()), take(n * 4 + 4)];
      f32.copyWithin(b / 4, a / 4, a / 4 + n + 1);
      for (let token = 0; token < 3; token++) {
        const [query, key] = [takeFloats(keyDim, () => random.normal() / keyDim), takeFloats(keyDim, () => random.normal() / Math.sqrt(keyDim))];
        const value = takeFloats(valueDim, () => random.normal());
        const [decay, beta] = [random.next(), random.next()];
        const [x, y] = [takeFloats(valueDim + 1, () => 7), takeFloats(valueDim + 1, () => 7)];
        wasm.gatedDeltaHead(a, query, key, value, x, keyDim, valueDim, decay, beta);
        reference.gatedDeltaHead(b, query, key, value, y, keyDim, valueDim, decay, beta);
        expectClose(x, y, valueDim + 1, () => 3e-6, `gatedDeltaHead ${keyDim} × ${valueDim}`);
        expectClose(a, b, n + 1, (j) => 3e-6 * (1 + Math.abs(f32[b / 4 + j]!)), 'state');
      }
    }
  });

  it('[engines E4] state spaces equal the reference over several tokens, for any size of head', () => {
    const random = randomOf(32);
    for (let i = 0; i < 40; i++) {
      reset();
      const [headDim, size] = [random.pick([1, 5, 8, 64]), random.pick([1, 3, 4, 16, 30, 128])];
      const n = headDim * size;
      const [a, b] = [takeFloats(n + 1, () => random.normal()), take(n * 4 + 4)];
      f32.copyWithin(b / 4, a / 4, a / 4 + n + 1);
      for (let token = 0; token < 3; token++) {
        const [input, output] = [takeFloats(size, () => random.normal()), takeFloats(size, () => random.normal() / size)];
        const x = takeFloats(headDim, () => random.normal());
        const [kept, step, skip] = [random.next(), random.next(), random.normal()];
        const [y, z] = [takeFloats(headDim + 1, () => 7), takeFloats(headDim + 1, () => 7)];
        wasm.stateSpaceHead(a, x, input, output, y, headDim, size, kept, step, skip);
        reference.stateSpaceHead(b, x, input, output, z, headDim, size, kept, step, skip);
        expectClose(y, z, headDim + 1, () => 1e-5, `stateSpaceHead ${headDim} × ${size}`);
        expectClose(a, b, n + 1, (j) => 3e-6 * (1 + Math.abs(f32[b / 4 + j]!)), 'state');
      }
    }
  });

  it('a state that is never let in and fully kept stays as it is', () => {
    reset();
    const random = randomOf(33);
    const state = takeFloats(8 * 16, () => random.normal());
    const before = Array.from(f32.subarray(state / 4, state / 4 + 8 * 16));
    const [k, v, out] = [takeFloats(16, () => 1), takeFloats(8, () => 1), take(32)];
    wasm.gatedDeltaHead(state, k, k, v, out, 16, 8, 1, 0);
    wasm.stateSpaceHead(state, v, k, k, out, 8, 16, 1, 0, 0);
    expect(Array.from(f32.subarray(state / 4, state / 4 + 8 * 16))).toEqual(before);
  });
});
