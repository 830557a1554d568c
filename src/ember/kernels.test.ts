import { describe, expect, it } from 'vitest';
import { ACTIVATION, type Activation, type Kernels, PAGE_TOKENS, PLAIN_TYPE, SCALE_TYPE, type ScaleType } from './kernel-interface.ts';
import { loadKernels } from './load-kernels.ts';
import { numberToBfloat16 } from './reference/bytes.ts';
import { createReferenceKernels } from './reference/reference-kernels.ts';

const memory = new WebAssembly.Memory({ initial: 512, maximum: 65536, shared: true });
const wasm = loadKernels(memory);
const reference = createReferenceKernels(memory.buffer);
const f32 = new Float32Array(memory.buffer);
const u32 = new Uint32Array(memory.buffer);
const u16 = new Uint16Array(memory.buffer);
const bytes = new Uint8Array(memory.buffer);

/** Random numbers of one seed (mulberry32). */
function randomOf(seed: number) {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    between: (low: number, high: number): number => low + Math.floor(next() * (high - low + 1)),
    pick: <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)]!,
    normal: (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  };
}
type Random = ReturnType<typeof randomOf>;

let top = 1024;
/** Start of a fresh buffer, filled with NaN patterns so that a kernel that reads what it must not is seen. */
function take(sizeBytes: number): number {
  const at = top;
  top += Math.ceil(sizeBytes / 16) * 16 + 64;
  bytes.fill(0xff, at, top);
  return at;
}
const reset = (): void => {
  top = 1024;
};

function fillFloats(at: number, n: number, value: (i: number) => number): number {
  for (let i = 0; i < n; i++) f32[at / 4 + i] = value(i);
  return at;
}
const takeFloats = (n: number, value: (i: number) => number): number => fillFloats(take(n * 4), n, value);

/** F16 pattern of a random value of some size, BF16 or F32 likewise. */
function writePlain(random: Random, type: number, at: number, n: number, size: number): void {
  for (let i = 0; i < n; i++) {
    const value = random.normal() * size;
    if (type === PLAIN_TYPE.f32) f32[at / 4 + i] = value;
    else if (type === PLAIN_TYPE.bf16) u16[at / 2 + i] = numberToBfloat16(value);
    else u16[at / 2 + i] = random.between(0, 1) * 0x8000 + random.between(0, random.next() < 0.1 ? 0x3ff : 0x2fff);
  }
}
const plainBytes = (type: number, n: number): number => n * (type === PLAIN_TYPE.f32 ? 4 : 2);

/** Clears the signs of n plain values, so that a reference run gives the sum of the sizes of all terms. */
function clearSigns(type: number, at: number, n: number): void {
  if (type === PLAIN_TYPE.f32) for (let i = 0; i < n; i++) f32[at / 4 + i] = Math.abs(f32[at / 4 + i]!);
  else for (let i = 0; i < n; i++) u16[at / 2 + i]! &= 0x7fff;
}

function expectClose(actual: number, expected: number, n: number, tolerance: (i: number) => number, label: string): void {
  for (let i = 0; i < n; i++) {
    const a = f32[actual / 4 + i]!;
    const e = f32[expected / 4 + i]!;
    if (!(Math.abs(a - e) <= tolerance(i))) expect.fail(`${label}: value ${i} is ${a}, expected ${e} ± ${tolerance(i)}`);
  }
}

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

function checkMatmul(random: Random, shape: Shape): void {
  reset();
  const { activation, bits, group, scaleType, groups, tokens, rows, r0, r1 } = shape;
  const k = groups * group;
  const yStride = rows + random.between(0, 5);
  const w = take((rows * k * bits) / 8);
  for (let i = 0; i < (rows * k * bits) / 8; i++) bytes[w + i] = random.next() < 0.05 ? 255 : random.between(0, 255);
  const scales = take(plainBytes(scaleType, rows * groups));
  const biases = take(plainBytes(scaleType, rows * groups));
  writePlain(random, scaleType, scales, rows * groups, 0.02);
  writePlain(random, scaleType, biases, rows * groups, 0.2);
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
  clearSigns(scaleType, scales, rows * groups);
  clearSigns(scaleType, biases, rows * groups);
  const sizes = run(reference);
  const outside = (i: number): boolean => i % yStride < r0 || i % yStride >= r1;
  const tolerance = (i: number): number => (outside(i) ? 0 : 1e-6 * f32[sizes / 4 + i]!);
  expectClose(narrow, expected, tokens * yStride, tolerance, `16-bit dots, ${JSON.stringify(shape)}`);
  expectClose(wide, expected, tokens * yStride, tolerance, `32-bit dots, ${JSON.stringify(shape)}`);
}

