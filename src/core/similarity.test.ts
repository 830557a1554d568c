import { describe, expect, it } from 'vitest';
import { similarity } from './similarity.ts';

describe('similarity', () => {
  it.each([
    ['rnu', 'run', 1 - 1 / 3],
    ['helth', 'health', 1 - 1 / 6],
    ['kitten', 'sitting', 1 - 3 / 7],
    ['run', 'run', 1],
    ['', '', 1],
    ['', 'run', 0],
    ['abc', 'xyz', 0],
  ])('of %j and %j is one minus the share of letters to change', (a, b, expected) => {
    expect(similarity(a, b)).toBeCloseTo(expected, 12);
    expect(similarity(b, a)).toBeCloseTo(expected, 12);
  });
});
