import type { Router } from '../models/model-graph.ts';

export type ExpertRule = Omit<Router, 'linear' | 'correction'>;

/**
 * Chooses the experts of one token from the router's logits: ids and weights of `take` experts, the best first, the lowest id on a tie.
 * `correction` is added to the scores for the choice, not to the weights. `logits` is overwritten with scores.
 */
export function createExpertChoice(
  rule: ExpertRule,
  experts: number,
): (logits: Float32Array, correction: Float32Array | null, ids: Int32Array, weights: Float32Array) => void {
  const { take, score, normalise, factor, groups } = rule;
  const ranking = new Float32Array(experts);
  return (logits, correction, ids, weights) => {
    if (score === 'softmax') softmax(logits);
    if (score === 'sigmoid') for (let e = 0; e < experts; e++) logits[e] = 1 / (1 + Math.exp(-logits[e]!));
    for (let e = 0; e < experts; e++) ranking[e] = logits[e]! + (correction === null ? 0 : correction[e]!);
    if (groups !== null && groups.take < groups.count) dropGroups(ranking, groups);
    for (let i = 0; i < take; i++) {
      const best = largest(ranking);
      ids[i] = best;
      weights[i] = logits[best]!;
      ranking[best] = Number.NEGATIVE_INFINITY;
    }
    const chosen = weights.subarray(0, take);
    if (score === 'chosen-softmax') softmax(chosen);
    const sum = normalise ? chosen.reduce((a, b) => a + b, 0) : 1;
    for (let i = 0; i < take; i++) chosen[i] = (chosen[i]! / sum) * factor;
  };
}

function largest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

function softmax(values: Float32Array): void {
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]!);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i]! - most);
  for (let i = 0; i < values.length; i++) values[i] = Math.exp(values[i]! - most) / sum;
}

/** The scores of experts outside the best groups become 0, as the reference does (so a negative score loses to them). */
function dropGroups(ranking: Float32Array, { count, take }: { readonly count: number; readonly take: number }): void {
  const size = ranking.length / count;
  const sums = Float32Array.from({ length: count }, (_, g) => {
    const own = ranking.slice(g * size, (g + 1) * size).sort();
    return own.at(-1)! + own.at(-2)!;
  });
  for (let i = 0; i < take; i++) sums[largest(sums)] = Number.NEGATIVE_INFINITY;
  for (let g = 0; g < count; g++) if (sums[g] !== Number.NEGATIVE_INFINITY) ranking.fill(0, g * size, (g + 1) * size);
}
