import { describe, expect, it } from 'vitest';
import type { LoadedModel } from './loaded-model.ts';
import { createThreadShares, threadShare } from './thread-shares.ts';

/** A loaded model of which only the ranks and the call that sets threads matter. */
function model(ranks: number): LoadedModel & { readonly told: number[] } {
  const told: number[] = [];
  return { told, report: { ranks }, session: { setThreads: async (threads: number) => void told.push(threads) } } as unknown as LoadedModel & {
    readonly told: number[];
  };
}

describe('thread shares', () => {
  it('[engines E8] with two busy children the sum of their threads stays within what one has alone', () => {
    for (const ranks of [2, 3, 4, 7, 16]) for (const busy of [1, 2]) expect(threadShare(ranks, busy) * busy).toBeLessThanOrEqual(ranks);
    expect([threadShare(4, 1), threadShare(4, 2), threadShare(4, 3), threadShare(1, 2)]).toEqual([4, 2, 1, 1]);
  });

  it('[engines E8] a child is told when another one gets work, and again when it is alone', () => {
    const share = createThreadShares();
    const first = model(4);
    const second = model(4);
    share([first]);
    expect(first.told).toEqual([]);
    share([first, second]);
    share([first, second]);
    expect([first.told, second.told]).toEqual([[2], [2]]);
    share([second]);
    expect([first.told, second.told]).toEqual([[2], [2, 4]]);
    share([first]);
    expect(first.told).toEqual([2, 4]);
  });
});
