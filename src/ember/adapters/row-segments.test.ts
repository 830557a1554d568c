import { describe, expect, it } from 'vitest';
import { HEADER, RECORD } from '../ranks/step-words.ts';
import { gatherSegments, readSegments } from './row-segments.ts';

/** Words of a step of sequences with so many tokens and rows. */
function stepOf(sequences: readonly { tokens: number; rows: number; slot: number; scale?: number }[]): [Int32Array, Float32Array] {
  const words = new Int32Array(HEADER.words + sequences.length * RECORD.words);
  const floats = new Float32Array(words.buffer);
  words[HEADER.sequences] = sequences.length;
  let [token, row] = [0, 0];
  for (const [i, { tokens, rows, slot, scale = 1 }] of sequences.entries()) {
    const at = HEADER.words + i * RECORD.words;
    words[at + RECORD.firstToken] = token;
    words[at + RECORD.tokens] = tokens;
    words[at + RECORD.firstRow] = row;
    words[at + RECORD.rows] = rows;
    words[at + RECORD.adapter] = slot;
    floats[at + RECORD.adapterScale] = scale;
    token += tokens;
    row += rows;
  }
  return [words, floats];
}

describe('segments of a step', () => {
  const [words, floats] = stepOf([
    { tokens: 3, rows: 1, slot: -1 },
    { tokens: 2, rows: 0, slot: 4 },
    { tokens: 1, rows: 1, slot: 4 },
    { tokens: 1, rows: 1, slot: 4, scale: 0.5 },
    { tokens: 5, rows: 5, slot: 0 },
  ]);

  it('neighbours with one adapter at one scale are one segment; the base has none; rows count those that are wanted', () => {
    expect(readSegments(words, floats, 'tokens')).toEqual([
      { first: 3, count: 3, slot: 4, scale: 1 },
      { first: 6, count: 1, slot: 4, scale: 0.5 },
      { first: 7, count: 5, slot: 0, scale: 1 },
    ]);
    expect(readSegments(words, floats, 'rows')).toEqual([
      { first: 1, count: 1, slot: 4, scale: 1 },
      { first: 2, count: 1, slot: 4, scale: 0.5 },
      { first: 3, count: 5, slot: 0, scale: 1 },
    ]);
  });

  it('gathered rows are those of the rows that they came from', () => {
    const segments = readSegments(words, floats, 'tokens');
    const from = [0, 3, 5, 6, 7, 9, 2];
    expect(gatherSegments(segments, from.length, (row) => from[row]!)).toEqual([
      { first: 1, count: 2, slot: 4, scale: 1 },
      { first: 3, count: 1, slot: 4, scale: 0.5 },
      { first: 4, count: 2, slot: 0, scale: 1 },
    ]);
  });
});
