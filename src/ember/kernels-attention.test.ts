import { describe, expect, it } from 'vitest';
import { bytes, expectClose, f32, type Random, randomOf, reference, reset, take, takeFloats, u16, u32, wasm } from '../../test/support/kernel-memory.ts';
import { type Kernels, KV_TYPE, type KvTypeCode, PAGE_TOKENS } from './kernel-interface.ts';

interface Case {
  readonly kvType: KvTypeCode;
  readonly position: number;
  readonly tokens: number;
  readonly qHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly window?: number;
  readonly softCap?: number;
  readonly sinks?: boolean;
  readonly mask?: 0 | 1;
  readonly shared?: 0 | 1;
}

interface Cache {
  readonly layerBase: number;
  readonly pageStride: number;
  readonly pages: number;
}

/** Fills two caches with the same keys and values, in steps, one with each implementation: their bytes must be equal. */
function fillCaches(random: Random, { kvType, position, tokens, kvHeads, headDim, shared = 0 }: Case): Cache {
  const context = position + tokens;
  const pageCount = Math.ceil(context / PAGE_TOKENS);
  const pageStride = wasm.pageBytes(kvType, kvHeads, headDim, shared);
  expect(reference.pageBytes(kvType, kvHeads, headDim, shared)).toBe(pageStride);
  const size = pageStride * (pageCount + 3);
  const [layerBase, copy] = [take(size), take(size)];
  const numbers = Array.from({ length: pageCount + 3 }, (_, i) => i).sort(() => random.next() - 0.5);
  const pages = take(pageCount * 4);
  for (let i = 0; i < pageCount; i++) u32[pages / 4 + i] = numbers[i]!;
  const stride = kvHeads * headDim + random.pick([0, 16]);
  const [k, v] = [takeFloats(context * stride, () => random.normal()), takeFloats(context * stride, () => random.normal())];
  for (let from = 0; from < context; ) {
    const n = Math.min(context - from, random.between(1, 40));
    const at = from * stride * 4;
    wasm.storeKv(kvType, k + at, shared ? 0 : v + at, stride, layerBase, pageStride, pages, from, n, kvHeads, headDim);
    reference.storeKv(kvType, k + at, shared ? 0 : v + at, stride, copy, pageStride, pages, from, n, kvHeads, headDim);
    from += n;
  }
  expect(Buffer.compare(bytes.slice(layerBase, layerBase + size), bytes.slice(copy, copy + size))).toBe(0);
  return { layerBase, pageStride, pages };
}

/** Both implementations read the same cache: the layout is shared. */
function checkAttention(random: Random, shape: Case): void {
  reset();
  const { kvType, position, tokens, qHeads, kvHeads, headDim, window = 0, softCap = 0, sinks = false, mask = 0, shared = 0 } = shape;
  const { layerBase, pageStride, pages } = fillCaches(random, shape);
  const table = Array.from({ length: qHeads }, (_, h) => (qHeads % kvHeads === 0 ? Math.floor((h * kvHeads) / qHeads) : Math.min(h, kvHeads - 1)));
  const headToKv = take(qHeads * 4);
  for (const [h, kv] of table.entries()) u32[headToKv / 4 + h] = kv;
  const qStride = qHeads * headDim + random.pick([0, 16]);
  const q = takeFloats(tokens * qStride, () => random.normal() * 3);
  const sinkScores = sinks ? takeFloats(qHeads, () => random.normal() * 4) : 0;
  const outStride = qHeads * headDim + random.pick([0, 16]);
  const run = (kernels: Kernels): number => {
    const out = takeFloats(tokens * outStride, () => 7);
    const scratch = take(kernels.attendScratchBytes(tokens, qHeads, headDim, position + tokens));
    const shapes = [layerBase, pageStride, pages, position, tokens, qHeads, headToKv, kvHeads, headDim] as const;
    kernels.attend(kvType, q, qStride, out, outStride, ...shapes, headDim ** -0.5, window, softCap, sinkScores, mask, shared, scratch);
    return out;
  };
  const [actual, expected] = [run(wasm), run(reference)];
  expectClose(actual, expected, tokens * outStride, () => 1e-5, JSON.stringify(shape));
}

