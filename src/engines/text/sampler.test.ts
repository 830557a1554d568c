import { describe, expect, test } from 'vitest';
import { GREEDY_SAMPLING, type SamplingOptions } from '../../contract/index.ts';
import type { Adjustment } from './penalties.ts';
import { createRandomStream } from './random.ts';
import { createSampler, type LogitCandidates } from './sampler.ts';

const OFF: SamplingOptions = { ...GREEDY_SAMPLING, temperature: 1 };

/** A sampler as a textbook would write it: whole vocabulary, arrays of objects, a filter per option. */
function referenceSample(
  logits: readonly number[],
  history: { prompt: number[]; answer: number[] },
  options: SamplingOptions,
  draw: number,
  xtcDraw: number,
): number {
  const window = [...history.prompt, ...history.answer].slice(-options.repetitionContextSize);
  let all = logits.map((logit, id) => {
    let l = logit;
    if (options.repetitionPenalty !== 1 && options.repetitionContextSize > 0 && window.includes(id))
      l = l > 0 ? l / options.repetitionPenalty : l * options.repetitionPenalty;
    const count = history.answer.filter((token) => token === id).length;
    l -= (count > 0 ? options.presencePenalty : 0) + count * options.frequencyPenalty;
    const bias = options.logitBias[id] ?? 0;
    return { id, l: Math.fround(bias <= -100 ? l - 1e9 : l + bias) };
  });
  all.sort((a, b) => b.l - a.l || a.id - b.id);
  if (options.temperature === 0) return all[0]!.id;
  const probabilities = (): number[] => {
    const weights = all.map(({ l }) => Math.exp(l - all[0]!.l));
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map((w) => w / sum);
  };
  if (options.topK > 0) all = all.slice(0, options.topK);
  if (options.topP < 1) {
    const p = probabilities();
    let reached = 0;
    all = all.filter((_, i) => {
      const keep = reached < options.topP;
      reached += p[i]!;
      return keep;
    });
  }
  if (options.minP > 0) all = all.filter(({ l }) => Math.exp(l - all[0]!.l) >= options.minP);
  if (xtcDraw < options.xtcProbability) {
    const p = probabilities();
    const above = p.filter((x) => x >= options.xtcThreshold).length;
    if (above >= 2) all = all.slice(above - 1);
  }
  const weights = all.map(({ l }) => Math.exp((l - all[0]!.l) / options.temperature));
  const sum = weights.reduce((a, b) => a + b, 0);
  let reached = 0;
  for (const [i, weight] of weights.entries()) {
    reached += weight / sum;
    if (draw < reached) return all[i]!.id;
  }
  return all.at(-1)!.id;
}

/** What the ranks do with a row: adjustments, largest candidates, float32 sum. */
function rank(
  logits: readonly number[],
  adjustments: readonly Adjustment[],
  count: number,
  temperature: number,
): { candidates: LogitCandidates; row: Float32Array } {
  const row = Float32Array.from(logits);
  for (const { id, multiply, add } of adjustments) {
    const l = row[id]!;
    row[id] = (l > 0 ? l / multiply : l * multiply) + add;
  }
  const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
  const max = row[order[0]!]!;
  const sum = Math.fround(row.reduce((total, l) => total + Math.exp((l - max) / temperature), 0));
  const ids = order.slice(0, count);
  return { candidates: { max, sum, ids, values: ids.map((id) => row[id]!) }, row };
}

const pseudo = createRandomStream(99, 0);
const noise = (n: number, scale: number): number[] =>
  Array.from({ length: n }, () => Math.fround((pseudo.next() + pseudo.next() + pseudo.next() - 1.5) * scale));
