/**
 * What ranks exchange: words for commands and the barrier, the step, each rank's part of a sum, and their candidates.
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
  /** Words [ranks, batchTokens, SCORE.words]. */
  readonly scores: SharedArrayBuffer;
  /** Words [MAX_MASKS, mask words]: only the pages of masks in use are ever touched. */
  readonly masks: SharedArrayBuffer;
  /** Words [ranks, PRODUCT_WORDS] (shared-work.ts). */
  readonly products: SharedArrayBuffer;
}

/** Words of a cache line. */
export const LINE = 16;
/** Words of a rank's product, in three lines (shared-work.ts). */
export const PRODUCT_WORDS = 3 * LINE;
/** Indexes of control words. */
export const WORD = {
  command: 0,
  kind: LINE,
  arrived: 2 * LINE,
  sleepers: 3 * LINE,
  finished: 4 * LINE,
  completed: 5 * LINE,
  failed: 6 * LINE,
  /** Ranks that may compute at a time; 0 = all. Changed between steps only. */
  limit: 7 * LINE,
  /** How many more may start to compute, when there is a limit. */
  free: 8 * LINE,
} as const;
export const COMMAND = { step: 1, messages: 2 } as const;

export interface ExchangeSizes {
  readonly ranks: number;
  readonly sumFloats: number;
  readonly stepWords: number;
  readonly resultWords: number;
  readonly scoreWords: number;
  readonly maskWords: number;
}

export function createExchangeBuffers(sizes: ExchangeSizes): ExchangeBuffers {
  return {
    control: new SharedArrayBuffer(9 * LINE * 4),
    step: new SharedArrayBuffer(sizes.stepWords * 4),
    sums: new SharedArrayBuffer(sizes.ranks === 1 ? 0 : 2 * sizes.ranks * sizes.sumFloats * 4),
    results: new SharedArrayBuffer(sizes.ranks * sizes.resultWords * 4),
    scores: new SharedArrayBuffer(sizes.ranks * sizes.scoreWords * 4),
    masks: new SharedArrayBuffer(sizes.maskWords * 4),
    products: new SharedArrayBuffer(sizes.ranks * PRODUCT_WORDS * 4),
  };
}

/**
 * A rank that waits spins before it sleeps. Ranks on cores of their own differ by tens of microseconds, less than a sleep costs, so spinning pays;
 * two ranks on one core only take it from each other. So the number of looks at the barrier is learnt: halved whenever it was too small, doubled
 * when it was enough, and once in a while the largest is tried again.
 */
const SPINS = { most: 2048, least: 32, tryMostEvery: 64 } as const;
/** A sleeper looks up this often for a rank that has failed. */
const LOOK_UP_MS = 200;

export interface Meeting {
  /** Waits until a rank may compute; before a step, and after each barrier. */
  enter(): void;
  /** Lets a paused rank compute instead. */
  leave(): void;
  /** Waits until all ranks are here. */
  barrier(): void;
}

/** Throws where another rank has failed: it will never arrive. */
export function checkOthers(control: Int32Array): void {
  if (Atomics.load(control, WORD.failed) !== 0) throw new Error('Another compute thread of the model failed.');
}

/** Ranks that sleep at a barrier look up. */
export function wakeSleepers(control: Int32Array): void {
  if (Atomics.load(control, WORD.sleepers) > 0) Atomics.notify(control, WORD.arrived);
}

/** Where `ranks` threads meet. `help`: does some work of a rank that is late, if there is any. The arrival counter only grows (and wraps): each passage waits for its own multiple of `ranks`. */
export function createMeeting(control: Int32Array, ranks: number, help: () => boolean = () => false): Meeting {
  let target = 0;
  let spins: number = SPINS.most;
  let shortWaits = 0;
  const behind = (count: number): boolean => ((count - target) | 0) < 0;
  /** Sleeps until the word changes, another rank fails, or it is time to look up. */
  const sleep = (word: number, value: number): void => {
    checkOthers(control);
    Atomics.wait(control, word, value, LOOK_UP_MS);
  };
  const limited = (): boolean => Atomics.load(control, WORD.limit) !== 0;
  const enter = (): void => {
    while (limited()) {
      const free = Atomics.load(control, WORD.free);
      if (free === 0) sleep(WORD.free, 0);
      else if (Atomics.compareExchange(control, WORD.free, free, free - 1) === free) return;
    }
  };
  const leave = (): void => {
    if (!limited()) return;
    Atomics.add(control, WORD.free, 1);
    Atomics.notify(control, WORD.free, 1);
  };

  function waitForOthers(): void {
    if (spins === SPINS.least && ++shortWaits % SPINS.tryMostEvery === 0) spins = SPINS.most;
    for (let spin = 0; spin < spins; spin++) {
      if (!behind(Atomics.load(control, WORD.arrived))) {
        spins = Math.min(SPINS.most, spins * 2);
        return;
      }
      if (help()) spin = 0;
      else Atomics.pause();
    }
    spins = Math.max(SPINS.least, spins >> 1);
    Atomics.add(control, WORD.sleepers, 1);
    for (let count = Atomics.load(control, WORD.arrived); behind(count); count = Atomics.load(control, WORD.arrived)) {
      if (!help()) sleep(WORD.arrived, count);
    }
    Atomics.sub(control, WORD.sleepers, 1);
  }

  return {
    enter,
    leave,
    barrier() {
      target = (target + ranks) | 0;
      const count = (Atomics.add(control, WORD.arrived, 1) + 1) | 0;
      if (!behind(count)) {
        wakeSleepers(control);
        return;
      }
      leave();
      waitForOthers();
      enter();
    },
  };
}
