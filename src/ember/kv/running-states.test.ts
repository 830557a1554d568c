import { describe, expect, it } from 'vitest';
import type { StepSequence } from '../types.ts';
import { createRunningStates } from './running-states.ts';

const base = { temperature: 0, adjustments: [], candidates: 1 };
/** A step of `count` tokens of the sequence with these pages in running slot `state`. */
const step = (state: number, pages: readonly number[], position: number, count: number, output: StepSequence['output'] = 'none'): StepSequence => ({
  ...base,
  state,
  pages: [Uint32Array.from(pages)],
  position,
  tokens: Array(count).fill(1),
  output,
});
const make = (kept: number) => {
  const states = createRunningStates({ running: 2, kept });
  const plan = (sequence: StepSequence) => {
    states.begin();
    return states.plan(sequence);
  };
  return { states, plan };
};

describe('createRunningStates', () => {
  it('keeps the state at the last border of a page that leaves a token over, and starts others from it', () => {
    const { states, plan } = make(2);
    expect(plan(step(0, [7, 8, 9], 0, 70, 'last'))).toEqual({ state: 0, stateFrom: -1, keepAfter: 64, keepIn: 2 });
    expect(states.resume(1, Uint32Array.of(7, 8))).toBe(2);
    expect(plan(step(1, [7, 8, 4], 64, 3, 'last'))).toMatchObject({ state: 1, stateFrom: 2 });
    // Both go on from their own states.
    expect(plan(step(0, [7, 8, 9], 70, 1, 'last'))).toMatchObject({ stateFrom: -1, keepAfter: -1 });
    expect(plan(step(1, [7, 8, 4], 67, 1, 'last'))).toMatchObject({ stateFrom: -1, keepAfter: -1 });
  });

  it('shortens a prefix to the longest one whose state is kept', () => {
    const { states, plan } = make(2);
    plan(step(0, [1, 2, 3], 0, 40, 'last'));
    expect(states.resume(1, Uint32Array.of(1, 2, 3))).toBe(1);
    expect(states.resume(1, Uint32Array.of(5, 6))).toBe(0);
    expect(plan(step(1, [5, 6], 0, 40))).toMatchObject({ stateFrom: -1 });
  });

  it('moves the last state of a running sequence along, and leaves that of its prompt and those every 2,048 tokens', () => {
    const { plan, states } = make(8);
    const pages = Array.from({ length: 70 }, (_, i) => i);
    plan(step(0, pages, 0, 100));
    plan(step(0, pages, 100, 49));
    plan(step(0, pages, 149, 1, 'last'));
    for (let position = 150; position < 70 * 32 - 1; position++) plan(step(0, pages, position, 1, 'last'));
    const kept = pages.filter((page) => states.resume(1, Uint32Array.of(page)) === 1);
    expect(kept).toEqual([3, 63, 68]);
  });

  it('forgets the state of a page that is written again', () => {
    const { plan, states } = make(4);
    plan(step(0, [1, 2], 0, 40, 'last'));
    plan(step(1, [1, 3], 0, 10));
    expect(states.resume(0, Uint32Array.of(1))).toBe(0);
  });

  it('gives up what was used longest ago, but never what a sequence is about to start from', () => {
    const { plan, states } = make(2);
    plan(step(0, [1, 2], 0, 40, 'last'));
    plan(step(0, [3, 4], 0, 40, 'last'));
    expect(states.resume(1, Uint32Array.of(1))).toBe(1);
    plan(step(0, [5, 6], 0, 40, 'last'));
    // 3 went, since 1 was waited for.
    expect(plan(step(1, [1, 9], 32, 5, 'last'))).toMatchObject({ stateFrom: 2 });
    expect(states.resume(0, Uint32Array.of(3))).toBe(0);
    expect(states.resume(0, Uint32Array.of(5))).toBe(1);
  });

  it('refuses to go on where a state is not', () => {
    const { plan, states } = make(2);
    plan(step(0, [1, 2], 0, 40));
    for (const position of [39, 41, 32]) expect(() => plan(step(0, [1, 2], position, 1))).toThrow(expect.objectContaining({ code: 'invalid_value' }));
    expect(() => states.resume(2, Uint32Array.of())).toThrow(expect.objectContaining({ code: 'invalid_value' }));
    expect(() => plan(step(5, [1, 2], 40, 1))).toThrow(expect.objectContaining({ code: 'invalid_value' }));
  });
});
