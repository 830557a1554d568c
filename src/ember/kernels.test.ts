import { describe, expect, it } from 'vitest';
import {
  bytes,
  clearSigns,
  expectClose,
  f32,
  plainBytes,
  type Random,
  randomOf,
  reference,
  reset,
  take,
  takeFloats,
  u16,
  wasm,
  writePlain,
} from '../../test/support/kernel-memory.ts';
import { ACTIVATION, type Activation, type Kernels, PLAIN_TYPE, SCALE_TYPE, type ScaleType } from './kernel-interface.ts';
import { loadKernels } from './load-kernels.ts';

interface Shape {
  readonly activation: Activation;
  readonly bits: number;
  readonly group: number;
  readonly scaleType: ScaleType;
  readonly groups: number;
  readonly tokens: number;
  readonly rows: number;
  readonly r0: number;
  readonly r1: number;
}

type Mode = Pick<Shape, 'activation' | 'bits' | 'group' | 'scaleType'>;
const isSmallFloat = (scaleType: ScaleType): boolean => scaleType === SCALE_TYPE.e8m0 || scaleType === SCALE_TYPE.e4m3;
const scaleBytes = (scaleType: ScaleType, n: number): number => (isSmallFloat(scaleType) ? n : plainBytes(scaleType, n));

function writeScales(random: Random, scaleType: ScaleType, at: number, n: number, size: number): void {
  if (!isSmallFloat(scaleType)) writePlain(random, scaleType, at, n, size);
  else for (let i = 0; i < n; i++) bytes[at + i] = scaleType === SCALE_TYPE.e8m0 ? random.between(110, 130) : random.between(0, 0x7e);
}

function checkMatmul(random: Random, shape: Shape): void {
  reset();
  const { activation, bits, group, scaleType, groups, tokens, rows, r0, r1 } = shape;
  const k = groups * group;
  const yStride = rows + random.between(0, 5);
  const w = take((rows * k * bits) / 8);
  for (let i = 0; i < (rows * k * bits) / 8; i++) bytes[w + i] = random.next() < 0.05 ? 255 : random.between(0, 255);
  const scales = take(scaleBytes(scaleType, rows * groups));
  const biases = take(scaleBytes(scaleType, rows * groups));
  writeScales(random, scaleType, scales, rows * groups, 0.02);
  writeScales(random, scaleType, biases, rows * groups, 0.2);
  const outlier = random.next() < 0.3 ? 100 : 1;
  const zeroFrom = random.between(0, tokens * k * 2);
  const x = takeFloats(tokens * k, (i) =>
    i >= zeroFrom && i < zeroFrom + 2 * group ? 0 : random.normal() * (i % 97 === 3 ? outlier : 1) * (random.next() < 0.02 ? 0 : 1),
  );
  const run = (kernels: Kernels): number => {
    const y = takeFloats(tokens * yStride, () => 7);
    const prepared = take(kernels.preparedBytes(activation, bits, group, tokens, k));
    kernels.prepare(activation, bits, group, x, tokens, k, prepared);
    kernels.matmul(activation, bits, group, scaleType, w, scales, biases, prepared, y, yStride, r0, r1, k, tokens);
    return y;
  };
  wasm.useWideDots(0);
  const narrow = run(wasm);
  wasm.useWideDots(1);
  const wide = run(wasm);
  wasm.useWideDots(-1);
  const expected = run(reference);
  for (let i = 0; i < tokens * k; i++) f32[x / 4 + i] = Math.abs(f32[x / 4 + i]!);
  if (isSmallFloat(scaleType)) {
    if (bits === 4)
      bytes.fill(0x77, w, w + (rows * k) / 2); // they are taken as positive codes: what the largest ones give bounds the rounding
    else for (let i = 0; i < rows * k; i++) bytes[w + i]! &= 0x7f;
  } else {
    clearSigns(scaleType, scales, rows * groups);
    clearSigns(scaleType, biases, rows * groups);
  }
  const sizes = run(reference);
  const outside = (i: number): boolean => i % yStride < r0 || i % yStride >= r1;
  const tolerance = (i: number): number => (outside(i) ? 0 : 1e-6 * f32[sizes / 4 + i]!);
  expectClose(narrow, expected, tokens * yStride, tolerance, `16-bit dots, ${JSON.stringify(shape)}`);
  expectClose(wide, expected, tokens * yStride, tolerance, `32-bit dots, ${JSON.stringify(shape)}`);
}

