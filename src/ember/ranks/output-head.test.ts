import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadEmber } from '../load/load-ember.ts';
import type { StepSequence } from '../types.ts';

const directory = join(import.meta.dirname, '../../../test/reference/goldens/llama-q4-g64');
const { prompt } = JSON.parse(readFileSync(join(directory, 'expected.json'), 'utf8')) as { prompt: number[] };

describe('the output head of the mixed path', () => {
  it('gives the largest logits as with int16 activations everywhere, and the others nearly', async () => {
    await using ember = await loadEmber({ directory, ranks: 1, activations: 'mixed', contextTokens: 64, batchTokens: 64 });
    const last = async (more: Partial<StepSequence>): Promise<Float32Array> => {
      await ember.step([
        { pages: [Uint32Array.of(0, 1)], position: 0, tokens: prompt, output: 'last', temperature: 1, adjustments: [], candidates: 1, ...more },
      ]);
      return ember.logits(more.output === 'all' ? prompt.length - 1 : 0);
    };
    const exact = await last({ output: 'all' });
    const refined = await last({});
    const everyToken = new Uint32Array(ember.vocabularySize / 32).fill(0xffffffff);
    const masked = await last({ mask: everyToken });

    const order = Array.from(refined.keys()).sort((a, b) => refined[b]! - refined[a]!);
    const span = refined[order[0]!]! - refined[order.at(-1)!]!;
    // The order of float32 sums differs between one token and several.
    const near = (row: Float32Array, id: number) => Math.abs(row[id]! - exact[id]!) / span < 1e-4;
    expect(order.every((id) => near(masked, id))).toBe(true);
    expect(order.slice(0, 100).every((id) => near(refined, id))).toBe(true);
    const rest = order.slice(128).map((id) => Math.abs(refined[id]! - exact[id]!) / span);
    expect(Math.max(...rest)).toBeLessThan(0.02);
    expect(rest.some((far) => far > 1e-4)).toBe(true);
  });
});
