import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadEmber } from '../load/load-ember.ts';
import type { ActivationPath, Ember, KvType } from '../types.ts';

const GOLDENS = join(import.meta.dirname, '../../../test/reference/goldens');
const goldens = readdirSync(GOLDENS, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);
/** Of the logits' range, with a float32 cache as the reference has it: the float path is within 1e-6, int16 activations are beyond that. */
const TOLERANCE = 1e-3;
const BATCH = 64;

interface Expected {
  readonly prompt: readonly number[];
  readonly greedy: readonly number[];
}

const load = (name: string, ranks: number, activations: ActivationPath = 'f32', kvType: KvType = 'f32') =>
  loadEmber({ directory: join(GOLDENS, name), ranks, activations, kvType, contextTokens: 256, batchTokens: BATCH });
const pages = [Uint32Array.of(0, 1, 2, 3, 4, 5, 6, 7)];
const sequence = { pages, temperature: 0, adjustments: [], candidates: 1 };

async function logitsOf(ember: Ember, tokens: readonly number[]): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  for (let position = 0; position < tokens.length; position += BATCH) {
    const batch = tokens.slice(position, position + BATCH);
    await ember.step([{ ...sequence, position, tokens: batch, output: 'all' }]);
    for (let row = 0; row < batch.length; row++) rows.push(await ember.logits(row));
  }
  return rows;
}

async function continueGreedily(ember: Ember, prompt: readonly number[], count: number): Promise<number[]> {
  const made: number[] = [];
  let next = prompt;
  for (let position = 0; made.length < count; position += next.length, next = made.slice(-1)) {
    const [output] = await ember.step([{ ...sequence, position, tokens: next, output: 'last' }]);
    made.push(output!.ids[0]!);
  }
  return made;
}

/** Largest distance of two sets of rows. */
const distance = (a: readonly Float32Array[], b: readonly Float32Array[]): number =>
  a.reduce((far, row, i) => row.reduce((most, logit, id) => Math.max(most, Math.abs(logit - b[i]![id]!)), far), 0);

const isQuantised = (name: string): boolean => 'quantization' in (JSON.parse(readFileSync(join(GOLDENS, name, 'config.json'), 'utf8')) as object);

function readExpected(name: string) {
  const expected = JSON.parse(readFileSync(join(GOLDENS, name, 'expected.json'), 'utf8')) as Expected;
  const bytes = new Uint8Array(readFileSync(join(GOLDENS, name, 'expected-logits.bin')));
  const all = new Float32Array(bytes.buffer);
  const width = all.length / expected.prompt.length;
  return { ...expected, rows: expected.prompt.map((_, row) => all.subarray(row * width, (row + 1) * width)), span: Math.max(...all) - Math.min(...all) };
}

describe.each(goldens)('%s', (name) => {
  const { prompt, greedy, rows, span } = readExpected(name);

  it('[engines E33] gives the logits and the 64 greedy tokens of the reference', async () => {
    await using ember = await load(name, 1);
    expect(distance(rows, await logitsOf(ember, prompt)) / span).toBeLessThan(TOLERANCE);
    expect(await continueGreedily(ember, prompt, greedy.length)).toEqual(greedy);
  });

  // A model of nothing but running states has no cells that could be rounded.
  it.skipIf(name.startsWith('mamba2')).each([
    ['bf16', 5e-3],
    ['int8', 2e-2],
  ] as const)('a cache of %s moves the logits by a little, and by something', async (kvType, most) => {
    await using ember = await load(name, 2, 'f32', kvType);
    const far = distance(rows, await logitsOf(ember, prompt)) / span;
    expect(far).toBeLessThan(most);
    expect(far).toBeGreaterThan(1e-6);
  });

  it('[engines E8] 2 and 3 ranks give the logits of one within 1e-4 of their range, and its tokens', async () => {
    await using one = await load(name, 1);
    const solo = await logitsOf(one, prompt);
    for (const ranks of [2, 3]) {
      await using many = await load(name, ranks);
      expect(distance(solo, await logitsOf(many, prompt)) / span).toBeLessThan(1e-4);
      expect(await continueGreedily(many, prompt, greedy.length)).toEqual(greedy);
    }
  });
});

// Along the reference's own text: where two tokens are nearly equal, rounding may choose the other one, and which one depends on the CPU's dot product.
describe.each(['mixed', 'int8', 'int16'] as const)('rounding activations to %s', (activations) => {
  it.each(goldens.filter(isQuantised))('leaves the greedy tokens of %s, but for near ties', async (name) => {
    const { prompt, greedy, rows, span } = readExpected(name);
    const most = activations === 'int16' ? TOLERANCE : 0.04;
    await using ember = await load(name, 2, activations);
    const far = distance(rows, await logitsOf(ember, prompt)) / span;
    expect(far).toBeLessThan(most);
    expect(far).toBeGreaterThan(1e-6);
    const along = (await logitsOf(ember, [...prompt, ...greedy.slice(0, -1)])).slice(prompt.length - 1);
    const behind = along.map((row, i) => Math.max(...row) - row[greedy[i]!]!);
    expect(Math.max(...behind) / span).toBeLessThan(2 * most);
    expect(behind.filter((lag) => lag === 0).length).toBeGreaterThanOrEqual(Math.ceil(0.95 * greedy.length));
  });
});
