import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import type { ModelFacts } from '../../core/index.ts';
import { loadEmber } from '../../ember/index.ts';
import { createEmberEngine } from './ember-engine.ts';

const REFERENCE = join(import.meta.dirname, '../../../test/reference/embeddings/bert-reranker');
const [CLS, SEP, FIRST_LETTER] = [2, 3, 4];
const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());

/** The tiny reranker with a WordPiece vocabulary of its 120 tokens: four marks, letters that begin a word and letters that go on. */
function makeReranker(directory: string): ModelFacts {
  mkdirSync(directory, { recursive: true });
  for (const file of ['config.json', 'model.safetensors', 'model.safetensors.index.json']) cpSync(join(REFERENCE, file), join(directory, file));
  const letters = Array.from({ length: 58 }, (_, i) => String.fromCharCode(65 + i));
  const words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', ...letters, ...letters.map((letter) => `##${letter}`)];
  const mark = (content: string) => ({
    id: words.indexOf(content),
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  writeFileSync(
    join(directory, 'tokenizer.json'),
    JSON.stringify({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: words.slice(0, 4).map(mark),
      normalizer: null,
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: { type: 'BertProcessing', sep: ['[SEP]', SEP], cls: ['[CLS]', CLS] },
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab: Object.fromEntries(words.map((word, id) => [word, id])),
      },
    }),
  );
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

test('[engines E31] rerank by a classifier reads each document beside the query, and orders by its score', async () => {
  const facts = makeReranker(join(home.path, 'model'));
  const engine = createEmberEngine({ convertedDirectory: join(home.path, 'converted') });
  await using running = await startEngine(engine, facts, { contextTokens: 256, activations: 'f32', threads: 1, batchTokens: 64 });
  const query = 'what is red';
  const documents = ['a rose', 'the sky at noon', 'coal', 'blood and wine and poppies', 'x'];
  const { scores, promptTokens } = await running.session.rerank(query, documents);

  // By the library: ids of words of single letters, written out by hand.
  await using ember = await loadEmber({ directory: facts.directory, ranks: 1, activations: 'f32', contextTokens: 64, batchTokens: 64 });
  const ids = (text: string) => text.split(' ').flatMap((word) => [...word].map((letter, i) => FIRST_LETTER + (i > 0 ? 58 : 0) + letter.charCodeAt(0) - 65));
  const wanted: number[] = [];
  let count = 0;
  for (const document of documents) {
    const first = [CLS, ...ids(query), SEP];
    const tokens = [...first, ...ids(document), SEP];
    const more = { position: 0, output: 'hidden', temperature: 0, adjustments: [], candidates: 0 } as const;
    await ember.step([{ pages: Uint32Array.of(0, 1), tokens, secondText: first.length, ...more }]);
    wanted.push(1 / (1 + Math.exp(-ember.classify!(await ember.hidden(0, 1)))));
    count += tokens.length;
  }
  expect(promptTokens).toBe(count);
  for (const [i, score] of scores.entries()) expect(score).toBeCloseTo(wanted[i]!, 4);
  expect(new Set(scores.map((score) => score.toFixed(4))).size).toBe(documents.length);
  await expect(running.session.rerank(query, ['z'.repeat(80)])).rejects.toMatchObject({ code: 'context_length_exceeded' });
});
