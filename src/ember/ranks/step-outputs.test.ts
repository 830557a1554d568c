import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadEmber } from '../load/load-ember.ts';
import type { StepOutput, StepSequence } from '../types.ts';

const DIRECTORY = join(import.meta.dirname, '../../../test/reference/goldens/llama-q4-g64');
const tokens = [3, 17, 5, 9, 44, 2, 8];
const base = { pages: [Uint32Array.of(0, 1)], position: 0, tokens, temperature: 0, adjustments: [], candidates: 4 } as const;

const load = (ranks: number) => loadEmber({ directory: DIRECTORY, ranks, activations: 'f32', contextTokens: 64, batchTokens: 32 });

const argmax = (row: Float32Array): number => row.reduce((best, value, id) => (value > row[best]! ? id : best), 0);
const logSoftmax = (row: Float32Array, id: number): number => {
  const max = Math.max(...row);
  return row[id]! - max - Math.log(row.reduce((sum, value) => sum + Math.exp(value - max), 0));
};

describe.each([1, 2, 3])('step outputs on %i ranks', (ranks) => {
  it('gives a summary of each of the last rows, equal to that of steps of one token', async () => {
    await using ember = await load(ranks);
    const one: StepOutput[] = [];
    for (const [position, id] of tokens.entries()) one.push((await ember.step([{ ...base, position, tokens: [id], output: 'last' }]))[0]!);
    const [all] = await ember.step([{ ...base, output: 'last', rows: 3 }]);
    expect([...all!.earlier!, all!].map((row) => row.ids[0])).toEqual(one.slice(-3).map((row) => row.ids[0]));
    for (const [i, row] of all!.earlier!.entries()) expect(row.max).toBeCloseTo(one[tokens.length - 3 + i]!.max, 4);
  });

  it('takes candidates among the ids of the mask, after adjustments, and leaves the raw summary alone', async () => {
    await using ember = await load(ranks);
    const [free] = await ember.step([{ ...base, output: 'last' }]);
    const mask = new Uint32Array(Math.ceil(ember.vocabularySize / 32));
    const allowed = [1, 40, 63];
    for (const id of allowed) mask[id >> 5]! |= 1 << (id & 31);
    const [masked] = await ember.step([{ ...base, output: 'last', mask, rawCandidates: 4, adjustments: [{ id: 40, multiply: 1, add: 1_000 }] }]);
    expect(masked!.ids[0]).toBe(40);
    expect([...masked!.ids.subarray(0, 3)].sort((a, b) => a - b)).toEqual(allowed);
    expect([...masked!.raw!.ids]).toEqual([...free!.ids]);
    const row = await ember.logits(0);
    expect(row.reduce((count, value) => count + (Number.isFinite(value) ? 1 : 0), 0)).toBe(allowed.length);
  });

  it('gives the log probability of each target, and whole rows unchanged beside it', async () => {
    await using ember = await load(ranks);
    const targets = [...tokens.slice(1), 11];
    const [output] = await ember.step([{ ...base, output: 'all', targets }]);
    for (const [i, id] of targets.entries()) expect(output!.logProbabilities![i]).toBeCloseTo(logSoftmax(await ember.logits(i), id), 4);
    expect(output!.ids[0]).toBe(argmax(await ember.logits(tokens.length - 1)));
  });

  it('gives hidden rows, of all tokens or of the last ones', async () => {
    await using ember = await load(ranks);
    await ember.step([{ ...base, output: 'hidden' }]);
    const all = await ember.hidden(0, tokens.length);
    await ember.step([{ ...base, output: 'hidden', rows: 1 }]);
    const last = await ember.hidden(0, 1);
    expect(last).toHaveLength(ember.hiddenSize);
    const far = last.reduce((most, value, i) => Math.max(most, Math.abs(value - all[(tokens.length - 1) * ember.hiddenSize + i]!)), 0);
    expect(far).toBeLessThan(1e-4);
    expect(Math.max(...last.map(Math.abs))).toBeGreaterThan(0.1);
    // Beside a sequence that wants logits.
    const [beside] = await ember.step([
      { ...base, output: 'last' },
      { ...base, pages: [Uint32Array.of(1)], output: 'hidden', rows: 1 },
    ]);
    const again = await ember.hidden(0, 1);
    expect(last.reduce((most, value, i) => Math.max(most, Math.abs(value - again[i]!)), 0)).toBeLessThan(1e-4);
    expect(beside!.ids[0]).toBe(argmax(await ember.logits(0)));
    await expect(ember.logits(1)).rejects.toMatchObject({ code: 'invalid_value' });
    await expect(ember.hidden(1, 1)).rejects.toMatchObject({ code: 'invalid_value' });
  });
});

it('refuses a step that a kernel must never see', async () => {
  await using ember = await load(1);
  const wrong: StepSequence[] = [
    { ...base, output: 'last', rows: 8 },
    { ...base, output: 'last', targets: tokens },
    { ...base, output: 'all', targets: [1] },
    { ...base, output: 'all', targets: tokens.map(() => ember.vocabularySize) },
    { ...base, output: 'last', mask: new Uint32Array(1) },
  ];
  for (const sequence of wrong) await expect(ember.step([sequence])).rejects.toMatchObject({ code: 'invalid_value' });
  await expect(
    ember.step([
      { ...base, output: 'hidden' },
      { ...base, output: 'last' },
    ]),
  ).rejects.toMatchObject({ code: 'invalid_value' });
});
