import type { Kernels } from '../kernel-interface.ts';
import type { Bytes } from './bytes.ts';

type ElementwiseKernels = Pick<Kernels, 'rmsNorm' | 'addInto' | 'addBias' | 'siluMultiply' | 'rope'>;

export function createElementwiseReference({ f32 }: Bytes): ElementwiseKernels {
  return {
    rmsNorm(x, weight, y, tokens, dim, eps) {
      for (let t = 0; t < tokens; t++) {
        const from = x / 4 + t * dim;
        let squares = 0;
        for (let i = 0; i < dim; i++) squares += f32[from + i]! ** 2;
        const factor = 1 / Math.sqrt(squares / dim + eps);
        for (let i = 0; i < dim; i++) f32[y / 4 + t * dim + i] = f32[from + i]! * factor * f32[weight / 4 + i]!;
      }
    },

    addInto(y, x, n) {
      for (let i = 0; i < n; i++) f32[y / 4 + i]! += f32[x / 4 + i]!;
    },

    addBias(y, bias, tokens, n, yStride) {
      for (let t = 0; t < tokens; t++) for (let i = 0; i < n; i++) f32[y / 4 + t * yStride + i]! += f32[bias / 4 + i]!;
    },

    siluMultiply(gate, up, out, n) {
      for (let i = 0; i < n; i++) {
        const g = f32[gate / 4 + i]!;
        f32[out / 4 + i] = (g / (1 + Math.exp(-g))) * f32[up / 4 + i]!;
      }
    },

    rope(x, tokens, heads, headDim, rotaryDim, stride, cos, sin, traditional) {
      const half = rotaryDim / 2;
      for (let t = 0; t < tokens; t++) {
        for (let h = 0; h < heads; h++) {
          const head = x / 4 + t * stride + h * headDim;
          for (let i = 0; i < half; i++) {
            const a = traditional ? head + 2 * i : head + i;
            const b = traditional ? a + 1 : a + half;
            const c = f32[cos / 4 + t * half + i]!;
            const s = f32[sin / 4 + t * half + i]!;
            const first = f32[a]!;
            const second = f32[b]!;
            f32[a] = first * c - second * s;
            f32[b] = second * c + first * s;
          }
        }
      }
    },
  };
}
