import { expect, test } from 'vitest';
import { createDraftLengths, createPromptLookup, firstOf } from './drafts.ts';
import type { Sequence } from './sequence.ts';

/** Guessing reads the tokens alone. */
const sequenceOf = (...tokens: number[]): Sequence => ({ tokens }) as unknown as Sequence;
const guess = async (tokens: number[], room: number): Promise<readonly number[]> =>
  (await createPromptLookup().propose([{ sequence: sequenceOf(...tokens), room }]))[0]!;

test('prompt lookup guesses what followed the same tokens, after the longest run and its latest place', async () => {
  expect(await guess([1, 2, 3, 4, 5, 9, 1, 2, 3], 2)).toEqual([4, 5]);
  expect(await guess([1, 2, 7, 8, 1, 2, 6, 5, 1, 2], 2)).toEqual([6, 5]);
  // The run of three is older than the run of two.
  expect(await guess([3, 1, 2, 7, 0, 4, 1, 2, 8, 3, 1, 2], 1)).toEqual([7]);
  expect(await guess([1, 2, 3, 4], 4)).toEqual([]);
  expect(await guess([1, 2, 3, 1, 2], 0)).toEqual([]);
});

test('a run that repeats is guessed to go on beyond the last token', async () => {
  expect(await guess([5, 6, 5, 6, 5, 6], 5)).toEqual([5, 6, 5, 6, 5]);
  expect(await guess([7, 7, 7], 3)).toEqual([7, 7, 7]);
});

test('tokens that come later are found too', async () => {
  const lookup = createPromptLookup();
  const sequence = sequenceOf(1, 2);
  expect(await lookup.propose([{ sequence, room: 2 }])).toEqual([[]]);
  sequence.tokens.push(3, 1, 2);
  expect(await lookup.propose([{ sequence, room: 2 }])).toEqual([[3, 1]]);
});

test('the next drafter is asked where the first guesses nothing', async () => {
  const constant = { propose: async (wishes: readonly { room: number }[]) => wishes.map(({ room }) => new Array<number>(room).fill(42)), forget: () => {} };
  const both = firstOf([createPromptLookup(), constant]);
  const wishes = [
    { sequence: sequenceOf(1, 2, 3, 1, 2), room: 1 },
    { sequence: sequenceOf(1, 2, 3), room: 2 },
    { sequence: sequenceOf(1, 2, 3), room: 0 },
  ];
  expect(await both.propose(wishes)).toEqual([[3], [42, 42], []]);
});

test('guesses grow while they are right, shrink to what was right, and share a step', () => {
  const lengths = createDraftLengths();
  const sequence = sequenceOf();
  const first = lengths.length(sequence, 1);
  lengths.observe(sequence, first, first);
  expect(lengths.length(sequence, 1)).toBe(2 * first);
  for (let i = 0; i < 5; i++) lengths.observe(sequence, lengths.length(sequence, 1), lengths.length(sequence, 1));
  expect(lengths.length(sequence, 1)).toBe(12);
  expect(lengths.length(sequence, 8)).toBe(2);
  expect(lengths.length(sequence, 32)).toBe(0);
  lengths.observe(sequence, 12, 1);
  expect(lengths.length(sequence, 1)).toBe(2);
});

test('after misses in a row nothing is guessed for a while, longer each time, until a guess is right again', () => {
  const lengths = createDraftLengths();
  const sequence = sequenceOf();
  const pauses: number[] = [];
  for (let miss = 0; miss < 8; miss++) {
    lengths.observe(sequence, 1, 0);
    let pause = 0;
    while (lengths.length(sequence, 1) === 0) pause++;
    pauses.push(pause);
  }
  expect(pauses).toEqual([0, 2, 4, 8, 16, 32, 32, 32]);
  lengths.observe(sequence, 1, 1);
  lengths.observe(sequence, 2, 0);
  expect(lengths.length(sequence, 1)).toBe(1);
});
