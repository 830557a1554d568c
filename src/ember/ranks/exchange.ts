/**
 * The only memory that ranks share: words for commands and the barrier, the step, each rank's part of a sum, and their candidates.
 * Every word that is waited for has a cache line of its own.
 */
export interface ExchangeBuffers {
  readonly control: SharedArrayBuffer;
  /** Words of the step (step-words.ts). */
  readonly step: SharedArrayBuffer;
  /** f32 [2, ranks, batchTokens·hidden]: two halves used in turn, so that one barrier per sum is enough. */
  readonly sums: SharedArrayBuffer;
  /** Words [ranks, batchTokens, RESULT.words]. */
  readonly results: SharedArrayBuffer;
}

const LINE = 16;
/** Indexes of control words. */
export const WORD = { command: 0, kind: LINE, arrived: 2 * LINE, sleepers: 3 * LINE, finished: 4 * LINE, completed: 5 * LINE, failed: 6 * LINE } as const;
export const COMMAND = { step: 1, messages: 2, stop: 3 } as const;

export function createExchangeBuffers(sizes: { ranks: number; sumFloats: number; stepWords: number; resultWords: number }): ExchangeBuffers {
  return {
    control: new SharedArrayBuffer(8 * LINE * 4),
    step: new SharedArrayBuffer(sizes.stepWords * 4),
    sums: new SharedArrayBuffer(sizes.ranks === 1 ? 0 : 2 * sizes.ranks * sizes.sumFloats * 4),
    results: new SharedArrayBuffer(sizes.ranks * sizes.resultWords * 4),
  };
}

/**
 * Looks at the barrier word this often before it sleeps: some 20 µs. Ranks on cores of their own differ by less; a rank that shares a core gets it the
 * sooner the shorter the others spin (one of two cores kept busy: 105 tokens/s with 200, 91 with 1,000, 62 with 4,000; 133 on one rank).
 */
const SPINS = 200;
/** A sleeper looks up this often for a rank that has failed. */
const LOOK_UP_MS = 200;

/** A barrier of `ranks` threads. The arrival counter only grows (and wraps): each passage waits for its own multiple of `ranks`. */
export function createBarrier(control: Int32Array, ranks: number): () => void {
  let target = 0;
  return () => {
    target = (target + ranks) | 0;
    const behind = (count: number) => ((count - target) | 0) < 0;
    let count = (Atomics.add(control, WORD.arrived, 1) + 1) | 0;
    if (!behind(count)) {
      if (Atomics.load(control, WORD.sleepers) > 0) Atomics.notify(control, WORD.arrived);
      return;
    }
    for (let spin = 0; spin < SPINS; spin++) {
      if (!behind(Atomics.load(control, WORD.arrived))) return;
      Atomics.pause();
    }
    Atomics.add(control, WORD.sleepers, 1);
    count = Atomics.load(control, WORD.arrived);
    while (behind(count)) {
      if (Atomics.load(control, WORD.failed) !== 0) throw new Error('Another compute thread of the model failed.');
      Atomics.wait(control, WORD.arrived, count, LOOK_UP_MS);
      count = Atomics.load(control, WORD.arrived);
    }
    Atomics.sub(control, WORD.sleepers, 1);
  };
}
