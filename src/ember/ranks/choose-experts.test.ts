import { describe, expect, it } from 'vitest';
import { createExpertChoice, type ExpertRule } from './choose-experts.ts';

const rule: ExpertRule = { take: 2, score: 'softmax', normalise: false, factor: 1, groups: null };
const softmax = (values: readonly number[]): number[] => {
  const exponents = values.map((value) => Math.exp(value));
  const sum = exponents.reduce((a, b) => a + b);
  return exponents.map((value) => value / sum);
};

function choose(change: Partial<ExpertRule>, logits: readonly number[], correction: readonly number[] | null = null) {
  const own = { ...rule, ...change };
  const ids = new Int32Array(own.take);
  const weights = new Float32Array(own.take);
  createExpertChoice(own, logits.length)(Float32Array.from(logits), correction === null ? null : Float32Array.from(correction), ids, weights);
  return { ids: [...ids], weights: [...weights] };
}
const close = (found: readonly number[], wanted: readonly number[]) => {
  expect(found).toHaveLength(wanted.length);
  for (const [i, value] of wanted.entries()) expect(found[i]).toBeCloseTo(value, 6);
};

describe('createExpertChoice', () => {
  const logits = [0.5, 2, -1, 1.5];

  it('takes the largest of a softmax over all, the best first, as they are or divided by their sum', () => {
    const all = softmax(logits);
    const plain = choose({}, logits);
    expect(plain.ids).toEqual([1, 3]);
    close(plain.weights, [all[1]!, all[3]!]);
    close(choose({ normalise: true }, logits).weights, [all[1]! / (all[1]! + all[3]!), all[3]! / (all[1]! + all[3]!)]);
  });

  it('takes a softmax over the chosen ones', () => {
    const { ids, weights } = choose({ score: 'chosen-softmax' }, logits);
    expect(ids).toEqual([1, 3]);
    close(weights, softmax([2, 1.5]));
  });

  it('corrects the choice, not the weights, of sigmoids, and multiplies last', () => {
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    const { ids, weights } = choose({ score: 'sigmoid', normalise: true, factor: 2.5 }, logits, [0, 0, 0.9, 0]);
    expect(ids).toEqual([2, 1]);
    const sum = sigmoid(-1) + sigmoid(2);
    close(weights, [(2.5 * sigmoid(-1)) / sum, (2.5 * sigmoid(2)) / sum]);
  });

  it('chooses within the groups whose two best are largest together', () => {
    // Sums of two: 0.9 + 0.1, 0.8 + 0.7, 0.85 + 0.2: the largest single score lies in a group that goes.
    const logit = (p: number) => Math.log(p / (1 - p));
    const scores = [0.9, 0.1, 0.8, 0.7, 0.85, 0.2].map(logit);
    expect(choose({ score: 'sigmoid', take: 3, groups: { count: 3, take: 2 } }, scores).ids).toEqual([4, 2, 3]);
    expect(choose({ score: 'sigmoid', take: 2, groups: { count: 3, take: 1 } }, scores).ids).toEqual([2, 3]);
  });

  it('takes the lowest id of equal scores', () => {
    expect(choose({ take: 3 }, [1, 2, 2, 1]).ids).toEqual([1, 2, 0]);
  });
});
