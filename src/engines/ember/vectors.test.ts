import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RunningEngine, startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import type { ModelFacts } from '../../core/index.ts';
import { type Ember, loadEmber } from '../../ember/index.ts';
import { createEmberEngine } from './ember-engine.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const engine = createEmberEngine({ convertedDirectory: join(home.path, 'converted') });
const OPTIONS = { contextTokens: 512, activations: 'f32', threads: 1, batchTokens: 64 };
const config = { max_position_embeddings: 512 };

const { facts } = makeGoldenModel(join(home.path, 'model'), { config });
const tokens = (length: number, step: number): number[] => Array.from({ length }, (_, i) => 60 + ((i * step) % 100));

/** Hidden rows of all tokens, from the engine's library, in steps of 64. */
async function hiddenRows(ember: Ember, ids: readonly number[]): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  const pages = ember.pageGroups.map(({ pageCount }) => Uint32Array.from({ length: pageCount }, (_, i) => i));
  for (let position = 0; position < ids.length; position += 64) {
    const part = ids.slice(position, position + 64);
    await ember.step([{ pages, position, tokens: part, output: 'hidden', temperature: 0, adjustments: [], candidates: 0 }]);
    const all = await ember.hidden(0, part.length);
    for (let i = 0; i < part.length; i++) rows.push(all.slice(i * ember.hiddenSize, (i + 1) * ember.hiddenSize));
  }
  return rows;
}

/** The reference vectors of test/reference/embeddings: their checkpoints are read with a vocabulary of words that nobody writes. */
const REFERENCE = join(import.meta.dirname, '../../../test/reference');
interface ExpectedVectors {
  readonly base?: string;
  readonly pooling?: 'cls' | 'mean' | 'last';
  readonly inputs: readonly (readonly number[])[];
}
const expectedVectors = (name: string): ExpectedVectors =>
  JSON.parse(readFileSync(join(REFERENCE, 'embeddings', name, 'expected.json'), 'utf8')) as ExpectedVectors;
const references = readdirSync(join(REFERENCE, 'embeddings')).filter((name) => expectedVectors(name).pooling !== undefined);

function makeEmbedder(name: string): ModelFacts {
  const directory = join(home.path, name);
  const { base, pooling } = expectedVectors(name);
  const source = base === undefined ? join(REFERENCE, 'embeddings', name) : join(REFERENCE, 'goldens', base);
  mkdirSync(join(directory, '1_Pooling'), { recursive: true });
  for (const file of ['config.json', 'model.safetensors', 'model.safetensors.index.json']) cpSync(join(source, file), join(directory, file));
  const mode = { cls: 'pooling_mode_cls_token', mean: 'pooling_mode_mean_tokens', last: 'pooling_mode_lasttoken' }[pooling!];
  writeFileSync(join(directory, '1_Pooling', 'config.json'), JSON.stringify({ [mode]: true }));
  const own = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>;
  const vocab = Object.fromEntries(Array.from({ length: own['vocab_size'] as number }, (_, id) => [id === 0 ? '[UNK]' : `t${id}`, id]));
  const parts = { truncation: null, padding: null, added_tokens: [], normalizer: null, post_processor: null, decoder: null };
  const model = { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab };
  writeFileSync(join(directory, 'tokenizer.json'), JSON.stringify({ version: '1.0', ...parts, pre_tokenizer: { type: 'WhitespaceSplit' }, model }));
  const weightBytes = readFileSync(join(directory, 'model.safetensors')).length;
  return {
    directory,
    framework: 'MLX',
    architecture: String(own['model_type']),
    config: own,
    weightFiles: ['model.safetensors'],
    weightBytes,
    hasChatTemplate: false,
  };
}

const normalise = (vector: Float32Array): Float32Array => vector.map((value) => value / Math.hypot(...vector));
const far = (a: Float32Array, b: Float32Array): number => a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

