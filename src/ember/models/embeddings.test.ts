import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadEmber } from '../load/load-ember.ts';
import type { ActivationPath, Ember, StepSequence } from '../types.ts';

const REFERENCE = join(import.meta.dirname, '../../../test/reference');
const FOLDER = join(REFERENCE, 'embeddings');

interface Expected {
  /** Golden that is the checkpoint; else the checkpoint lies here. */
  readonly base?: string;
  readonly pooling: 'cls' | 'mean' | 'last';
  readonly inputs: readonly (readonly number[])[];
}

const PAGES = 2;
const PAGE_TOKENS = 32;
const readJson = (name: string): Expected => JSON.parse(readFileSync(join(FOLDER, name, 'expected.json'), 'utf8')) as Expected;
const readFloats = (name: string, file: string): Float32Array => new Float32Array(new Uint8Array(readFileSync(join(FOLDER, name, file))).buffer);
const embedders = readdirSync(FOLDER).filter((name) => 'pooling' in readJson(name));

const load = (name: string, ranks: number, activations: ActivationPath = 'f32') => {
  const { base, inputs } = readJson(name);
  const directory = base ? join(REFERENCE, 'goldens', base) : join(FOLDER, name);
  return loadEmber({ directory, ranks, activations, kvType: 'f32', contextTokens: inputs.length * PAGES * PAGE_TOKENS, batchTokens: 128 });
};

const sequence = (tokens: readonly number[], place: number): StepSequence => ({
  pages: [Uint32Array.from({ length: PAGES }, (_, i) => place * PAGES + i)],
  position: 0,
  tokens,
  output: 'hidden',
  temperature: 0,
  adjustments: [],
  candidates: 1,
});

/** Hidden rows of each input, all of them in one step. */
async function read(ember: Ember, inputs: readonly (readonly number[])[]): Promise<Float32Array[][]> {
  await ember.step(inputs.map(sequence));
  let next = 0;
  const all: Float32Array[][] = [];
  for (const tokens of inputs) {
    const rows = await ember.hidden(next, tokens.length);
    next += tokens.length;
    all.push(tokens.map((_, i) => rows.subarray(i * ember.hiddenSize, (i + 1) * ember.hiddenSize)));
  }
  return all;
}

function pool(rows: readonly Float32Array[], pooling: Expected['pooling']): Float32Array {
  const chosen = pooling === 'mean' ? rows : [pooling === 'cls' ? rows[0]! : rows.at(-1)!];
  const sum = Float32Array.from(chosen[0]!, (_, i) => chosen.reduce((total, row) => total + row[i]!, 0));
  const length = Math.hypot(...sum);
  return sum.map((value) => value / length);
}

const distance = (a: Float32Array, b: Float32Array): number => a.reduce((far, value, i) => Math.max(far, Math.abs(value - b[i]!)), 0);

describe.each(embedders)('%s', (name) => {
  const { inputs, pooling } = readJson(name);
  const wanted = readFloats(name, 'expected-vectors.bin');
  const width = wanted.length / inputs.length;
  const vectorOf = (i: number) => wanted.subarray(i * width, (i + 1) * width);

  it.each([1, 2, 3])('[engines E31] the vectors are those of the reference within 1e-3, one by one and in one step (%i ranks)', async (ranks) => {
    await using ember = await load(name, ranks);
    expect([ember.hiddenSize, ember.encoder]).toEqual([width, name.startsWith('bert')]);
    const together = await read(ember, inputs);
    expect(distance(Float32Array.from(together.at(-1)!.flatMap((row) => [...row])), readFloats(name, 'expected-hidden.bin'))).toBeLessThan(1e-4);
    for (const [i, tokens] of inputs.entries()) {
      const [alone] = await read(ember, [tokens]);
      expect(distance(pool(alone!, pooling), vectorOf(i))).toBeLessThan(1e-5);
      expect(distance(pool(together[i]!, pooling), vectorOf(i))).toBeLessThan(1e-5);
    }
  });
});

interface ExpectedScores {
  readonly inputs: readonly { readonly tokens: readonly number[]; readonly types: readonly number[] }[];
  readonly logits: readonly number[];
}

it.each([1, 2, 3])(
  '[engines E31] a classifier of one label gives the scores of the reference to pairs of texts, one by one and in one step (%i ranks)',
  async (ranks) => {
    const { inputs, logits } = JSON.parse(readFileSync(join(FOLDER, 'bert-reranker/expected.json'), 'utf8')) as ExpectedScores;
    await using ember = await loadEmber({
      directory: join(FOLDER, 'bert-reranker'),
      ranks,
      activations: 'f32',
      kvType: 'f32',
      contextTokens: inputs.length * PAGES * PAGE_TOKENS,
      batchTokens: 128,
    });
    const pairs = inputs.map(({ tokens, types }, i) => ({ ...sequence(tokens, i), secondText: types.indexOf(1) }));
    const scores = async (step: readonly StepSequence[]): Promise<number[]> => {
      await ember.step(step);
      const rows: Float32Array[] = [];
      let first = 0;
      for (const { tokens } of step) {
        rows.push(await ember.hidden(first, 1));
        first += tokens.length;
      }
      return rows.map((row) => ember.classify!(row));
    };
    const together = await scores(pairs);
    for (const [i, pair] of pairs.entries()) {
      expect(Math.abs(together[i]! - logits[i]!)).toBeLessThan(1e-5);
      expect(Math.abs((await scores([pair]))[0]! - logits[i]!)).toBeLessThan(1e-5);
    }
    // The place of the second text counts.
    const { secondText: _, ...plain } = pairs[3]!;
    expect(Math.abs((await scores([plain]))[0]! - logits[3]!)).toBeGreaterThan(1e-2);
    await expect(ember.step([{ ...pairs[0]!, secondText: 3 }])).rejects.toMatchObject({ code: 'invalid_value' });
  },
);

it('the order of inputs by likeness to one of them stands with activations rounded', async () => {
  for (const name of ['bert-q4-g32-mean', 'qwen3-q8-last']) {
    const { inputs, pooling } = readJson(name);
    const likeness = (vectors: readonly Float32Array[]) => vectors.map((vector) => vector.reduce((sum, value, i) => sum + value * vectors[2]![i]!, 0));
    await using exact = await load(name, 1);
    await using rounded = await load(name, 1, 'mixed');
    const [a, b] = [
      likeness((await read(exact, inputs)).map((rows) => pool(rows, pooling))),
      likeness((await read(rounded, inputs)).map((rows) => pool(rows, pooling))),
    ];
    for (const [i, value] of a.entries()) expect([name, i, Math.abs(value - b[i]!) < 0.02]).toEqual([name, i, true]);
  }
});
