import type { Kernels } from '../kernel-interface.ts';
import type { RankStart } from './rank-start.ts';
import { HEADER, maskWords, RECORD, RESULT, SCORE, SUMMARY } from './step-words.ts';

/** Tells of the rows of logits that lie in the rank's memory: summaries of the last ones of each sequence, and the logits of its targets. */
export function createReport(
  start: RankStart,
  kernels: Kernels,
  memory: SharedArrayBuffer,
): (step: Int32Array, floats: Float32Array, sequences: number) => void {
  const { plan, exchange, batchTokens } = start;
  const { buffers } = plan;
  const { first, count } = plan.vocabulary;
  const words = new Int32Array(memory);
  const floats = new Float32Array(memory);
  const results = new Int32Array(exchange.results, plan.rank * batchTokens * RESULT.words * 4, batchTokens * RESULT.words);
  const resultFloats = new Float32Array(results.buffer, results.byteOffset, results.length);
  const scores = new Float32Array(exchange.scores, plan.rank * batchTokens * SCORE.words * 4, batchTokens * SCORE.words);
  const masks = new Int32Array(exchange.masks);
  const ownMaskWords = maskWords(start.model.vocabulary);

  /** Max and sum over the rank's part, and its largest logits. */
  function summarise(logits: number, temperature: number, wanted: number, at: number): void {
    results[at + SUMMARY.count] = 0;
    resultFloats[at + SUMMARY.max] = Number.NEGATIVE_INFINITY;
    resultFloats[at + SUMMARY.sum] = 0;
    if (count === 0) return;
    kernels.maxAndSum(logits, count, temperature, buffers.maxAndSum);
    const max = floats[buffers.maxAndSum / 4]!;
    // All of the rank's ids are masked: they add nothing, and their sum is no number.
    if (max === Number.NEGATIVE_INFINITY) return;
    resultFloats[at + SUMMARY.max] = max;
    resultFloats[at + SUMMARY.sum] = floats[buffers.maxAndSum / 4 + 1]!;
    if (wanted === 0) return;
    const found = kernels.topN(logits, count, first, wanted, buffers.candidateIds, buffers.candidateValues);
    results[at + SUMMARY.count] = found;
    for (let i = 0; i < found; i++) {
      results[at + SUMMARY.ids + i] = words[buffers.candidateIds / 4 + i]!;
      resultFloats[at + SUMMARY.values + i] = floats[buffers.candidateValues / 4 + i]!;
    }
  }

  function score(logits: number, target: number, at: number): void {
    scores[at + SCORE.max] = Number.NEGATIVE_INFINITY;
    scores[at + SCORE.sum] = 0;
    scores[at + SCORE.logit] = Number.NEGATIVE_INFINITY;
    if (count === 0) return;
    kernels.maxAndSum(logits, count, 1, buffers.maxAndSum);
    scores[at + SCORE.max] = floats[buffers.maxAndSum / 4]!;
    scores[at + SCORE.sum] = floats[buffers.maxAndSum / 4 + 1]!;
    if (target >= first && target < first + count) scores[at + SCORE.logit] = floats[logits / 4 + target - first]!;
  }

  return (step, stepFloats, sequences) => {
    const rowAt = (row: number): number => buffers.logits + row * count * 4;
    for (let s = 0; s < sequences; s++) {
      const record = HEADER.words + s * RECORD.words;
      const rows = step[record + RECORD.rows]!;
      const firstRow = step[record + RECORD.firstRow]!;
      if (firstRow >= step[HEADER.logitRows]!) return;
      const targets = step[record + RECORD.targets]!;
      if (targets > 0) for (let row = 0; row < rows; row++) score(rowAt(firstRow + row), step[targets + row]!, (firstRow + row) * SCORE.words);
      const summaries = step[record + RECORD.summaries]!;
      const rawCandidates = step[record + RECORD.rawCandidates]!;
      const adjustments = step[record + RECORD.adjustmentCount]!;
      const mask = step[record + RECORD.mask]!;
      if (mask >= 0) words.set(masks.subarray(mask * ownMaskWords, (mask + 1) * ownMaskWords), buffers.mask / 4);
      for (let i = 0; i < summaries; i++) {
        const result = (step[record + RECORD.firstSummary]! + i) * RESULT.words;
        let logits = rowAt(firstRow + rows - summaries + i);
        if (rawCandidates >= 0) summarise(logits, 1, rawCandidates, result + RESULT.raw);
        if ((adjustments > 0 || mask >= 0) && count > 0) {
          if (step[record + RECORD.keepRow] === 1) {
            floats.copyWithin(buffers.adjusted / 4, logits / 4, logits / 4 + count);
            logits = buffers.adjusted;
          }
          if (adjustments > 0) kernels.adjustLogits(logits, count, first, buffers.step + step[record + RECORD.adjustments]! * 4, adjustments);
          if (mask >= 0) kernels.maskLogits(logits, count, first, buffers.mask);
        }
        summarise(logits, stepFloats[record + RECORD.temperature]!, step[record + RECORD.candidates]!, result + RESULT.adjusted);
      }
    }
  };
}