describe('vectors and scores', () => {
  let running: RunningEngine;
  let ember: Ember;
  beforeAll(async () => {
    running = await startEngine(engine, facts, OPTIONS);
    ember = await loadEmber({ directory: facts.directory, ranks: 1, activations: 'f32', contextTokens: 512, batchTokens: 64 });
  });
  afterAll(async () => {
    await running?.[Symbol.asyncDispose]();
    await ember?.[Symbol.asyncDispose]();
  });

  test('an embedding is the first, the last or the mean of the hidden rows, with length 1, however many steps its input takes', async () => {
    for (const length of [1, 2, 33, 64, 65, 200]) {
      const ids = tokens(length, 7);
      const rows = await hiddenRows(ember, ids);
      const mean = Float32Array.from(rows[0]!, (_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / length);
      for (const [pooling, row] of [
        ['cls', rows[0]!],
        ['last', rows.at(-1)!],
        ['mean', mean],
      ] as const) {
        const { vectors, promptTokens } = await running.session.embed([ids], { pooling });
        expect(far(vectors[0]!, normalise(row))).toBeLessThan(1e-4);
        expect(promptTokens).toEqual([length]);
      }
    }
  });

  test('many inputs share steps, and each has the vector that it has alone, also beside an answer', async () => {
    const inputs = Array.from({ length: 40 }, (_, i) => tokens(5 + 3 * i, i + 1));
    const alone: Float32Array[] = [];
    for (const input of inputs) alone.push((await running.session.embed([input])).vectors[0]!);
    const text = (await running.ask({ maxTokens: 100 })).text;
    const [together, answer] = await Promise.all([running.session.embed(inputs), running.ask({ maxTokens: 100 })]);
    for (const [i, vector] of together.vectors.entries()) expect(far(vector, alone[i]!)).toBeLessThan(1e-4);
    expect(answer.text).toBe(text);
  });

  test('scores are the log probabilities of each next token, in one pass', async () => {
    const ids = tokens(150, 11);
    const pages = [Uint32Array.from({ length: 16 }, (_, i) => i)];
    const expected: number[] = [];
    for (let position = 0; position < ids.length; position += 50) {
      await ember.step([{ pages, position, tokens: ids.slice(position, position + 50), output: 'all', temperature: 0, adjustments: [], candidates: 0 }]);
      for (let i = 0; i < 50 && position + i + 1 < ids.length; i++) {
        const row = await ember.logits(i);
        const max = Math.max(...row);
        expected.push(row[ids[position + i + 1]!]! - max - Math.log(row.reduce((sum, value) => sum + Math.exp(value - max), 0)));
      }
    }
    const before = (await running.session.stats()).promptTokensComputed;
    const scores = await running.session.score(ids);
    expect(scores).toHaveLength(149);
    for (const [i, score] of scores.entries()) expect(score).toBeCloseTo(expected[i]!, 3);
    expect((await running.session.stats()).promptTokensComputed - before).toBe(150);
  });

  test('documents are ranked by their likeness to the query', async () => {
    const { scores } = await running.session.rerank('abcabc', ['zzzz', 'abcabc', 'abcabd']);
    expect(scores[1]).toBeCloseTo(1, 4);
    expect(scores.indexOf(Math.max(...scores))).toBe(1);
  });

  test('what does not fit is refused with the counts, and a cancel frees what was begun', async () => {
    await expect(running.session.embed([tokens(513, 1)])).rejects.toMatchObject({
      code: 'context_length_exceeded',
      message: expect.stringMatching(/513 .*512/),
    });
    await expect(running.session.embed([[9_999]])).rejects.toMatchObject({ code: 'invalid_value' });
    await expect(running.session.embed([[]])).rejects.toMatchObject({ code: 'invalid_value' });
    await expect(running.session.score([5, 9_999])).rejects.toMatchObject({ code: 'invalid_value' });
    const abort = new AbortController();
    const given = running.session.embed(
      Array.from({ length: 32 }, () => tokens(500, 3)),
      { signal: abort.signal },
    );
    abort.abort();
    await expect(given).rejects.toMatchObject({ code: 'cancelled' });
    await expect.poll(async () => (await running.session.stats()).running).toBe(0);
    expect((await running.session.embed([[61]])).vectors).toHaveLength(1);
  });
});

test.each(references)('[engines E31] %s gives the vectors of the reference within 1e-3, single and batched, pooled as its files say', async (name) => {
  const facts = makeEmbedder(name);
  const { inputs } = expectedVectors(name);
  const wanted = new Float32Array(new Uint8Array(readFileSync(join(REFERENCE, 'embeddings', name, 'expected-vectors.bin'))).buffer);
  const width = wanted.length / inputs.length;
  expect(engine.canRun(facts)['embeddings']).toMatchObject({ ok: true });
  await using running = await startEngine(engine, facts, { contextTokens: 512, activations: 'f32', kvType: 'f32', threads: 2 });
  const together = await running.session.embed(inputs);
  for (const [i, input] of inputs.entries()) {
    const reference = wanted.subarray(i * width, (i + 1) * width);
    expect(far(together.vectors[i]!, reference)).toBeLessThan(1e-3);
    expect(far((await running.session.embed([input])).vectors[0]!, reference)).toBeLessThan(1e-3);
  }
  // An encoder has no text to give.
  if (engine.canRun(facts)['text']?.ok === false) expect((await running.ask({ tokens: [5, 6] })).error).toMatchObject({ code: 'capability_mismatch' });
});

test("pooling and the texts before an input are those of the model's files", async () => {
  const other = makeGoldenModel(join(home.path, 'pooled'), { config });
  mkdirSync(join(other.facts.directory, '1_Pooling'));
  writeFileSync(join(other.facts.directory, '1_Pooling', 'config.json'), JSON.stringify({ word_embedding_dimension: 64, pooling_mode_mean_tokens: true }));
  writeFileSync(join(other.facts.directory, 'config_sentence_transformers.json'), JSON.stringify({ prompts: { query: 'ask: ', document: '' } }));
  await using running = await startEngine(engine, other.facts, OPTIONS);
  const vector = async (input: string, options = {}) => (await running.session.embed([input], options)).vectors[0]!;
  expect(far(await vector('abc'), await vector('abc', { pooling: 'mean' }))).toBe(0);
  expect(far(await vector('abc'), await vector('abc', { pooling: 'last' }))).toBeGreaterThan(0.01);
  expect(far(await vector('abc', { prompt: 'query' }), await vector('ask: abc'))).toBe(0);
  expect(far(await vector('abc', { prompt: 'unknown' }), await vector('abc'))).toBe(0);
  writeFileSync(join(other.facts.directory, '1_Pooling', 'config.json'), JSON.stringify({ pooling_mode_max_tokens: true }));
  await expect(startEngine(engine, other.facts, OPTIONS)).rejects.toMatchObject({ code: 'not_implemented', message: expect.stringContaining('max') });
});