describe('attention', () => {
  const types = Object.values(KV_TYPE);

  it('[engines E4] attention equals the reference: grouped heads, partial pages, windows, soft caps, sinks, full masks, every type of cache', () => {
    const random = randomOf(8);
    for (let i = 0; i < 120; i++) {
      const kvHeads = random.between(1, 3);
      checkAttention(random, {
        kvType: types[i % 3]!,
        position: random.pick([0, 0, 1, 31, 32, 63, random.between(0, 200)]),
        tokens: random.between(1, 17),
        kvHeads,
        qHeads: kvHeads * random.between(1, 8),
        headDim: random.pick([8, 16, 24, 32, 64, 80, 96, 128]),
        window: random.pick([0, 0, 1, 5, 32, 100]),
        softCap: random.pick([0, 0, 3, 50]),
        sinks: random.pick([false, false, true]),
        mask: random.pick([0, 0, 0, 1]),
        shared: random.pick([0, 0, 1]),
      });
    }
  });

  it('[engines E4] attention equals the reference for uneven tables of heads and for a long context', () => {
    const random = randomOf(9);
    for (const kvType of types) {
      checkAttention(random, { kvType, position: 9, tokens: 5, qHeads: 5, kvHeads: 2, headDim: 16 });
      checkAttention(random, { kvType, position: 999, tokens: 2, qHeads: 4, kvHeads: 1, headDim: 64 });
      checkAttention(random, { kvType, position: 999, tokens: 3, qHeads: 4, kvHeads: 1, headDim: 64, window: 512, softCap: 20, sinks: true });
      checkAttention(random, { kvType, position: 70, tokens: 1, qHeads: 36, kvHeads: 12, headDim: 16 });
      checkAttention(random, { kvType, position: 301, tokens: 5, qHeads: 9, kvHeads: 1, headDim: 576, shared: 1 });
    }
  });

  it('[engines E4] attention equals the reference for heads of every size up to 576', () => {
    const random = randomOf(21);
    for (let headDim = 8; headDim <= 576; headDim += headDim < 128 ? 16 : 64) {
      for (const kvType of types)
        checkAttention(random, { kvType, position: 37, tokens: random.between(1, 3), qHeads: random.between(2, 4), kvHeads: 1, headDim });
    }
    for (const headDim of [256, 512]) checkAttention(random, { kvType: KV_TYPE.bf16, position: 300, tokens: 9, qHeads: 8, kvHeads: 2, headDim, window: 64 });
  });

  it('a sink takes weight from every value, and a very large one takes all', () => {
    reset();
    const random = randomOf(22);
    const shape = { kvType: KV_TYPE.f32, position: 40, tokens: 1, qHeads: 1, kvHeads: 1, headDim: 8 };
    const { layerBase, pageStride, pages } = fillCaches(random, shape);
    const headToKv = take(4);
    u32[headToKv / 4] = 0;
    const q = takeFloats(8, () => random.normal());
    const scratch = take(wasm.attendScratchBytes(1, 1, 8, 41));
    const first = (sink: number | null): number => {
      const sinks = sink === null ? 0 : takeFloats(1, () => sink);
      const out = take(32);
      wasm.attend(KV_TYPE.f32, q, 8, out, 8, layerBase, pageStride, pages, 40, 1, 1, headToKv, 1, 8, 1, 0, 0, sinks, 0, 0, scratch);
      return Math.abs(f32[out / 4]!);
    };
    expect(first(-80)).toBe(first(null));
    expect(first(2)).toBeLessThan(first(null));
    expect(first(100)).toBeLessThan(1e-30);
  });

  it('an int8 cache moves attention over normal values by less than 0.02', () => {
    const random = randomOf(23);
    for (let i = 0; i < 20; i++) {
      reset();
      const [headDim, context] = [random.pick([64, 80, 128]), random.between(20, 200)];
      const pages = take(4 * 7);
      for (let p = 0; p < 7; p++) u32[pages / 4 + p] = p;
      const [k, v] = [takeFloats(context * headDim, () => random.normal()), takeFloats(context * headDim, () => random.normal())];
      const q = takeFloats(headDim, () => random.normal());
      const headToKv = take(4);
      u32[headToKv / 4] = 0;
      const scratch = take(wasm.attendScratchBytes(1, 1, headDim, context));
      const [float, coded] = [KV_TYPE.f32, KV_TYPE.int8].map((kvType) => {
        const stride = wasm.pageBytes(kvType, 1, headDim, 0);
        const base = take(stride * 7);
        wasm.storeKv(kvType, k, v, headDim, base, stride, pages, 0, context, 1, headDim);
        const out = take(headDim * 4);
        wasm.attend(kvType, q, headDim, out, headDim, base, stride, pages, context - 1, 1, 1, headToKv, 1, headDim, headDim ** -0.5, 0, 0, 0, 0, 0, scratch);
        return out;
      }) as [number, number];
      expectClose(coded, float, headDim, () => 0.02, `int8 cache, ${context} cells of ${headDim}`);
      expect(Array.from(f32.subarray(coded / 4, coded / 4 + headDim))).not.toEqual(Array.from(f32.subarray(float / 4, float / 4 + headDim)));
    }
  });

  it('a NaN or infinity in a key or value gives NaN to those who see the cell, in every type of cache, and to nobody before', () => {
    for (const kvType of types) {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
        for (const inKey of [true, false]) {
          reset();
          const pages = take(4);
          u32[pages / 4] = 0;
          const values = (spoilt: boolean): number => takeFloats(6 * 8, (i) => (spoilt && i === 4 * 8 + 3 ? bad : 0.5));
          const [k, v] = [values(inKey), values(!inKey)];
          const stride = wasm.pageBytes(kvType, 1, 8, 0);
          const base = take(stride);
          wasm.storeKv(kvType, k, v, 8, base, stride, pages, 0, 6, 1, 8);
          const headToKv = take(4);
          u32[headToKv / 4] = 0;
          const q = takeFloats(8, () => 1);
          const scratch = take(wasm.attendScratchBytes(1, 1, 8, 6));
          const finite = (position: number): boolean => {
            const out = take(32);
            wasm.attend(kvType, q, 8, out, 8, base, stride, pages, position, 1, 1, headToKv, 1, 8, 1, 0, 0, 0, 0, 0, scratch);
            return Array.from(f32.subarray(out / 4, out / 4 + 8)).every(Number.isFinite);
          };
          expect([kvType, bad, inKey, finite(3), finite(5)]).toEqual([kvType, bad, inKey, true, false]);
        }
      }
    }
  });

  it('[engines E4] keys and values are rounded to BF16, half to even, and keep NaN and infinity', () => {
    reset();
    const patterns = [0x3f808000, 0x3f818000, 0x3f808001, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7f800001, 0x00008001];
    const k = take(32);
    for (const [i, pattern] of patterns.entries()) u32[k / 4 + i] = pattern;
    const page = take(2 * 32 * 8 * 2);
    const pages = take(4);
    u32[pages / 4] = 0;
    wasm.storeKv(KV_TYPE.bf16, k, k, 8, page, 1024, pages, 5, 1, 1, 8);
    const order = [0, 2, 4, 6, 1, 3, 5, 7]; // places of eight values
    expect(patterns.map((_, i) => u16[page / 2 + 32 * 8 + 5 * 8 + order[i]!])).toEqual([0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x7f80, 0xff80, 0x7fc0, 0x0001]);
    expect(patterns.map((_, i) => u16[page / 2 + i * 8 + order[5]!])).toEqual([0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x7f80, 0xff80, 0x7fc0, 0x0001]);
  });
});
