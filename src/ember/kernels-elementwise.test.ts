import { describe, expect, it } from 'vitest';
import { expectClose, f32, fillFloats, randomOf, reference, reset, take, takeFloats, u32, wasm } from '../../test/support/kernel-memory.ts';

describe('element-wise kernels', () => {
  it('[engines E4] norms, sums, biases and SiLU equal the reference for any length', () => {
    const random = randomOf(6);
    for (let i = 0; i < 80; i++) {
      reset();
      const [tokens, dim] = [random.between(1, 5), random.pick([1, 5, 8, 16, 33, 64, 576, random.between(1, 300)])];
      const n = tokens * dim;
      const x = takeFloats(n, () => random.normal() * 10 ** random.between(-2, 2));
      const weight = takeFloats(n, () => random.normal());
      const [a, b] = [takeFloats(n, () => 1), takeFloats(n, () => 1)];
      const near = (i: number): number => 2e-6 * (Math.abs(f32[b / 4 + i]!) + 1e-6);
      wasm.rmsNorm(x, weight, a, tokens, dim, 1e-5);
      reference.rmsNorm(x, weight, b, tokens, dim, 1e-5);
      expectClose(a, b, n, near, 'rmsNorm');
      wasm.siluMultiply(x, weight, a, n);
      reference.siluMultiply(x, weight, b, n);
      expectClose(a, b, n, near, 'siluMultiply');
      wasm.addInto(a, x, n);
      reference.addInto(b, x, n);
      wasm.addBias(a, weight, tokens, Math.max(1, dim - 3), dim);
      reference.addBias(b, weight, tokens, Math.max(1, dim - 3), dim);
      expectClose(a, b, n, (i) => 1e-6 * (Math.abs(f32[x / 4 + i]!) + Math.abs(f32[b / 4 + i]!) + 20), 'sums');
    }
  });

  it('[engines E4] SiLU is right from −1,000 to 1,000', () => {
    reset();
    const n = 40_001;
    const gate = takeFloats(n, (i) => (i - 20_000) / 20);
    const up = takeFloats(n, () => 1);
    const [a, b] = [take(n * 4), take(n * 4)];
    wasm.siluMultiply(gate, up, a, n);
    reference.siluMultiply(gate, up, b, n);
    expectClose(a, b, n, (i) => 1e-6 * Math.abs(f32[b / 4 + i]!) + 1e-33, 'silu');
  });

  it('[engines E4] rotation equals the reference for halves and neighbours, whole and partial', () => {
    const random = randomOf(7);
    for (let i = 0; i < 80; i++) {
      reset();
      const [tokens, heads, headDim] = [random.between(1, 5), random.between(1, 4), random.pick([8, 16, 24, 64, 128])];
      const rotaryDim = random.pick([headDim, headDim / 2, 2, 6]);
      const stride = heads * headDim + random.pick([0, 8]);
      const [a, b] = [take(tokens * stride * 4), take(tokens * stride * 4)];
      fillFloats(a, tokens * stride, () => random.normal());
      f32.copyWithin(b / 4, a / 4, a / 4 + tokens * stride);
      const angles = Array.from({ length: (tokens * rotaryDim) / 2 }, () => random.next() * 6);
      const cos = takeFloats(angles.length, (j) => Math.cos(angles[j]!));
      const sin = takeFloats(angles.length, (j) => Math.sin(angles[j]!));
      const traditional = random.between(0, 1);
      wasm.rope(a, tokens, heads, headDim, rotaryDim, stride, cos, sin, traditional);
      reference.rope(b, tokens, heads, headDim, rotaryDim, stride, cos, sin, traditional);
      expectClose(a, b, tokens * stride, () => 1e-6, `rope ${rotaryDim} of ${headDim}, traditional ${traditional}`);
    }
  });
});

describe('sampling kernels', () => {
  it('[engines E4] penalties and biases equal the reference and touch only ids of the slice', () => {
    const random = randomOf(10);
    for (let i = 0; i < 30; i++) {
      reset();
      const n = random.between(1, 300);
      const firstId = random.pick([0, 1000]);
      const [a, b] = [take(n * 4), take(n * 4)];
      fillFloats(a, n, () => random.normal() * 10);
      f32.copyWithin(b / 4, a / 4, a / 4 + n);
      const count = random.between(0, 40);
      const entries = take(count * 12);
      for (let e = 0; e < count; e++) {
        u32[entries / 4 + e * 3] = random.between(0, 1400);
        f32[entries / 4 + e * 3 + 1] = random.pick([1, 1.1, 0.9]);
        f32[entries / 4 + e * 3 + 2] = random.pick([0, -0.5, 100]);
      }
      wasm.adjustLogits(a, n, firstId, entries, count);
      reference.adjustLogits(b, n, firstId, entries, count);
      expectClose(a, b, n, (j) => 1e-6 * (Math.abs(f32[b / 4 + j]!) + 1), 'adjustLogits');
    }
  });

  it('[engines E4] maximum and sum of exponents equal the reference for any length and temperature', () => {
    const random = randomOf(11);
    for (const n of [1, 3, 4, 49_152, random.between(1, 9000)]) {
      for (const temperature of [0.01, 0.7, 1, 5]) {
        reset();
        const logits = takeFloats(n, (i) => (i % 911 === 5 ? Number.NEGATIVE_INFINITY : random.normal() * 4));
        const [a, b] = [take(8), take(8)];
        wasm.maxAndSum(logits, n, temperature, a);
        reference.maxAndSum(logits, n, temperature, b);
        expect(f32[a / 4]).toBe(f32[b / 4]);
        expectClose(a, b, 2, () => 2e-6 * f32[b / 4 + 1]! + 1e-6, `maxAndSum of ${n} at ${temperature}`);
      }
    }
  });

  it('[engines E4] the largest logits come largest first, lowest id first on a tie', () => {
    const random = randomOf(12);
    for (let i = 0; i < 60; i++) {
      reset();
      const n = random.pick([1, 7, 8, 9, 100, 5000]);
      const count = random.pick([0, 1, 5, 64, 256]);
      const steps = random.pick([5, 1000]);
      const order = random.pick([-1, 0, 1]);
      const logits = takeFloats(n, (j) => (order === 0 ? Math.round(random.normal() * steps) : Math.floor((j * order) / 3)));
      const parts = [wasm, reference].map((kernels) => {
        const [ids, values] = [take(count * 4), take(count * 4)];
        const found = kernels.topN(logits, n, 70, count, ids, values);
        return { found, ids: Array.from(u32.subarray(ids / 4, ids / 4 + found)), values: Array.from(f32.subarray(values / 4, values / 4 + found)) };
      });
      expect(parts[0]).toEqual(parts[1]);
      expect(parts[0]!.found).toBe(Math.min(n, count));
    }
  });
});
