import { HEADER, RECORD } from '../ranks/step-words.ts';

/** Neighbouring rows of a step that use one adapter at one scale. */
export interface RowSegment {
  readonly first: number;
  readonly count: number;
  readonly slot: number;
  readonly scale: number;
}

/** Segments of a step by its tokens, or by its wanted rows. Sequences that follow each other with the same adapter share one. */
export function readSegments(step: Int32Array, stepFloats: Float32Array, by: 'tokens' | 'rows'): RowSegment[] {
  const [first, count] = by === 'tokens' ? [RECORD.firstToken, RECORD.tokens] : [RECORD.firstRow, RECORD.rows];
  const found: RowSegment[] = [];
  for (let s = 0; s < step[HEADER.sequences]!; s++) {
    const record = HEADER.words + s * RECORD.words;
    const slot = step[record + RECORD.adapter]!;
    if (slot >= 0) join(found, step[record + first]!, step[record + count]!, slot, stepFloats[record + RECORD.adapterScale]!);
  }
  return found;
}

/** Segments of rows that were gathered from those of a step: row i came from row `rowOf(i)`. */
export function gatherSegments(segments: readonly RowSegment[], rows: number, rowOf: (row: number) => number): RowSegment[] {
  const found: RowSegment[] = [];
  for (let i = 0; i < rows; i++) {
    const row = rowOf(i);
    const own = segments.find(({ first, count }) => row >= first && row < first + count);
    if (own) join(found, i, 1, own.slot, own.scale);
  }
  return found;
}

function join(segments: RowSegment[], first: number, count: number, slot: number, scale: number): void {
  const last = segments.at(-1);
  if (count === 0) return;
  if (last?.slot === slot && last.scale === scale && last.first + last.count === first) segments[segments.length - 1] = { ...last, count: last.count + count };
  else segments.push({ first, count, slot, scale });
}
