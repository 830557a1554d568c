import type { LoadedModel } from './loaded-model.ts';

/** Compute threads for each of `busy` children with work, when one alone may use `ranks`: together they stay within what one has (engines.md §2.3). */
export const threadShare = (ranks: number, busy: number): number => Math.max(1, Math.floor(ranks / Math.max(1, busy)));

/** Tells each child with work how many threads it may use, whenever that changes. */
export function createThreadShares(): (busy: readonly LoadedModel[]) => void {
  const told = new WeakMap<LoadedModel, number>();
  return (busy) => {
    for (const loaded of busy) {
      const share = threadShare(loaded.report.ranks, busy.length);
      if ((told.get(loaded) ?? loaded.report.ranks) === share) continue;
      told.set(loaded, share);
      // A child that is just dying cannot be told, and need not.
      loaded.session.setThreads(share).catch(() => told.delete(loaded));
    }
  };
}
