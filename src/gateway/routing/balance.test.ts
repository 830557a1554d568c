import { describe, expect, it } from 'vitest';
import { byAffinity, byBusyness, byWeight, type Credits, type Ordered, type Weighted } from './balance.ts';

const REQUESTS = 10_000;
const WEIGHTS = { a: 5, b: 3, c: 2 } as const;

/**
 * 10,000 requests on a fake clock: one each millisecond, each takes `serviceMs`. Answers how many each target got, and the
 * largest number that ran on each at a time.
 */
function simulate(order: (targets: readonly Weighted[], index: number) => Ordered, serviceMs: (index: number) => number) {
  const counts: Record<string, number> = { a: 0, b: 0, c: 0 };
  const peaks: Record<string, number> = { a: 0, b: 0, c: 0 };
  let running: { readonly id: string; readonly untilMs: number }[] = [];
  for (let nowMs = 0; nowMs < REQUESTS; nowMs += 1) {
    running = running.filter(({ untilMs }) => untilMs > nowMs);
    const targets = Object.entries(WEIGHTS).map(([id, weight]) => ({ id, weight, queued: 0, inFlight: running.filter((each) => each.id === id).length }));
    const ordered = order(targets, nowMs);
    const id = ordered.ids[0]!;
    ordered.picked(id);
    counts[id] = counts[id]! + 1;
    running.push({ id, untilMs: nowMs + serviceMs(nowMs) });
    peaks[id] = Math.max(peaks[id]!, running.filter((each) => each.id === id).length);
  }
  return { counts, peaks };
}

/** Within 5 % of the weights' shares. */
function expectShares(counts: Record<string, number>): void {
  for (const [id, weight] of Object.entries(WEIGHTS)) {
    const wanted = (REQUESTS * weight) / 10;
    expect(Math.abs(counts[id]! - wanted) / wanted, `${id} of ${JSON.stringify(counts)}`).toBeLessThanOrEqual(0.05);
  }
}

describe('[serving V71] balancing over 10,000 requests', () => {
  it('[serving V71] weighted: shares as the weights say, and no run of one target', () => {
    const credits: Credits = new Map();
    const picks: string[] = [];
    const { counts } = simulate(
      (targets) => {
        const order = byWeight(targets, credits);
        picks.push(order.ids[0]!);
        return order;
      },
      () => 1,
    );
    expectShares(counts);
    expect(counts).toEqual({ a: 5000, b: 3000, c: 2000 });
    // Smooth: the heaviest one is never taken three times in a row.
    expect(picks.join('')).not.toContain('aaa');
  });

  it('[serving V71] least busy: as the weights say where all are equally fast, and away from the slow one where not', () => {
    const credits: Credits = new Map();
    expectShares(
      simulate(
        (targets) => byBusyness(targets, credits),
        (index) => 80 + ((index * 37) % 41),
      ).counts,
    );
    const idle: Credits = new Map();
    expectShares(
      simulate(
        (targets) => byBusyness(targets, idle),
        () => 1,
      ).counts,
    );
    const busy = [
      { id: 'a', weight: 1, inFlight: 3, queued: 2 },
      { id: 'b', weight: 2, inFlight: 6, queued: 0 },
      { id: 'c', weight: 1, inFlight: 4, queued: 0 },
    ];
    expect(byBusyness(busy, new Map()).ids).toEqual(['b', 'c', 'a']);
  });

  // A hash draws: its own error at a share of 2 in 10 is 2 % (one standard deviation).
  it('[serving V71] prefix-affine: conversations spread as the weights say, and each stays where it is', () => {
    const { counts } = simulate(
      (targets, index) =>
        byAffinity(
          targets.map((each) => ({ ...each, inFlight: 0 })),
          `chat-${index}`,
        ),
      () => 1,
    );
    expectShares(counts);
    const idle = Object.entries(WEIGHTS).map(([id, weight]) => ({ id, weight, inFlight: 0, queued: 0 }));
    for (let index = 0; index < 500; index += 1) expect(byAffinity(idle.toReversed(), `chat-${index}`).ids).toEqual(byAffinity(idle, `chat-${index}`).ids);
  });

  it('[serving V71] prefix-affine under load: bounded, still as the weights say; one hot conversation does not drown its target', () => {
    const { counts } = simulate(
      (targets, index) => byAffinity(targets, `chat-${index}`),
      () => 100,
    );
    expectShares(counts);
    const hot = simulate(
      (targets) => byAffinity(targets, 'the one conversation'),
      () => 100,
    );
    // 100 run at a time: nobody has more than 1.25 times its share of them.
    for (const [id, weight] of Object.entries(WEIGHTS)) expect(hot.peaks[id]!).toBeLessThanOrEqual(Math.ceil((1.25 * 101 * weight) / 10));
    expect(Object.values(hot.counts).filter((count) => count > 1000).length).toBeGreaterThanOrEqual(2);
  });

  it('leaves the others where they are when a target goes, and gives way at a queue over 4', () => {
    const all = Object.entries(WEIGHTS).map(([id, weight]) => ({ id, weight, inFlight: 0, queued: 0 }));
    for (let index = 0; index < 500; index += 1) {
      const order = byAffinity(all, `k${index}`).ids;
      expect(
        byAffinity(
          all.filter(({ id }) => id !== order[2]),
          `k${index}`,
        ),
      ).toMatchObject({ ids: order.slice(0, 2) });
      const queued = all.map((each) => (each.id === order[0] ? { ...each, queued: 5 } : each));
      expect(byAffinity(queued, `k${index}`).ids).toEqual([order[1], order[2], order[0]]);
    }
  });
});
