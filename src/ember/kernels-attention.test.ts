import { describe, expect, it } from 'vitest';
import { bytes, expectClose, type Random, randomOf, reference, reset, take, takeFloats, u16, u32, wasm } from '../../test/support/kernel-memory.ts';
import { type Kernels, PAGE_TOKENS } from './kernel-interface.ts';

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
