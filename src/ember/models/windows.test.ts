import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import { createPageCache, type PageCache } from '../kv/page-cache.ts';
import { loadEmber } from '../load/load-ember.ts';
import type { Ember, KvType, PageTables } from '../types.ts';

const GOLDENS = join(import.meta.dirname, '../../../test/reference/goldens');
const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());

const BATCH = 96;
/** Room for so many sequences leaves no group of its own to a window: nothing is freed. */
const FORGETS_NOTHING = 256;
const load = (directory: string, kvType: KvType, sequences: number, ranks = 1) =>
  loadEmber({ directory, ranks, activations: 'f32', kvType, contextTokens: 1_024, batchTokens: BATCH, sequences });

/** Evaluates texts step by step as the step loop does, in its own pages; gives the logits behind each step. */
function createRun(ember: Ember, cache: PageCache) {
  let pages: PageTables = cache.empty;
  let cells = 0;
  return {
    async step(tokens: readonly number[]): Promise<Float32Array> {
      pages = cache.grow(pages, cells + tokens.length)!;
      await ember.step([{ pages, position: cells, tokens, output: 'last', temperature: 0, adjustments: [], candidates: 1 }]);
      cells += tokens.length;
      cache.slide(pages, cells);
      return await ember.logits(0);
    },
    end: () => cache.release(pages),
  };
}

const distance = (a: Float32Array, b: Float32Array): number => a.reduce((far, logit, id) => Math.max(far, Math.abs(logit - b[id]!)), 0);
const largest = (row: Float32Array): number => row.indexOf(Math.max(...row));

describe.each([
  ['cohere2-bf16', {}],
  ['gemma3-text-bf16', {}],
  ['gemma3-q4-g32', {}],
  ['gpt-oss-bf16', {}],
  ['mistral3-ministral3-q4-g64', {}],
  ['mistral-bf16', { sliding_window: 50 }],
] as const)('%s', (name, config) => {
  const directory = join(home.path, name);
  makeGoldenModel(directory, { name, config });
  const vocabulary = 96;
  // Steps are longer than the window and shorter, then one token at a time.
  const text = Array.from({ length: 800 }, (_, i) => (i * i * 5 + 3 * i) % vocabulary);
  const lengths = [96, 96, 96, 70, 96, 33, 96, 7, 96, ...new Array<number>(70).fill(1)];

  it.each(['bf16', 'int8'] as const)('gives the logits of a run that frees nothing, in pages that are used again (%s)', async (kvType) => {
    await using frees = await load(directory, kvType, 1, 2);
    await using keeps = await load(directory, kvType, FORGETS_NOTHING, 2);
    const cache = createPageCache(frees.pageGroups);
    const [few, all] = [createRun(frees, cache), createRun(keeps, createPageCache(keeps.pageGroups))];
    const windowed = frees.pageGroups[1]!;
    expect(keeps.pageGroups).toEqual([{ window: 0, pageCount: 32 }]);
    expect(frees.memory.kvBytes).toBeLessThan(keeps.memory.kvBytes);
    let done = 0;
    for (const length of lengths) {
      const tokens = text.slice(done, done + length);
      done += length;
      expect(distance(await few.step(tokens), await all.step(tokens))).toBe(0);
    }
    // More pages went through the window than there are.
    expect(done / 32).toBeGreaterThan(1.5 * windowed.pageCount);
    few.end();
    expect(cache.groups.map(({ pool }) => pool.free)).toEqual(frees.pageGroups.map(({ pageCount }) => pageCount));
  });

  it.skipIf('sliding_window' in config)('gives the tokens of the reference where its window has left pages behind', async () => {
    const { prompt, greedy } = JSON.parse(readFileSync(join(GOLDENS, name, 'expected.json'), 'utf8')) as { prompt: number[]; greedy: number[] };
    await using ember = await load(directory, 'f32', 1);
    const cache = createPageCache(ember.pageGroups);
    const run = createRun(ember, cache);
    const made = [largest(await run.step(prompt))];
    while (made.length < greedy.length) made.push(largest(await run.step(made.slice(-1))));
    expect(made).toEqual(greedy);
    const used = cache.groups.map(({ pool }) => pool.pageCount - pool.free);
    expect(used[1]).toBeLessThan(used[0]!);
  });
});