describe('quantised matrices', () => {
  const affineScales = [SCALE_TYPE.f16, SCALE_TYPE.bf16, SCALE_TYPE.f32];
  const affine: Mode[] = [];
  const smallFloats: Mode[] = [];
  for (const activation of Object.values(ACTIVATION)) {
    for (const bits of [2, 3, 4, 5, 6, 8])
      for (const group of [32, 64, 128]) for (const scaleType of affineScales) affine.push({ activation, bits, group, scaleType });
    smallFloats.push({ activation, bits: 4, group: 32, scaleType: SCALE_TYPE.e8m0 });
    smallFloats.push({ activation, bits: 4, group: 16, scaleType: SCALE_TYPE.e4m3 });
    smallFloats.push({ activation, bits: 8, group: 32, scaleType: SCALE_TYPE.e8m0 });
  }
  const every = [...affine, ...smallFloats];
  /** Groups of a row: whole words of codes. */
  const someGroups = (random: Random, group: number, most: number): number => random.between(1, most) * (group === 16 ? 2 : 1);

  it('[engines E4] every activation path, width, group and scale type equals the reference for up to 17 tokens and groups that are no multiple of four', () => {
    const random = randomOf(1);
    for (const mode of every) {
      for (const tokens of [1, 2, 3, 4, 5, 6, 7, 8, 9, 17]) {
        const rows = random.between(1, 5);
        checkMatmul(random, { ...mode, tokens, groups: someGroups(random, mode.group, 9), rows, r0: 0, r1: rows });
      }
    }
  });

  it('[engines E4] row ranges write their own rows only', () => {
    const random = randomOf(2);
    for (let i = 0; i < 120; i++) {
      const rows = random.between(1, 90);
      const r0 = random.between(0, rows - 1);
      const mode = random.pick(every);
      const groups = someGroups(random, mode.group, 5);
      checkMatmul(random, { ...mode, tokens: random.between(1, 9), groups, rows, r0, r1: random.between(r0, rows) });
    }
  });

  it('[engines E4] long rows: 576, 1536 and 8192 values', () => {
    const random = randomOf(3);
    for (const mode of every) {
      for (const k of [576, 1536, 8192])
        if (k % mode.group === 0) checkMatmul(random, { ...mode, tokens: random.pick([1, 2, 4, 8]), groups: k / mode.group, rows: 3, r0: 0, r1: 3 });
    }
  });

  it('[engines E4] the largest codes of weights and activations do not overflow', () => {
    for (const { activation, bits, group, scaleType } of affine) {
      for (const [tokens, wide] of [
        [1, 0],
        [1, 1],
        [8, 0],
        [8, 1],
      ] as const) {
        reset();
        wasm.useWideDots(wide);
        const k = group * 5;
        const w = take((5 * k * bits) / 8);
        const scales = take(4 * 25);
        const biases = take(4 * 25);
        for (let i = 0; i < 25; i++) {
          if (scaleType === SCALE_TYPE.f32) f32[scales / 4 + i] = 1;
          else u16[scales / 2 + i] = scaleType === SCALE_TYPE.f16 ? 0x3c00 : 0x3f80;
        }
        bytes.fill(0, biases, biases + 100);
        const x = takeFloats(tokens * k, (i) => (i % 2 === 0 && tokens === 8 ? 127 : -127));
        const y = take(tokens * 5 * 4);
        const prepared = take(wasm.preparedBytes(activation, bits, group, tokens, k));
        wasm.prepare(activation, bits, group, x, tokens, k, prepared);
        wasm.matmul(activation, bits, group, scaleType, w, scales, biases, prepared, y, 5, 0, 5, k, tokens);
        const code = 2 ** bits - 1;
        for (let i = 0; i < tokens * 5; i++)
          expect(Math.abs(f32[y / 4 + i]! / (tokens === 8 ? 1 : -k * 127 * code) - (tokens === 8 ? 0 : 1))).toBeLessThan(1e-5);
      }
    }
    wasm.useWideDots(-1);
  });

  it('a block that holds NaN or infinity gives NaN for its token and leaves the other tokens alone', () => {
    for (const activation of [ACTIVATION.int8, ACTIVATION.int16]) {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        reset();
        const w = take(32);
        bytes.fill(0x37, w, w + 32);
        const scales = takeFloats(1, () => 1);
        const biases = takeFloats(1, () => 1);
        const x = takeFloats(8 * 64, (i) => (i === 3 * 64 + 11 ? bad : 1));
        const y = take(32);
        const prepared = take(wasm.preparedBytes(activation, 4, 64, 8, 64));
        wasm.prepare(activation, 4, 64, x, 8, 64, prepared);
        wasm.matmul(activation, 4, 64, SCALE_TYPE.f32, w, scales, biases, prepared, y, 1, 0, 1, 64, 8);
        const finite = Array.from(f32.subarray(y / 4, y / 4 + 8), Number.isFinite);
        expect(finite).toEqual([true, true, true, false, true, true, true, true]);
      }
    }
  });

  it('[engines E4] embedding rows equal the reference', () => {
    const random = randomOf(4);
    for (const { bits, group, scaleType } of every) {
      reset();
      const groups = someGroups(random, group, 9);
      const k = groups * group;
      const w = take((7 * k * bits) / 8);
      for (let i = 0; i < (7 * k * bits) / 8; i++) bytes[w + i] = random.between(0, 255);
      const scales = take(scaleBytes(scaleType, 7 * groups));
      const biases = take(scaleBytes(scaleType, 7 * groups));
      writeScales(random, scaleType, scales, 7 * groups, 0.02);
      writeScales(random, scaleType, biases, 7 * groups, 0.2);
      const row = random.between(0, 6);
      const [a, b] = [take(k * 4), take(k * 4)];
      wasm.dequantiseRow(bits, group, scaleType, w, scales, biases, row, k, a);
      reference.dequantiseRow(bits, group, scaleType, w, scales, biases, row, k, b);
      expectClose(a, b, k, (i) => 1e-6 * (Math.abs(f32[b / 4 + i]!) + 1), `row ${row} of ${bits} bits, group ${group}`);
    }
  });
});

