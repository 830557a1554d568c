import type { Kernels } from '../kernel-interface.ts';
import type { Bytes } from './bytes.ts';

type RecurrentKernels = Pick<Kernels, 'gatedDeltaHead' | 'stateSpaceHead'>;

export function createRecurrentReference({ f32 }: Bytes): RecurrentKernels {
  const rowAt = (at: number, n: number): Float32Array => f32.subarray(at / 4, at / 4 + n);
  const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  return {
    gatedDeltaHead(state, query, key, value, out, keyDim, valueDim, decay, beta) {
      const [q, k] = [rowAt(query, keyDim), rowAt(key, keyDim)];
      for (let i = 0; i < valueDim; i++) {
        const row = rowAt(state + i * keyDim * 4, keyDim);
        const delta = (f32[value / 4 + i]! - decay * dot(row, k)) * beta;
        for (let n = 0; n < keyDim; n++) row[n] = decay * row[n]! + delta * k[n]!;
        f32[out / 4 + i] = dot(row, q);
      }
    },

    stateSpaceHead(state, x, b, c, out, headDim, size, kept, step, skip) {
      const [input, output] = [rowAt(b, size), rowAt(c, size)];
      for (let i = 0; i < headDim; i++) {
        const row = rowAt(state + i * size * 4, size);
        const value = f32[x / 4 + i]!;
        for (let n = 0; n < size; n++) row[n] = kept * row[n]! + step * value * input[n]!;
        f32[out / 4 + i] = dot(row, output) + skip * value;
      }
    },
  };
}
