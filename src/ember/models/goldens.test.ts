import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadEmber } from '../load/load-ember.ts';
import type { Ember } from '../types.ts';

const GOLDENS = join(import.meta.dirname, '../../../test/reference/goldens');
const goldens = readdirSync(GOLDENS).filter((name) => readdirSync(join(GOLDENS, name)).includes('expected.json'));

interface Expected {
  readonly prompt: readonly number[];
  readonly greedy: readonly number[];
}

const load = (name: string, ranks: number) =>
  loadEmber({ directory: join(GOLDENS, name), ranks, activations: 'f32', contextTokens: 256, batchTokens: 64 });
const pages = Uint32Array.of(0, 1, 2, 3, 4, 5, 6, 7);
const sequence = { pages, temperature: 0, adjustments: [], candidates: 1 };

async function logitsOf(ember: Ember, tokens: readonly number[]): Promise<Float32Array[]> {
  await ember.step([{ ...sequence, position: 0, tokens, output: 'all' }]);
  const rows: Float32Array[] = [];
  for (let row = 0; row < tokens.length; row++) rows.push(await ember.logits(row));
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

describe.each(goldens)('%s', (name) => {
  const expected = JSON.parse(readFileSync(join(GOLDENS, name, 'expected.json'), 'utf8')) as Expected;
  const bytes = readFileSync(join(GOLDENS, name, 'expected-logits.bin'));
  const wanted = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const span = Math.max(...wanted) - Math.min(...wanted);

  it('gives the logits of the reference within 1e-3 of their range, and its 64 greedy tokens', async () => {
    await using ember = await load(name, 1);
    const rows = await logitsOf(ember, expected.prompt);
    const far = Math.max(...rows.flatMap((row, i) => [...row].map((logit, id) => Math.abs(logit - wanted[i * ember.vocabularySize + id]!))));
    console.log(name, far / span);
    expect(far / span).toBeLessThan(1e-3);
    expect(await continueGreedily(ember, expected.prompt, expected.greedy.length)).toEqual(expected.greedy);
  });

  it.each([2, 3])('gives the same on %i ranks within 1e-4 of the range', async (ranks) => {
    await using one = await load(name, 1);
    await using many = await load(name, ranks);
    const solo = await logitsOf(one, expected.prompt);
    const split = await logitsOf(many, expected.prompt);
    const far = Math.max(...solo.flatMap((row, i) => [...row].map((logit, id) => Math.abs(logit - split[i]![id]!))));
    expect(far / span).toBeLessThan(1e-4);
    expect(await continueGreedily(many, expected.prompt, expected.greedy.length)).toEqual(expected.greedy);
  });
});