describe('quantised matrices', () => {
  const every: Omit<Shape, 'groups' | 'tokens' | 'rows' | 'r0' | 'r1'>[] = [];
  for (const activation of Object.values(ACTIVATION))
    for (const bits of [4, 8])
      for (const group of [32, 64, 128]) for (const scaleType of Object.values(SCALE_TYPE)) every.push({ activation, bits, group, scaleType });

  it('[engines E4] every activation path, width, group and scale type equals the reference for 1 to 17 tokens and groups that are no multiple of four', () => {
    const random = randomOf(1);
    for (const mode of every) {
      for (let tokens = 1; tokens <= 17; tokens++) {
        const rows = random.between(1, 13);
        checkMatmul(random, { ...mode, tokens, groups: random.between(1, 9), rows, r0: 0, r1: rows });
      }
    }
  });

  it('[engines E4] row ranges write their own rows only', () => {
    const random = randomOf(2);
    for (let i = 0; i < 60; i++) {
      const rows = random.between(1, 90);
      const r0 = random.between(0, rows - 1);
      checkMatmul(random, { ...random.pick(every), tokens: random.between(1, 9), groups: random.between(1, 5), rows, r0, r1: random.between(r0, rows) });
    }
  });

  it('[engines E4] long rows: 576, 1536 and 8192 values', () => {
    const random = randomOf(3);
    for (const mode of every) {
      for (const k of [576, 1536, 8192])
        if (k % mode.group === 0) checkMatmul(random, { ...mode, tokens: random.pick([1, 4, 8]), groups: k / mode.group, rows: 5, r0: 0, r1: 5 });
    }
  });

  it('[engines E4] the largest codes of weights and activations do not overflow', () => {
    for (const { activation, bits, group, scaleType } of every) {
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
        const code = bits === 4 ? 15 : 255;
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
      const groups = random.between(1, 9);
      const k = groups * group;
      const w = take((7 * k * bits) / 8);
      for (let i = 0; i < (7 * k * bits) / 8; i++) bytes[w + i] = random.between(0, 255);
      const scales = take(plainBytes(scaleType, 7 * groups));
      const biases = take(plainBytes(scaleType, 7 * groups));
      writePlain(random, scaleType, scales, 7 * groups, 0.02);
      writePlain(random, scaleType, biases, 7 * groups, 0.2);
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

describe('attention', () => {
  interface Case {
    readonly position: number;
    readonly tokens: number;
    readonly qHeads: number;
    readonly kvHeads: number;
    readonly headDim: number;
    readonly window: number;
    readonly softCap: number;
  }

  /** Fills the cache in steps with one implementation, reads it with both: the layout is shared. */
  function checkAttention(random: Random, shape: Case): void {
    reset();
    const { position, tokens, qHeads, kvHeads, headDim, window, softCap } = shape;
    const context = position + tokens;
    const pageCount = Math.ceil(context / PAGE_TOKENS);
    const pageStride = kvHeads * 2 * PAGE_TOKENS * headDim * 2;
    const [layerBase, copy] = [take(pageStride * (pageCount + 3)), take(pageStride * (pageCount + 3))];
    const numbers = Array.from({ length: pageCount + 3 }, (_, i) => i).sort(() => random.next() - 0.5);
    const pages = take(pageCount * 4);
    for (let i = 0; i < pageCount; i++) u32[pages / 4 + i] = numbers[i]!;
    const stride = kvHeads * headDim + random.pick([0, 16]);
    const [k, v] = [takeFloats(context * stride, () => random.normal()), takeFloats(context * stride, () => random.normal())];
    for (let from = 0; from < context; ) {
      const n = Math.min(context - from, random.between(1, 40));
      const at = from * stride * 4;
      wasm.storeKv(k + at, v + at, stride, layerBase, pageStride, pages, from, n, kvHeads, headDim);
      reference.storeKv(k + at, v + at, stride, copy, pageStride, pages, from, n, kvHeads, headDim);
      from += n;
    }
    const size = pageStride * (pageCount + 3);
    expect(Buffer.compare(bytes.slice(layerBase, layerBase + size), bytes.slice(copy, copy + size))).toBe(0);

    const table = Array.from({ length: qHeads }, (_, h) => (qHeads % kvHeads === 0 ? Math.floor((h * kvHeads) / qHeads) : Math.min(h, kvHeads - 1)));
    const headToKv = take(qHeads * 4);
    for (const [h, kv] of table.entries()) u32[headToKv / 4 + h] = kv;
    const qStride = qHeads * headDim + random.pick([0, 16]);
    const q = takeFloats(tokens * qStride, () => random.normal() * 3);
    const outStride = qHeads * headDim + random.pick([0, 16]);
    const run = (kernels: Kernels): number => {
      const out = takeFloats(tokens * outStride, () => 7);
      const scratch = take(kernels.attendScratchBytes(tokens, qHeads, headDim, context));
      const args = [layerBase, pageStride, pages, position, tokens, qHeads, headToKv, kvHeads, headDim, headDim ** -0.5, window, softCap] as const;
      kernels.attend(q, qStride, out, outStride, ...args, scratch);
      return out;
    };
    const [actual, expected] = [run(wasm), run(reference)];
    expectClose(actual, expected, tokens * outStride, () => 1e-5, JSON.stringify(shape));
  }

  it('[engines E4] attention equals the reference: grouped heads, partial pages, windows, soft caps, many positions', () => {
    const random = randomOf(8);
    for (let i = 0; i < 150; i++) {
      const kvHeads = random.between(1, 3);
      checkAttention(random, {
        position: random.pick([0, 0, 1, 31, 32, 63, random.between(0, 200)]),
        tokens: random.between(1, 17),
        kvHeads,
        qHeads: kvHeads * random.between(1, 5),
        headDim: random.pick([8, 16, 24, 32, 64, 80]),
        window: random.pick([0, 0, 1, 5, 32, 100]),
        softCap: random.pick([0, 0, 3, 50]),
      });
    }
  });

  it('[engines E4] attention equals the reference for uneven tables of heads and for a long context', () => {
    const random = randomOf(9);
    checkAttention(random, { position: 9, tokens: 5, qHeads: 5, kvHeads: 2, headDim: 16, window: 0, softCap: 0 });
    checkAttention(random, { position: 2999, tokens: 2, qHeads: 4, kvHeads: 1, headDim: 64, window: 0, softCap: 0 });
    checkAttention(random, { position: 2999, tokens: 3, qHeads: 4, kvHeads: 1, headDim: 64, window: 512, softCap: 20 });
  });

  it('[engines E4] keys and values are rounded to BF16, half to even, and keep NaN and infinity', () => {
    reset();
    const patterns = [0x3f808000, 0x3f818000, 0x3f808001, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7f800001, 0x00008001];
    const k = take(32);
    for (const [i, pattern] of patterns.entries()) u32[k / 4 + i] = pattern;
    const page = take(2 * 32 * 8 * 2);
    const pages = take(4);
    u32[pages / 4] = 0;
    wasm.storeKv(k, k, 8, page, 1024, pages, 5, 1, 1, 8);
    const order = [0, 2, 4, 6, 1, 3, 5, 7]; // places of eight values
    expect(patterns.map((_, i) => u16[page / 2 + 32 * 8 + 5 * 8 + order[i]!])).toEqual([0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x7f80, 0xff80, 0x7fc0, 0x0001]);
    expect(patterns.map((_, i) => u16[page / 2 + i * 8 + order[5]!])).toEqual([0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x7f80, 0xff80, 0x7fc0, 0x0001]);
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
