import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadEmber } from '../load/load-ember.ts';
import type { Ember } from '../types.ts';

const GOLDENS = join(import.meta.dirname, '../../../test/reference/goldens');
const base = { temperature: 0, adjustments: [], candidates: 1 };
const prompt = Array.from({ length: 90 }, (_, i) => (i * 31 + 7) % 96);
const other = [...prompt.slice(0, 70), ...Array.from({ length: 9 }, (_, i) => (i * 17 + 3) % 96)];

async function lastRow(
  ember: Ember,
  sequence: { pages: readonly number[]; state: number; position: number; tokens: readonly number[] },
  chunk: number,
): Promise<Float32Array> {
  const { tokens, position } = sequence;
  for (let done = 0; done < tokens.length; done += chunk) {
    const part = tokens.slice(done, done + chunk);
    const output = done + chunk >= tokens.length ? ('last' as const) : ('none' as const);
    await ember.step([
      { ...base, pages: ember.pageGroups.map(() => Uint32Array.from(sequence.pages)), state: sequence.state, position: position + done, tokens: part, output },
    ]);
  }
  return await ember.logits(0);
}
const distance = (a: Float32Array, b: Float32Array): number => a.reduce((far, logit, id) => Math.max(far, Math.abs(logit - b[id]!)), 0);

describe.each([
  ['a window', 'gemma3-text-bf16'],
  ['short convolutions', 'lfm2-q4-g64'],
  ['state spaces', 'mamba2-bf16'],
  ['gated delta rules', 'qwen3-next-bf16'],
  ['state spaces beside attention', 'granitemoehybrid-bf16'],
])('a model with %s', (_, name) => {
  it.each([1, 2])('[engines E28] goes on from a prefix that another text evaluated, with the logits of its own run (%i ranks)', async (ranks) => {
    await using ember = await loadEmber({ directory: join(GOLDENS, name), ranks, activations: 'f32', contextTokens: 512, batchTokens: 128, sequences: 2 });
    const alone = await lastRow(ember, { pages: [0, 1, 2], state: 0, position: 0, tokens: other }, 128);
    const span = Math.max(...alone) - Math.min(...alone);
    for (const chunk of [128, 33, 7]) {
      await lastRow(ember, { pages: [3, 4, 5], state: 0, position: 0, tokens: prompt }, chunk);
      const shared = ember.states === null ? 2 : ember.states.resume(1, Uint32Array.of(3, 4));
      expect(shared).toBe(2);
      const row = await lastRow(ember, { pages: [3, 4, 6], state: 1, position: 64, tokens: other.slice(64) }, chunk);
      expect(distance(row, alone) / span).toBeLessThan(1e-4);
      // The first text goes on undisturbed.
      const next = await lastRow(ember, { pages: [3, 4, 5], state: 0, position: 90, tokens: [5] }, 1);
      const whole = await lastRow(ember, { pages: [7, 8, 9], state: 1, position: 0, tokens: [...prompt, 5] }, 128);
      expect(distance(next, whole) / span).toBeLessThan(1e-4);
    }
  });
});
