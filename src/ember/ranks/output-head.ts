import { ACTIVATION } from '../kernel-interface.ts';
import type { HeadPlacement } from '../load/rank-plan.ts';
import type { RankContext } from './rank-context.ts';
import { HEADER, RECORD } from './step-words.ts';

/** Logits of `rows` rows of `normed`, over the rank's part of the vocabulary. */
export type OutputHead = (rows: number, sequences: number) => void;

/** Logits of each row that are taken again with int16 activations: where the mass of the distribution is, on each rank. */
const REFINED = 128;

/**
 * The head is a fifth of a 1B model's work, and what comes of it is a distribution with nearly all its mass on few tokens. So with `refined` all
 * logits are taken with int8 activations, and the largest ones again with int16. Rows that are kept or scored, and rows under a grammar's mask,
 * whose candidates may be anywhere, get int16 everywhere.
 */
export function createOutputHead({ kernels, matrices, buffers, hidden, step, words }: RankContext, head: HeadPlacement): OutputHead {
  const { matrix, factor, softCap } = head;
  if (matrix === null) return () => {};
  const { rows: vocabulary } = matrix;

  function anyRowMayMatter(sequences: number): boolean {
    for (let s = 0; s < sequences; s++) {
      const record = HEADER.words + s * RECORD.words;
      if (step[record + RECORD.rows]! > step[record + RECORD.summaries]! || step[record + RECORD.targets]! > 0 || step[record + RECORD.mask]! >= 0) return true;
    }
    return false;
  }

  function refine(rows: number): void {
    if (matrix?.form !== 'affine') return;
    const { bits, group, scaleType, weight, scales, biases } = matrix;
    for (let row = 0; row < rows; row++) {
      const logits = buffers.logits + row * vocabulary * 4;
      const found = kernels.topN(logits, vocabulary, 0, Math.min(REFINED, vocabulary), buffers.candidateIds, buffers.candidateValues);
      kernels.prepare(ACTIVATION.int16, bits, group, buffers.normed + row * hidden * 4, 1, hidden, buffers.prepared);
      for (let i = 0; i < found; i++) {
        const id = words[buffers.candidateIds / 4 + i]!;
        kernels.matmul(ACTIVATION.int16, bits, group, scaleType, weight, scales, biases, buffers.prepared, logits, vocabulary, id, id + 1, hidden, 1);
      }
    }
  }

  return (rows, sequences) => {
    matrices.input(buffers.normed, rows);
    if (head.refined && !anyRowMayMatter(sequences)) matrices.multiplyRefined(matrix, buffers.logits, () => refine(rows));
    else matrices.multiply(matrix, buffers.logits);
    if (factor !== 1) kernels.scaleBy(buffers.logits, rows * vocabulary, factor);
    if (softCap !== 0) kernels.softCap(buffers.logits, rows * vocabulary, softCap);
  };
}
