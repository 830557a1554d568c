/** Distributions over the vocabulary, from rows of logits. */

export function logSoftmax(row: Float32Array): Float64Array {
  let max = Number.NEGATIVE_INFINITY;
  for (const v of row) if (v > max) max = v;
  let sum = 0;
  for (const v of row) sum += Math.exp(v - max);
  const log = max + Math.log(sum);
  return Float64Array.from(row, (v) => v - log);
}

/** The lowest id on a tie. */
export function argmax(row: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i;
  return best;
}

/** KL(reference ‖ other) in nats. */
export function divergence(reference: Float64Array, other: Float64Array): number {
  let kl = 0;
  for (let i = 0; i < reference.length; i++) kl += Math.exp(reference[i]!) * (reference[i]! - other[i]!);
  return kl;
}
