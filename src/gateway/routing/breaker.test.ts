import { describe, expect, it } from 'vitest';
import { type BreakerState, CLOSED, observe, phaseOf } from './breaker.ts';

const run = (outcomes: readonly boolean[], stepMs: number, from: BreakerState = CLOSED, startMs = 1_000_000): BreakerState =>
  outcomes.reduce((state, ok, index) => observe(state, ok, { nowMs: startMs + index * stepMs, random: () => 0, probe: false }), from);
const fails = (count: number) => Array.from({ length: count }, () => false);

describe('breaker', () => {
  it('opens at five failures in a row, not at four', () => {
    expect(phaseOf(run(fails(4), 1), 1_000_010)).toBe('closed');
    expect(phaseOf(run([...fails(4), true, ...fails(4)], 4000), 1_040_000)).toBe('closed');
    expect(phaseOf(run(fails(5), 1), 1_000_010)).toBe('open');
  });

  it('opens at half of at least ten outcomes within 30 s, not of nine, and not of older ones', () => {
    const mixed = [true, false, true, false, true, false, true, false, true];
    expect(phaseOf(run(mixed, 1000), 1_009_000)).toBe('closed');
    expect(phaseOf(run([...mixed, false], 1000), 1_010_000)).toBe('open');
    expect(phaseOf(run([...mixed, false], 4000), 1_040_000)).toBe('closed');
    expect(phaseOf(run([true, true, ...mixed, false, true, false], 1000), 1_015_000)).toBe('closed');
  });

  it('stays open 15 s, doubles up to 300 s, and closes with the success of a probe', () => {
    let state = run(fails(5), 0);
    const waits: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      const from = round === 0 ? 1_000_000 : waitUntil(state);
      if (round > 0) {
        expect(phaseOf(state, from - 1)).toBe('open');
        expect(phaseOf(state, from)).toBe('half-open');
        state = observe(state, false, { nowMs: from, random: () => 0, probe: true });
      }
      waits.push(waitUntil(state) - from);
    }
    expect(waits).toEqual([15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000]);
    const closed = observe(state, true, { nowMs: waitUntil(state), random: () => 0, probe: true });
    expect(closed).toEqual(CLOSED);
    expect(observe(run(fails(5), 0), false, { nowMs: 2_000_000, random: () => 1, probe: true }).openUntilMs).toBe(2_000_000 + 33_000);
  });

  it('hears nobody but the probe while it is not closed', () => {
    const open = run(fails(5), 0);
    for (const ok of [true, false]) expect(observe(open, ok, { nowMs: 1_020_000, random: () => 0, probe: false })).toBe(open);
  });
});

const waitUntil = ({ openUntilMs }: BreakerState): number => openUntilMs;
