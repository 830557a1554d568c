import { describe, expect, it } from 'vitest';
import { ATTEMPT_RULES, backoffMs, decideAttempt, type PastAttempt, type TargetView } from './decide-attempt.ts';

const target = (id: string, level = 0, more: Partial<TargetView> = {}): TargetView => ({
  id,
  level,
  out: null,
  warm: true,
  doubtful: false,
  queued: 0,
  openUntilMs: 0,
  probing: false,
  coolUntilMs: 0,
  ...more,
});
const failed = (id: string, more: Partial<PastAttempt> = {}): PastAttempt => ({ id, fallback: true, repeat: true, notBeforeMs: 0, ...more });
const decide = (targets: readonly TargetView[], past: readonly PastAttempt[] = [], nowMs = 1000, rules = {}) =>
  decideAttempt(targets, past, nowMs, { ...ATTEMPT_RULES, ...rules });

/** A stream of numbers in [0, 1) that is the same each time. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 12)) >>> 0) / 2 ** 32;
  };
}

describe('the next attempt', () => {
  it('takes the first level, a warm target before a cold one, and the order of the balance', () => {
    expect(decide([target('b', 1), target('a', 0)])).toEqual({ kind: 'try', id: 'a' });
    expect(decide([target('cold', 0, { warm: false }), target('warm')])).toEqual({ kind: 'try', id: 'warm' });
    expect(decide([target('cold', 0, { warm: false }), target('next', 1)])).toEqual({ kind: 'try', id: 'cold' });
    expect(decide([target('x'), target('y')])).toEqual({ kind: 'try', id: 'x' });
  });

  it('goes to the next level when all of one are open, out, over the spill depth or failed', () => {
    const next = target('next', 1);
    expect(decide([target('a', 0, { openUntilMs: 2000 }), target('b', 0, { out: 'draining' }), target('c', 0, { queued: 9 }), next])).toMatchObject({
      id: 'next',
    });
    expect(decide([target('c', 0, { queued: 8 }), next])).toMatchObject({ id: 'c' });
    expect(decide([target('a'), next], [failed('a')])).toMatchObject({ id: 'next' });
    // All are over it: the shortest queue.
    expect(decide([target('a', 0, { queued: 20 }), target('b', 1, { queued: 12 })])).toEqual({ kind: 'try', id: 'b' });
    expect(decide([target('a', 0, { doubtful: true }), next])).toMatchObject({ id: 'next' });
    expect(decide([target('a', 0, { doubtful: true })])).toMatchObject({ id: 'a' });
  });

  it('comes back to the same target only when none is left, after its back-off, three attempts in all', () => {
    const both = [target('a'), target('b', 1)];
    expect(decide(both, [failed('a', { notBeforeMs: 1500 })])).toEqual({ kind: 'try', id: 'b' });
    const past = [failed('a', { notBeforeMs: 1500 }), failed('b', { notBeforeMs: 1200 })];
    expect(decide(both, past)).toEqual({ kind: 'wait', id: 'b', untilMs: 1200 });
    expect(decide(both, past, 1200)).toEqual({ kind: 'try', id: 'b' });
    expect(decide(both, [...past, failed('b')])).toMatchObject({ kind: 'give-up', why: 'attempts' });
    expect(decide([target('a')], [failed('a', { repeat: false })])).toMatchObject({ kind: 'give-up', why: 'failed' });
  });

  it('ends after an error that allows no fallback, and where fallback is off', () => {
    expect(decide([target('a'), target('b')], [failed('a', { fallback: false })])).toEqual({ kind: 'give-up', why: 'final', retryAtMs: null });
    expect(decide([target('a'), target('b')], [failed('a', { notBeforeMs: 1100 })], 1000, { fallback: false })).toEqual({
      kind: 'wait',
      id: 'a',
      untilMs: 1100,
    });
  });

  it('waits for Retry-After up to 10 s when no other target exists, and otherwise gives its time back', () => {
    expect(decide([target('a', 0, { coolUntilMs: 3000 }), target('b', 1)])).toEqual({ kind: 'try', id: 'b' });
    expect(decide([target('a', 0, { coolUntilMs: 3000 })])).toEqual({ kind: 'wait', id: 'a', untilMs: 3000 });
    expect(decide([target('a', 0, { coolUntilMs: 3_601_000 })])).toEqual({ kind: 'give-up', why: 'cooling', retryAtMs: 3_601_000 });
    expect(decide([target('a', 0, { openUntilMs: 9000 })])).toEqual({ kind: 'give-up', why: 'open', retryAtMs: 9000 });
    expect(decide([target('a', 0, { out: 'privacy' })])).toEqual({ kind: 'give-up', why: 'out', retryAtMs: null });
  });

  it('[serving V67] is jittered between nothing and the doubled step, up to the cap', () => {
    const random = numbers(7);
    for (const [failures, most] of [
      [1, 250],
      [2, 500],
      [3, 1000],
      [6, 8000],
      [40, 8000],
    ] as const) {
      const drawn = Array.from({ length: 400 }, () => backoffMs(failures, ATTEMPT_RULES, random));
      expect(Math.min(...drawn)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...drawn)).toBeLessThan(most);
      expect(Math.max(...drawn)).toBeGreaterThan(most * 0.9);
      expect(Math.min(...drawn)).toBeLessThan(most * 0.1);
    }
  });

  it('keeps its rules over 20,000 random situations', () => {
    const random = numbers(42);
    const chance = (share: number) => random() < share;
    const seen = new Set<string>();
    for (let round = 0; round < 20_000; round += 1) {
      const targets = Array.from({ length: 1 + Math.floor(random() * 5) }, (_, index) =>
        target(`t${index}`, Math.floor(random() * 3), {
          out: chance(0.15) ? 'privacy' : null,
          warm: chance(0.6),
          doubtful: chance(0.1),
          queued: chance(0.2) ? 9 + Math.floor(random() * 5) : Math.floor(random() * 9),
          openUntilMs: chance(0.2) ? 1000 + Math.floor(random() * 2000 - 500) : 0,
          probing: chance(0.1),
          coolUntilMs: chance(0.2) ? 1000 + Math.floor(random() * 20_000 - 500) : 0,
        }),
      );
      const usable = targets.filter(({ out }) => out === null);
      const past = Array.from({ length: usable.length === 0 ? 0 : Math.floor(random() * 4) }, () =>
        failed(usable[Math.floor(random() * usable.length)]!.id, { repeat: chance(0.8), notBeforeMs: 1000 + Math.floor(random() * 3000 - 500) }),
      );
      const fallback = chance(0.8);
      const decision = decide(targets, past, 1000, { fallback });
      seen.add(decision.kind);
      if (past.length >= 3) expect(decision.kind).toBe('give-up');
      if (decision.kind === 'give-up') continue;
      const chosen = targets.find(({ id }) => id === decision.id)!;
      const tries = past.filter(({ id }) => id === chosen.id);
      expect(chosen).toMatchObject({ out: null, probing: false });
      expect(chosen.openUntilMs).toBeLessThanOrEqual(1000);
      expect(tries.every(({ repeat }) => repeat)).toBe(true);
      if (!fallback && past.length > 0) expect(tries.length).toBeGreaterThan(0);
      const free = (view: TargetView) =>
        view.out === null && !view.probing && view.openUntilMs <= 1000 && view.coolUntilMs <= 1000 && past.every(({ id }) => id !== view.id);
      if (decision.kind === 'wait') {
        expect(decision.untilMs).toBeGreaterThan(1000);
        expect(decision.untilMs).toBeLessThanOrEqual(11_000);
        expect(decision.untilMs).toBeGreaterThanOrEqual(Math.max(chosen.coolUntilMs, ...tries.map(({ notBeforeMs }) => notBeforeMs)));
        if (fallback || past.length === 0) expect(targets.some(free)).toBe(false);
        continue;
      }
      expect(chosen.coolUntilMs).toBeLessThanOrEqual(1000);
      for (const { notBeforeMs } of tries) expect(notBeforeMs).toBeLessThanOrEqual(1000);
      if (tries.length > 0 && fallback) expect(targets.some(free)).toBe(false);
      // Nobody of an earlier level could have taken it without a longer queue.
      if (tries.length === 0 && !chosen.doubtful)
        expect(targets.some((view) => free(view) && !view.doubtful && view.level < chosen.level && view.queued <= 8)).toBe(false);
    }
    expect([...seen].sort()).toEqual(['give-up', 'try', 'wait']);
  });
});
