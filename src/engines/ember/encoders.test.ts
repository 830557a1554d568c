import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { writeTinyEncoder } from '../../../test/support/tiny-encoder.ts';
import type { ModelFacts } from '../../core/index.ts';
import { loadEmber } from '../../ember/index.ts';
import { createEmberEngine } from './ember-engine.ts';

const REFERENCE = join(import.meta.dirname, '../../../test/reference/embeddings');
const [CLS, SEP, FIRST_LETTER] = [2, 3, 4];
const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const engine = createEmberEngine({ convertedDirectory: join(home.path, 'converted') });

const readExpected = (name: string) => JSON.parse(readFileSync(join(REFERENCE, name, 'expected.json'), 'utf8')) as Record<string, unknown>;

async function makeEncoder(name: string): Promise<ModelFacts> {
  const directory = join(home.path, name);
  await writeTinyEncoder(directory, name);
  return {
    directory,
    framework: 'MLX',
    architecture: 'bert',
    config: JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>,
    weightFiles: ['model.safetensors'],
    weightBytes: readFileSync(join(directory, 'model.safetensors')).length,
    hasChatTemplate: false,
  };
}

test.each(['bert-bf16-mean', 'bert-f32-cls', 'bert-q4-g32-mean'])(
  '[engines E31] %s: an encoder gives the vectors of the reference, pooled as its files say, alone and together',
  async (name) => {
    const inputs = readExpected(name)['inputs'] as number[][];
    const wanted = new Float32Array(new Uint8Array(readFileSync(join(REFERENCE, name, 'expected-vectors.bin'))).buffer);
    const width = wanted.length / inputs.length;
    await using running = await startEngine(engine, await makeEncoder(name), {
      contextTokens: 256,
      activations: 'f32',
      kvType: 'f32',
      threads: 2,
      batchTokens: 64,
    });
    const together = await running.session.embed(inputs);
    expect(together.promptTokens).toEqual(inputs.map((tokens) => tokens.length));
    for (const [i, tokens] of inputs.entries()) {
      const alone = (await running.session.embed([tokens])).vectors[0]!;
      for (const vector of [alone, together.vectors[i]!])
        expect(Math.max(...vector.map((value, n) => Math.abs(value - wanted[i * width + n]!)))).toBeLessThan(1e-4);
    }
  },
);

test('[engines E31] rerank by a classifier reads each document beside the query, and orders by its score', async () => {
  const facts = await makeEncoder('bert-reranker');
  await using running = await startEngine(engine, facts, { contextTokens: 256, activations: 'f32', kvType: 'f32', threads: 1, batchTokens: 64 });
  const query = 'what is red';
  const documents = ['a rose', 'the sky at noon', 'coal', 'blood and wine and poppies', 'x'];
  const { scores, promptTokens } = await running.session.rerank(query, documents);

  // By the library: ids of words of single letters, written out by hand.
  await using ember = await loadEmber({ directory: facts.directory, ranks: 1, activations: 'f32', kvType: 'f32', contextTokens: 64, batchTokens: 64 });
  const ids = (text: string) => text.split(' ').flatMap((word) => [...word].map((letter, i) => FIRST_LETTER + (i > 0 ? 58 : 0) + letter.charCodeAt(0) - 65));
  const wanted: number[] = [];
  let count = 0;
  for (const document of documents) {
    const first = [CLS, ...ids(query), SEP];
    const tokens = [...first, ...ids(document), SEP];
    const more = { position: 0, output: 'hidden', temperature: 0, adjustments: [], candidates: 0 } as const;
    await ember.step([{ pages: [Uint32Array.of(0, 1)], tokens, secondText: first.length, ...more }]);
    wanted.push(1 / (1 + Math.exp(-ember.classify!(await ember.hidden(0, 1)))));
    count += tokens.length;
  }
  expect(promptTokens).toBe(count);
  for (const [i, score] of scores.entries()) expect(score).toBeCloseTo(wanted[i]!, 4);
  expect(new Set(scores.map((score) => score.toFixed(4))).size).toBe(documents.length);
  await expect(running.session.rerank(query, ['z'.repeat(80)])).rejects.toMatchObject({ code: 'context_length_exceeded' });
});
