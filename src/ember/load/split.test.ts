import { describe, expect, it } from 'vitest';
import { splitEvenly, splitHeads, splitVocabulary, splitWidth } from './split.ts';

describe('splitHeads', () => {
  it('splits 9 heads over 2 ranks and gives both the kv head that they share', () => {
    const [first, second] = splitHeads(9, 3, 64, 2, 64);
    expect(first).toEqual({ heads: { first: 0, count: 5 }, kvHeads: { first: 0, count: 2 }, headToKv: [0, 0, 0, 1, 1], firstUnsharedKvHead: 0 });
    expect(second).toEqual({ heads: { first: 5, count: 4 }, kvHeads: { first: 1, count: 2 }, headToKv: [0, 1, 1, 1], firstUnsharedKvHead: 1 });
  });

  it('counts each kv head once, whatever the number of ranks', () => {
    for (const [heads, kvHeads, ranks] of [
      [8, 2, 3],
      [12, 1, 5],
      [6, 6, 4],
      [9, 3, 8],
    ] as const) {
      const splits = splitHeads(heads, kvHeads, 64, ranks, 64);
      const counted = splits.flatMap((split) =>
        Array.from({ length: split.kvHeads.count }, (_, i) => split.kvHeads.first + i).slice(split.firstUnsharedKvHead),
      );
      expect(counted).toEqual(Array.from({ length: kvHeads }, (_, i) => i));
    }
  });

  it('cuts heads at group borders, and leaves a rank without heads when there are too few groups', () => {
    const splits = splitHeads(4, 2, 16, 3, 64);
    expect(splits.map((s) => s.heads.count)).toEqual([4, 0, 0]);
    expect(splits.map((s) => s.kvHeads.count)).toEqual([2, 0, 0]);
  });
});

describe('splitWidth and splitVocabulary', () => {
  it('cut at group borders and at whole tiles', () => {
    expect(splitWidth(1536, 2, 64)).toEqual([
      { first: 0, count: 768 },
      { first: 768, count: 768 },
    ]);
    expect(splitWidth(128, 3, 64).map((range) => range.count)).toEqual([64, 64, 0]);
    expect(splitWidth(12, 2, 1).map((range) => range.count)).toEqual([6, 6]);
    expect(splitVocabulary(49_155, 2).map((range) => range.count)).toEqual([24_584, 24_571]);
  });

  it('covers every dimension once, in order, at multiples of the unit', () => {
    for (const [total, parts, unit] of [
      [1536, 5, 64],
      [49_155, 3, 8],
      [32, 7, 1],
      [100, 3, 32],
      [1, 4, 8],
    ] as const) {
      const ranges = splitEvenly(total, parts, unit);
      let next = 0;
      for (const range of ranges) {
        expect(range.first).toBe(next);
        next += range.count;
        expect(next % unit === 0 || next === total).toBe(true);
      }
      expect([ranges.length, next]).toEqual([parts, total]);
      const counts = ranges.slice(0, -1).map((r) => r.count);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(unit);
    }
  });
});
