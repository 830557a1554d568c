import { describe, expect, test } from 'vitest';
import { createScheduler } from './scheduler.ts';
import type { SchedulerEvent, SchedulerOptions } from './scheduler-types.ts';

const OPTIONS: SchedulerOptions = {
  queueLimit: 512,
  ownerQueueLimit: 64,
  queueWaitMs: 600_000,
  fairnessMs: 10_000,
  memoryBudgetBytes: 100,
  restartDelayMs: 1000,
  restartDelayCapMs: 300_000,
  crashLimit: 3,
  crashWindowMs: 600_000,
  stableAfterMs: 300_000,
  breakerMs: 300_000,
  breakerCapMs: 3_600_000,
};

/** One model with one place that a first request holds; answers the order in which the others get it. */
function setup(options: Partial<SchedulerOptions> = {}) {
  const granted: number[] = [];
  const rejected: { waiter: number; code: string; retryAfterS: unknown }[] = [];
  const scheduler = createScheduler(
    { ...OPTIONS, ...options },
    {
      startLoad() {},
      stopModel() {},
      grant: (waiter) => granted.push(waiter) > 0,
      reject: (waiter, { code, details }) => void rejected.push({ waiter, code, retryAfterS: details['retryAfterS'] }),
      setTimer() {},
      clearTimer() {},
    },
  );
  scheduler.plan('m', { estimateBytes: 10, ttlMs: null, pinned: false });
  let now = 0;
  const tell = (event: SchedulerEvent) => scheduler.handle(event, now);
  const ask = (waiter: number, owner: string, priority: 'interactive' | 'batch' = 'interactive') =>
    tell({ kind: 'request', waiter, model: 'm', sequences: 1, owner, priority });
  ask(0, 'first');
  tell({ kind: 'loaded', model: 'm', parallelSequences: 1, bytes: 10 });
  return {
    ask,
    rejected,
    at(ms: number) {
      now = ms;
    },
    /** Ends the running request; answers who runs now. */
    next() {
      tell({ kind: 'released', waiter: granted.at(-1)! });
      return granted.at(-1);
    },
    granted,
  };
}

describe('turns', () => {
  test('owners take turns, each in order of arrival, however many requests one of them has', () => {
    const { ask, next } = setup();
    for (let waiter = 1; waiter <= 6; waiter += 1) ask(waiter, 'greedy');
    ask(7, 'ada');
    ask(8, 'ada');
    ask(9, 'bob');
    expect([next(), next(), next(), next(), next()]).toEqual([1, 7, 9, 2, 8]);
    ask(10, 'ada');
    expect([next(), next(), next(), next()]).toEqual([3, 10, 4, 5]);
  });

  test('interactive requests go before batch ones; a batch request that has waited 30 s counts as interactive', () => {
    const { ask, next, at } = setup();
    ask(1, 'night', 'batch');
    at(10_000);
    ask(2, 'night', 'batch');
    ask(3, 'ada');
    expect(next()).toBe(3);
    at(29_999);
    ask(4, 'ada');
    expect(next()).toBe(4);
    at(30_000);
    ask(5, 'ada');
    expect(next()).toBe(1);
    expect(next()).toBe(5);
    ask(6, 'bob');
    expect([next(), next()]).toEqual([6, 2]);
  });

  test('more waiting requests of one key than its share are 429, more of all than the queue 503, with the time until the queue has moved on', () => {
    const { ask, next, at, rejected } = setup({ ownerQueueLimit: 2, queueLimit: 4 });
    at(3000);
    ask(1, 'ada');
    next();
    for (const waiter of [2, 3, 4]) ask(waiter, 'ada');
    expect(rejected).toEqual([{ waiter: 4, code: 'rate_limit_exceeded', retryAfterS: 6 }]);
    ask(5, 'bob');
    ask(6, 'eve');
    ask(7, 'joe');
    expect(rejected[1]).toEqual({ waiter: 7, code: 'queue_full', retryAfterS: 12 });
  });

  test('who needs no key has no share of the queue to keep to', () => {
    const { ask, rejected } = setup({ ownerQueueLimit: 1 });
    for (const waiter of [1, 2, 3]) ask(waiter, 'owner');
    for (const waiter of [4, 5]) ask(waiter, 'local');
    expect(rejected).toEqual([]);
  });
});
