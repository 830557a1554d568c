import { describe, expect, it } from 'vitest';
import { expectClose, f32, fillFloats, randomOf, reference, reset, take, takeFloats, u32, wasm } from '../../test/support/kernel-memory.ts';
import { GELU_FORM } from './kernel-interface.ts';
import { geluReference } from './reference/elementwise.ts';

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

  it('[engines E4] layer norms, scaled sums and scaling equal the reference for any length, with and without a bias', () => {
    const random = randomOf(13);
    for (let i = 0; i < 80; i++) {
      reset();
      const [tokens, dim] = [random.between(1, 5), random.pick([1, 2, 5, 8, 33, 64, 384, random.between(1, 300)])];
      const n = tokens * dim;
      const offset = random.pick([0, 3]);
      const x = takeFloats(n, () => random.normal() + offset);
      const weight = takeFloats(dim, () => random.normal());
      const bias = random.pick([0, takeFloats(dim, () => random.normal())]);
      const [a, b] = [takeFloats(n, () => 1), takeFloats(n, () => 1)];
      wasm.layerNorm(x, weight, bias, a, tokens, dim, 1e-5);
      reference.layerNorm(x, weight, bias, b, tokens, dim, 1e-5);
      // two values that are nearly equal magnify what rounds in their difference
      expectClose(a, b, n, () => (dim === 2 ? 2e-4 : 2e-5), `layerNorm of ${dim}, bias ${bias !== 0}`);
      f32.copyWithin(a / 4, b / 4, b / 4 + n);
      const factor = random.normal();
      wasm.addScaled(a, x, n, factor);
      reference.addScaled(b, x, n, factor);
      expectClose(a, b, n, () => 1e-5, 'addScaled');
      f32.copyWithin(a / 4, b / 4, b / 4 + n);
      wasm.scaleBy(a, n, factor);
      reference.scaleBy(b, n, factor);
      expectClose(a, b, n, (j) => 1e-6 * Math.abs(f32[b / 4 + j]!), 'scaleBy');
    }
  });

  it('[engines E4] a layer norm may write where it reads', () => {
    reset();
    const random = randomOf(14);
    const x = takeFloats(3 * 70, () => random.normal());
    const weight = takeFloats(70, () => random.normal());
    const y = take(3 * 70 * 4);
    wasm.layerNorm(x, weight, weight, y, 3, 70, 1e-6);
    wasm.layerNorm(x, weight, weight, x, 3, 70, 1e-6);
    expectClose(x, y, 3 * 70, () => 0, 'layerNorm in place');
  });

  it('[engines E4] GELU in both forms is within 4e-7 of its definition in float64, from −40 to 40 and beyond', () => {
    reset();
    const n = 80_003;
    const x = takeFloats(n, (i) => (i < 80_001 ? (i - 40_000) / 1000 : i === 80_001 ? -1e6 : 1e6));
    const [a, b] = [take(n * 4), take(n * 4)];
    for (const form of Object.values(GELU_FORM)) {
      wasm.gelu(x, a, n, form);
      reference.gelu(x, b, n, form);
      expectClose(a, b, n, (i) => 4e-7 * Math.max(1, Math.abs(f32[x / 4 + i]!)), `gelu, form ${form}`);
    }
  });

  it('the reference of GELU knows the error function', () => {
    // erf(0.5), erf(1), erf(2), erfc(3): values of a table
    const erf = (z: number): number => geluReference(z * Math.SQRT2, GELU_FORM.erf) / ((z * Math.SQRT2) / 2) - 1;
    expect(erf(0.5)).toBeCloseTo(0.5204998778130465, 14);
    expect(erf(1)).toBeCloseTo(0.8427007929497149, 14);
    expect(erf(2)).toBeCloseTo(0.9953222650189527, 14);
    expect((1 - erf(3)) / 2.209049699858544e-5).toBeCloseTo(1, 9);
    expect(geluReference(-3 * Math.SQRT2, GELU_FORM.erf) / ((-3 * Math.SQRT2) / 2) / 2.209049699858544e-5).toBeCloseTo(1, 9);
  });

  it('[engines E4] gates, squares, products and soft caps equal the reference for any length', () => {
    const random = randomOf(15);
    for (let i = 0; i < 60; i++) {
      reset();
      const n = random.between(1, 70);
      const gate = takeFloats(n, () => random.normal() * 10 ** random.between(-2, 1));
      const up = takeFloats(n, () => random.normal() * 10 ** random.between(-2, 1));
      const [a, b] = [takeFloats(n + 1, () => 7), takeFloats(n + 1, () => 7)];
      const near = (i: number): number => (i === n ? 0 : 1e-6 * (Math.abs(f32[b / 4 + i]!) + Math.abs(f32[up / 4 + i]!) + 0.01));
      const form = random.pick(Object.values(GELU_FORM));
      wasm.geluMultiply(gate, up, a, n, form);
      reference.geluMultiply(gate, up, b, n, form);
      expectClose(a, b, n + 1, near, `geluMultiply, form ${form}`);
      wasm.swigluClamped(gate, up, a, n, 1.702, 7);
      reference.swigluClamped(gate, up, b, n, 1.702, 7);
      expectClose(a, b, n + 1, near, 'swigluClamped');
      wasm.silu(gate, a, n);
      reference.silu(gate, b, n);
      expectClose(a, b, n + 1, near, 'silu');
      wasm.sigmoidMultiply(gate, up, a, n);
      reference.sigmoidMultiply(gate, up, b, n);
      expectClose(a, b, n + 1, near, 'sigmoidMultiply');
      wasm.addProduct(a, gate, up, n);
      reference.addProduct(b, gate, up, n);
      expectClose(a, b, n + 1, (j) => near(j) + (j === n ? 0 : 1e-6 * Math.abs(f32[gate / 4 + j]! * f32[up / 4 + j]!)), 'addProduct');
      f32.copyWithin(a / 4, b / 4, b / 4 + n);
      wasm.multiplyInto(a, up, n);
      reference.multiplyInto(b, up, n);
      expectClose(a, b, n + 1, near, 'multiplyInto');
      wasm.squaredRelu(gate, a, n);
      reference.squaredRelu(gate, b, n);
      expectClose(a, b, n + 1, near, 'squaredRelu');
      const cap = random.pick([0.5, 30, 50]);
      wasm.softCap(a, n, cap);
      reference.softCap(b, n, cap);
      expectClose(a, b, n + 1, near, `softCap ${cap}`);
    }
  });

  it('a NaN stays one through every activation function', () => {
    reset();
    const [x, y] = [takeFloats(5, (i) => (i === 1 ? Number.NaN : 1)), takeFloats(5, () => 1)];
    const out = take(20);
    const lone = (): boolean[] => Array.from(f32.subarray(out / 4, out / 4 + 5), Number.isNaN);
    for (const run of [
      () => wasm.gelu(x, out, 5, GELU_FORM.tanh),
      () => wasm.gelu(x, out, 5, GELU_FORM.erf),
      () => wasm.geluMultiply(y, x, out, 5, GELU_FORM.erf),
      () => wasm.swigluClamped(x, y, out, 5, 1.702, 7),
      () => wasm.swigluClamped(y, x, out, 5, 1.702, 7),
      () => wasm.siluMultiply(x, y, out, 5),
      () => wasm.softCap(out, 5, 30),
    ]) {
      run();
      expect(lone()).toEqual([false, true, false, false, false]);
    }
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

  it('[engines E4] a grammar mask hides what it does not allow, in any slice of the vocabulary', () => {
    const random = randomOf(16);
    for (let i = 0; i < 80; i++) {
      reset();
      const n = random.between(1, 200);
      const firstId = random.between(0, 100);
      const words = Math.ceil((firstId + n) / 32);
      const mask = take(words * 4);
      for (let w = 0; w < words; w++) u32[mask / 4 + w] = random.pick([0, 0xffffffff, random.between(0, 0xffffffff)]);
      const [a, b] = [takeFloats(n + 1, (j) => j), takeFloats(n + 1, (j) => j)];
      wasm.maskLogits(a, n, firstId, mask);
      reference.maskLogits(b, n, firstId, mask);
      expect(Array.from(f32.subarray(a / 4, a / 4 + n + 1))).toEqual(Array.from(f32.subarray(b / 4, b / 4 + n + 1)));
      expect(f32[a / 4]).toBe(((u32[mask / 4 + (firstId >> 5)]! >>> (firstId & 31)) & 1) === 1 ? 0 : Number.NEGATIVE_INFINITY);
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

  it('[engines E4] the largest of a vocabulary are found among hidden and equal logits, and NaN is never one of them', () => {
    const random = randomOf(17);
    for (const [n, count] of [
      [64_128, 256],
      [9001, 255],
      [300, 256],
    ] as const) {
      reset();
      const logits = takeFloats(n, () => random.pick([Number.NEGATIVE_INFINITY, Math.round(random.normal() * 20), random.normal() * 20]));
      const [a, b] = [take(count * 8), take(count * 8)];
      expect(wasm.topN(logits, n, 7, count, a, a + count * 4)).toBe(reference.topN(logits, n, 7, count, b, b + count * 4));
      expect(Array.from(u32.subarray(a / 4, a / 4 + 2 * count))).toEqual(Array.from(u32.subarray(b / 4, b / 4 + 2 * count)));
      for (let i = 0; i < n; i += 3) f32[logits / 4 + i] = Number.NaN;
      const found = wasm.topN(logits, n, 0, count, a, a + count * 4);
      expect(Array.from(u32.subarray(a / 4, a / 4 + found)).filter((id) => id % 3 === 0)).toEqual([]);
    }
  });
});
