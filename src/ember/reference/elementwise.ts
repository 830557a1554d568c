import { GELU_FORM, type Kernels } from '../kernel-interface.ts';
import type { Bytes } from './bytes.ts';

type ElementwiseKernels = Pick<
  Kernels,
  | 'rmsNorm'
  | 'layerNorm'
  | 'addInto'
  | 'addBias'
  | 'siluMultiply'
  | 'geluMultiply'
  | 'gelu'
  | 'swigluClamped'
  | 'silu'
  | 'sigmoidMultiply'
  | 'squaredRelu'
  | 'multiplyInto'
  | 'addProduct'
  | 'addScaled'
  | 'scaleBy'
  | 'softCap'
  | 'rope'
>;

/** erfc(z), z ≥ 0, in float64: the series of erf without cancellation near 0, a continued fraction beyond. */
function complementaryError(z: number): number {
  if (z < 2.5) {
    let term = z;
    let sum = z;
    for (let n = 1; term > sum * 1e-17; n++) {
      term *= (2 * z * z) / (2 * n + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
  }
  let fraction = 0;
  for (let n = 60; n >= 1; n--) fraction = n / 2 / (z + fraction);
  return Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + fraction);
}

export function geluReference(x: number, form: number): number {
  if (form === GELU_FORM.tanh) return x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  return Math.max(x, 0) - 0.5 * Math.abs(x) * complementaryError(Math.abs(x) / Math.SQRT2);
}

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

    layerNorm(x, weight, bias, y, tokens, dim, eps) {
      for (let t = 0; t < tokens; t++) {
        const row = Array.from(f32.subarray(x / 4 + t * dim, x / 4 + (t + 1) * dim));
        const mean = row.reduce((a, b) => a + b) / dim;
        const factor = 1 / Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / dim + eps);
        for (const [i, value] of row.entries())
          f32[y / 4 + t * dim + i] = (value - mean) * factor * f32[weight / 4 + i]! + (bias === 0 ? 0 : f32[bias / 4 + i]!);
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

    geluMultiply(gate, up, out, n, form) {
      for (let i = 0; i < n; i++) f32[out / 4 + i] = geluReference(f32[gate / 4 + i]!, form) * f32[up / 4 + i]!;
    },

    gelu(x, out, n, form) {
      for (let i = 0; i < n; i++) f32[out / 4 + i] = geluReference(f32[x / 4 + i]!, form);
    },

    swigluClamped(gate, up, out, n, alpha, limit) {
      for (let i = 0; i < n; i++) {
        const g = Math.min(f32[gate / 4 + i]!, limit);
        const u = Math.max(-limit, Math.min(limit, f32[up / 4 + i]!));
        f32[out / 4 + i] = (g / (1 + Math.exp(-alpha * g))) * (u + 1);
      }
    },

    silu(x, out, n) {
      for (let i = 0; i < n; i++) f32[out / 4 + i] = f32[x / 4 + i]! / (1 + Math.exp(-f32[x / 4 + i]!));
    },

    sigmoidMultiply(gate, x, out, n) {
      for (let i = 0; i < n; i++) f32[out / 4 + i] = f32[x / 4 + i]! / (1 + Math.exp(-f32[gate / 4 + i]!));
    },

    squaredRelu(x, out, n) {
      for (let i = 0; i < n; i++) f32[out / 4 + i] = Math.max(f32[x / 4 + i]!, 0) ** 2;
    },

    multiplyInto(y, x, n) {
      for (let i = 0; i < n; i++) f32[y / 4 + i]! *= f32[x / 4 + i]!;
    },

    addProduct(y, a, b, n) {
      for (let i = 0; i < n; i++) f32[y / 4 + i]! += f32[a / 4 + i]! * f32[b / 4 + i]!;
    },

    addScaled(y, x, n, factor) {
      for (let i = 0; i < n; i++) f32[y / 4 + i]! += factor * f32[x / 4 + i]!;
    },

    scaleBy(x, n, factor) {
      for (let i = 0; i < n; i++) f32[x / 4 + i]! *= factor;
    },

    softCap(x, n, cap) {
      for (let i = 0; i < n; i++) f32[x / 4 + i] = cap * Math.tanh(f32[x / 4 + i]! / cap);
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
