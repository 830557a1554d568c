import type { LogitSummary, RowSummary, StepOutput, StepSequence } from '../types.ts';
import { RESULT, SCORE, SUMMARY } from './step-words.ts';
import { rowsOf, summariesOf } from './write-step.ts';

export interface ResultBuffers {
  /** Words [ranks, batchTokens, RESULT.words]. */
  readonly results: SharedArrayBuffer;
  /** Words [ranks, batchTokens, SCORE.words]. */
  readonly scores: SharedArrayBuffer;
}

/** Puts together what the ranks report of each sequence: softmax parts, and candidates over the whole vocabulary. */
export function mergeResults(
  sequences: readonly StepSequence[],
  { results, scores }: ResultBuffers,
  ranks: number,
  batchTokens: number,
): (StepOutput | null)[] {
  const words = new Uint32Array(results);
  const floats = new Float32Array(results);
  const partsOf = (slot: number, width: number): number[] => Array.from({ length: ranks }, (_, rank) => (rank * batchTokens + slot) * width);
  const merge = (slot: number, summary: number, temperature: number, wanted: number): LogitSummary => {
    const parts = partsOf(slot, RESULT.words).map((at) => at + summary);
    const { max, sum } = mergeSoftmax(floats, parts, SUMMARY.max, SUMMARY.sum, temperature);
    return { max, sum, ...mergeCandidates(words, floats, parts, wanted) };
  };
  const summarise = (slot: number, { temperature, candidates, rawCandidates }: StepSequence): RowSummary => {
    const adjusted = merge(slot, RESULT.adjusted, temperature > 0 ? temperature : 1, candidates);
    return rawCandidates === undefined ? adjusted : { ...adjusted, raw: merge(slot, RESULT.raw, 1, rawCandidates) };
  };
  let slot = 0;
  let row = 0;
  return sequences.map((sequence) => {
    const summaries = Array.from({ length: summariesOf(sequence) }, () => summarise(slot++, sequence));
    const firstRow = row;
    row += rowsOf(sequence);
    const last = summaries.pop();
    if (last === undefined) return null;
    return {
      ...last,
      ...(summaries.length === 0 ? {} : { earlier: summaries }),
      ...(sequence.targets === undefined
        ? {}
        : { logProbabilities: mergeScores(new Float32Array(scores), sequence.targets.length, (i) => partsOf(firstRow + i, SCORE.words)) }),
    };
  });
}

/** Max and Σ exp((logit − max) / temperature) over all parts. */
function mergeSoftmax(floats: Float32Array, parts: readonly number[], maxAt: number, sumAt: number, temperature: number): { max: number; sum: number } {
  const max = Math.max(...parts.map((at) => floats[at + maxAt]!));
  const sum = parts.reduce((total, at) => {
    const own = floats[at + sumAt]!;
    return own === 0 ? total : total + own * Math.exp((floats[at + maxAt]! - max) / temperature);
  }, 0);
  return { max, sum };
}

function mergeScores(floats: Float32Array, count: number, partsOf: (row: number) => number[]): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    const parts = partsOf(i);
    const { max, sum } = mergeSoftmax(floats, parts, SCORE.max, SCORE.sum, 1);
    return Math.max(...parts.map((at) => floats[at + SCORE.logit]!)) - max - Math.log(sum);
  });
}

/** Each part is sorted, and parts are in order of ids: taking the first of the largest keeps the lowest id on a tie. */
function mergeCandidates(words: Uint32Array, floats: Float32Array, parts: readonly number[], wanted: number): Pick<LogitSummary, 'ids' | 'values'> {
  const counts = parts.map((at) => words[at + SUMMARY.count]!);
  const count = Math.min(
    wanted,
    counts.reduce((a, b) => a + b, 0),
  );
  const ids = new Uint32Array(count);
  const values = new Float32Array(count);
  const taken = parts.map(() => 0);
  for (let i = 0; i < count; i++) {
    let best = -1;
    let bestValue = Number.NEGATIVE_INFINITY;
    for (let part = 0; part < parts.length; part++) {
      if (taken[part]! >= counts[part]!) continue;
      const value = floats[parts[part]! + SUMMARY.values + taken[part]!]!;
      if (best >= 0 && !(value > bestValue)) continue;
      best = part;
      bestValue = value;
    }
    ids[i] = words[parts[best]! + SUMMARY.ids + taken[best]!]!;
    values[i] = bestValue;
    taken[best]!++;
  }
  return { ids, values };
}
