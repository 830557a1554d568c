import type { LogitSummary, StepOutput, StepSequence } from '../types.ts';
import { RESULT, SUMMARY } from './step-words.ts';

/** Puts together what the ranks report of each sequence: softmax parts, and candidates over the whole vocabulary. */
export function mergeResults(sequences: readonly StepSequence[], results: SharedArrayBuffer, ranks: number, batchTokens: number): (StepOutput | null)[] {
  const words = new Uint32Array(results);
  const floats = new Float32Array(results);
  const merge = (s: number, summary: number, temperature: number, wanted: number): LogitSummary => {
    const parts = Array.from({ length: ranks }, (_, rank) => (rank * batchTokens + s) * RESULT.words + summary);
    const max = Math.max(...parts.map((at) => floats[at + SUMMARY.max]!));
    const sum = parts.reduce((total, at) => {
      const own = floats[at + SUMMARY.sum]!;
      return own === 0 ? total : total + own * Math.exp((floats[at + SUMMARY.max]! - max) / temperature);
    }, 0);
    return { max, sum, ...mergeCandidates(words, floats, parts, wanted) };
  };
  return sequences.map(({ output, temperature, candidates, rawCandidates }, s) => {
    if (output === 'none') return null;
    const adjusted = merge(s, RESULT.adjusted, temperature > 0 ? temperature : 1, candidates);
    return rawCandidates === undefined ? adjusted : { ...adjusted, raw: merge(s, RESULT.raw, 1, rawCandidates) };
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
