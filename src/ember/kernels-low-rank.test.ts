import { describe, expect, it } from 'vitest';
import { expectClose, f32, randomOf, reference, reset, takeFloats, wasm } from '../../test/support/kernel-memory.ts';

describe('low-rank kernels', () => {
  it('[engines E4] low-rank deltas equal the reference for any rank, width and number of tokens, and touch nothing beside them', () => {
    const random = randomOf(29);
    for (let i = 0; i < 60; i++) {
      reset();
      const [tokens, rank, rows] = [
        random.between(1, 6),
        random.pick([1, 4, 8, 13, 16, 64]),
        random.pick([1, 3, 8, 64, 511, 513, 1026, random.between(1, 700)]),
      ];
      const stride = rows + random.between(0, 5);
      const b = takeFloats(rank * rows, () => random.normal());
      const z = takeFloats(tokens * rank, () => random.normal());
      const start = Float32Array.from({ length: tokens * stride }, () => random.normal());
      const [found, wanted] = [takeFloats(start.length, (at) => start[at]!), takeFloats(start.length, (at) => start[at]!)];
      const factor = random.normal();
      wasm.addLowRank(b, z, found, stride, rows, rank, tokens, factor);
      reference.addLowRank(b, z, wanted, stride, rows, rank, tokens, factor);
      expectClose(found, wanted, start.length, () => 1e-5 * (1 + rank), `rank ${rank}, ${rows} rows, ${tokens} tokens`);
      for (let t = 0; t < tokens; t++) for (let at = t * stride + rows; at < (t + 1) * stride; at++) expect(f32[found / 4 + at]).toBe(start[at]);
    }
  });
});