const LOGITS: Record<string, number[]> = {
  flat: noise(1_000, 0.2),
  gentle: noise(600, 6),
  peaked: noise(900, 4).map((l, i) => (i === 137 ? 14 : l)),
  ties: Array.from({ length: 500 }, (_, i) => (i % 7 === 0 ? 3 : -1)),
  negative: noise(700, 8).map((l) => l - 30),
  small: [0.5, -0.25, 2, 2],
};
const OPTIONS: Record<string, Partial<SamplingOptions>> = {
  greedy: { temperature: 0 },
  'greedy with penalties': { temperature: 0, repetitionPenalty: 1.3, presencePenalty: 0.5, frequencyPenalty: 0.25 },
  plain: {},
  cold: { temperature: 0.3 },
  hot: { temperature: 2 },
  'top-k': { topK: 5 },
  'top-k over the candidates': { topK: 400, temperature: 1.4 },
  'top-p': { topP: 0.9, temperature: 0.7 },
  'top-p of nothing': { topP: 0.0001 },
  'top-k then top-p': { topK: 40, topP: 0.5 },
  'min-p': { minP: 0.1, temperature: 1.5 },
  'top-p and min-p': { topP: 0.95, minP: 0.02 },
  xtc: { xtcProbability: 0.5, xtcThreshold: 0.02 },
  'xtc after top-k': { topK: 20, xtcProbability: 1, xtcThreshold: 0.03, temperature: 0.8 },
  penalties: { repetitionPenalty: 1.2, repetitionContextSize: 4, presencePenalty: 1, frequencyPenalty: 0.5, temperature: 0.6 },
  'negative penalties': { presencePenalty: -1.5, frequencyPenalty: -0.5, repetitionPenalty: 0.8 },
  bias: { logitBias: { 0: 100, 2: -100, 3: 2.5 } },
  ban: { logitBias: { 0: -100, 1: -100, 2: -100 }, temperature: 0 },
};

describe('sampler', () => {
  for (const [logitsName, logits] of Object.entries(LOGITS)) {
    test.each(Object.entries(OPTIONS))(`[engines E23] over ${logitsName} logits, '%s' chooses what the reference sampler chooses`, (_name, changed) => {
      const options = { ...OFF, ...changed };
      const prompt = [1, 2, 3, 2].filter((id) => id < logits.length);
      const sampler = createSampler(options, 7, 1, prompt);
      const draws = createRandomStream(7, 1);
      const answer: number[] = [];
      for (let i = 0; i < 40; i++) {
        const { candidates, row } = rank(logits, sampler.adjustments(), sampler.candidates, sampler.sumTemperature);
        const id = sampler.choose(candidates) ?? sampler.chooseFromRow(row);
        const draw = options.temperature === 0 ? 0 : draws.next();
        const xtcDraw = options.temperature > 0 && options.xtcProbability > 0 ? draws.next() : 1;
        expect(id).toBe(referenceSample(logits, { prompt, answer }, options, draw, xtcDraw));
        sampler.accept(id);
        answer.push(id);
      }
    });
  }

  test('[engines E23] a tie at temperature 0 gives the lowest id', () => {
    const { candidates } = rank([1, 5, 5, 5], [], 1, 1);
    expect(createSampler({ ...OFF, temperature: 0 }, 1, 0, []).choose(candidates)).toBe(1);
  });

  test('the whole row is asked for only where the candidates do not decide', () => {
    const ask = (logits: readonly number[], changed: Partial<SamplingOptions>): number => {
      const sampler = createSampler({ ...OFF, ...changed }, 3, 0, []);
      let asked = 0;
      for (let i = 0; i < 50; i++) {
        const { candidates, row } = rank(logits, [], sampler.candidates, sampler.sumTemperature);
        if (sampler.choose(candidates) !== null) continue;
        asked++;
        sampler.chooseFromRow(row);
      }
      return asked;
    };
    expect(ask(LOGITS['peaked']!, { topP: 0.9 })).toBe(0);
    expect(ask(LOGITS['flat']!, { topK: 200 })).toBe(0);
    expect(ask(LOGITS['flat']!, { topP: 0.9 })).toBe(50);
  });

  test('tokens come as often as their probabilities say', () => {
    const logits = [2, 1, 0, -1];
    const sampler = createSampler({ ...OFF, temperature: 0.8 }, 5, 0, []);
    const counts = [0, 0, 0, 0];
    const draws = 20_000;
    const { candidates } = rank(logits, [], 256, 0.8);
    for (let i = 0; i < draws; i++) counts[sampler.choose(candidates) ?? 0]!++;
    const weights = logits.map((l) => Math.exp(l / 0.8));
    const sum = weights.reduce((a, b) => a + b, 0);
    for (const [id, count] of counts.entries()) expect(Math.abs(count / draws - weights[id]! / sum)).toBeLessThan(0.015);
  });
});

describe('random streams', () => {
  const take = (seed: number, choice: number): number[] => {
    const stream = createRandomStream(seed, choice);
    return Array.from({ length: 8 }, () => stream.next());
  };

  test('are the same for the same seed and choice, and others for any other', () => {
    expect(take(42, 0)).toEqual(take(42, 0));
    const all = [take(42, 0), take(42, 1), take(43, 0), take(-42, 0), take(42.5, 0), take(2 ** 52, 0), take(0, 0)];
    expect(new Set(all.map((numbers) => numbers[0])).size).toBe(all.length);
    for (const number of all.flat()) expect(number >= 0 && number < 1).toBe(true);
  });
});