describe('plain matrices', () => {
  it('[engines E4] every type, any width and any number of tokens equals the reference', () => {
    const random = randomOf(5);
    for (const type of Object.values(PLAIN_TYPE)) {
      for (let i = 0; i < 60; i++) {
        reset();
        const [k, rows, tokens] = [random.pick([1, 3, 4, 7, 16, 17, 63, 576, random.between(1, 200)]), random.between(1, 9), random.between(1, 9)];
        const w = take(plainBytes(type, rows * k));
        writePlain(random, type, w, rows * k, 1);
        const x = takeFloats(tokens * k, () => random.normal());
        const run = (kernels: Kernels): number => {
          const y = takeFloats(tokens * rows, () => 7);
          kernels.matmulPlain(type, w, x, y, rows, 0, rows, k, tokens);
          return y;
        };
        const [actual, expected] = [run(wasm), run(reference)];
        clearSigns(type, w, rows * k);
        clearSigns(PLAIN_TYPE.f32, x, tokens * k);
        const sizes = run(reference);
        expectClose(actual, expected, tokens * rows, (j) => 1e-6 * f32[sizes / 4 + j]!, `type ${type}, ${rows} × ${k}, ${tokens} tokens`);
      }
    }
  });

  it('[engines E4] low-rank deltas are added, times a factor, to what is there', () => {
    const random = randomOf(6);
    for (const type of Object.values(PLAIN_TYPE)) {
      for (let i = 0; i < 40; i++) {
        reset();
        const [k, rows, tokens, factor] = [random.pick([1, 8, 16, 20, 64, 300]), random.between(1, 20), random.between(1, 9), random.pick([0, 0.5, 2, -1])];
        const r0 = random.between(0, rows - 1);
        const w = take(plainBytes(type, rows * k));
        writePlain(random, type, w, rows * k, 1);
        const x = takeFloats(tokens * k, () => random.normal());
        const before = takeFloats(tokens * (rows + 3), () => random.normal());
        const run = (kernels: Kernels, times: number): number => {
          const y = takeFloats(tokens * (rows + 3), (j) => f32[before / 4 + j]!);
          kernels.matmulPlainAdd(type, w, x, y, rows + 3, r0, rows, k, tokens, times);
          return y;
        };
        const [actual, expected] = [run(wasm, factor), run(reference, factor)];
        for (const [at, n] of [
          [x, tokens * k],
          [before, tokens * (rows + 3)],
        ] as const)
          clearSigns(PLAIN_TYPE.f32, at, n);
        clearSigns(type, w, rows * k);
        const sizes = run(reference, Math.abs(factor));
        const outside = (j: number): boolean => j % (rows + 3) < r0 || j % (rows + 3) >= rows;
        expectClose(
          actual,
          expected,
          tokens * (rows + 3),
          (j) => (outside(j) ? 0 : 1e-6 * f32[sizes / 4 + j]!),
          `type ${type}, ${rows} × ${k}, ${tokens} tokens`,
        );
      }
    }
  });

  it('[engines E4] every finite F16 and BF16 pattern is widened exactly', () => {
    for (const type of [PLAIN_TYPE.f16, PLAIN_TYPE.bf16]) {
      reset();
      const src = take(65536 * 2);
      for (let i = 0; i < 65536; i++) u16[src / 2 + i] = i;
      const [a, b] = [take(65536 * 4), take(65536 * 4)];
      wasm.widen(type, src, a, 65536);
      reference.widen(type, src, b, 65536);
      for (let i = 0; i < 65536; i++) if (Number.isFinite(f32[b / 4 + i]!)) expect(Object.is(f32[a / 4 + i], f32[b / 4 + i])).toBe(true);
    }
  });
});

describe('memory', () => {
  it('works above 2 GiB', () => {
    const large = new WebAssembly.Memory({ initial: 32768 + 64, maximum: 65536, shared: true });
    const kernels = loadKernels(large);
    const at = 2 ** 31 + 4096;
    const view = new Float32Array(large.buffer, at, 64);
    view.fill(1);
    kernels.addInto(at, at + 128, 32);
    expect(Array.from(view.subarray(0, 33))).toEqual([...new Array(32).fill(2), 1]);
    const prepared = at + 8192;
    kernels.prepare(ACTIVATION.int8, 4, 64, at, 1, 64, prepared);
    const y = at + 4096;
    const bytesAbove = new Uint8Array(large.buffer, at + 2048, 32).fill(0x11);
    const scales = new Float32Array(large.buffer, at + 3072, 2);
    scales.set([1, 0]);
    kernels.matmul(ACTIVATION.int8, 4, 64, SCALE_TYPE.f32, bytesAbove.byteOffset, at + 3072, at + 3076, prepared, y, 1, 0, 1, 64, 1);
    expect(new Float32Array(large.buffer, y, 1)[0]).toBeCloseTo(96, 0);
  });
});
