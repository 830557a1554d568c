import { describe, expect, it } from 'vitest';
import { modelGraph } from '../models/architectures.ts';
import { splitEvenly, splitGraph } from './split.ts';

const graph = (heads: number, kvHeads: number, headDim: number, intermediate: number) =>
  modelGraph({
    model_type: 'llama',
    hidden_size: heads * headDim,
    num_hidden_layers: 1,
    intermediate_size: intermediate,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    vocab_size: 49_155,
  });

describe('splitGraph', () => {
  it('splits 9 heads over 2 ranks and gives both the kv head that they share', () => {
    const [first, second] = splitGraph(graph(9, 3, 64, 1536), 2, { attentionOutput: 64, down: 64 });
    expect(first).toMatchObject({ heads: { first: 0, count: 5 }, kvHeads: { first: 0, count: 2 }, headToKv: [0, 0, 0, 1, 1], mlp: { first: 0, count: 768 } });
    expect(second).toMatchObject({ heads: { first: 5, count: 4 }, kvHeads: { first: 1, count: 2 }, headToKv: [0, 1, 1, 1], mlp: { first: 768, count: 768 } });
    expect(first!.vocabulary.count + second!.vocabulary.count).toBe(49_155);
  });

  it('cuts heads at group borders, and leaves a rank without heads when there are too few groups', () => {
    const splits = splitGraph(graph(4, 2, 16, 128), 3, { attentionOutput: 64, down: 64 });
    expect(splits.map((s) => s.heads.count)).toEqual([4, 0, 0]);
    expect(splits.map((s) => s.kvHeads.count)).toEqual([2, 0, 0]);
    expect(splits.map((s) => s.mlp.count)).toEqual([64, 64, 0]);
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
