import { copyFile, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadTokenizer } from './index.ts';
import { readSentencePieceModel } from './sentencepiece-model.ts';

const reference = join(import.meta.dirname, '../../../test/reference/tokenizer');
const readJson = async <T>(path: string): Promise<T> => JSON.parse(await readFile(join(reference, path), 'utf8')) as T;
const model = join(reference, 'sentencepiece-bpe.model');
const probes = await readJson<string[]>('probe-texts.json');

test('a SentencePiece BPE model gives the ids of the SentencePiece library for 40 texts, and of its tokenizer.json where control tokens count', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hearth-sentencepiece-'));
  await copyFile(model, join(folder, 'tokenizer.model'));
  const tokenizer = await loadTokenizer(folder);
  const library = await readJson<{ ids: number[][] }>('sentencepiece-bpe.json');
  const converted = await readJson<{ ids: number[][] }>('byte-fallback-legacy/golden.json');
  for (const [index, text] of probes.entries()) {
    expect({ text, ids: tokenizer.encode(text, { special: false }) }).toEqual({ text, ids: library.ids[index] });
    expect({ text, ids: tokenizer.encode(text, { special: true }) }).toEqual({ text, ids: converted.ids[index] });
  }
  expect([...tokenizer.specialTokens.keys()]).toEqual(['<unk>', '<s>', '</s>']);
});

test('a SentencePiece Unigram model with a character map gives the ids of the SentencePiece library', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hearth-sentencepiece-'));
  await copyFile(join(reference, 'sentencepiece-unigram.model'), join(folder, 'tokenizer.model'));
  const tokenizer = await loadTokenizer(folder);
  const library = await readJson<{ ids: number[][] }>('sentencepiece-unigram.json');
  for (const [index, text] of probes.entries()) {
    // 110 times the same letter can be cut in several ways of equal score; there the rounding of sums decides the order.
    const order = (ids: readonly number[]): readonly number[] => (text.startsWith('aaaa') ? ids.toSorted((a, b) => a - b) : ids);
    expect({ text, ids: order(tokenizer.encode(text, { special: false })) }).toEqual({ text, ids: order(library.ids[index]!) });
  }
});

test('a SentencePiece file says its marks of begin and end; tokens beyond it come from the files beside it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hearth-sentencepiece-'));
  await copyFile(model, join(folder, 'tokenizer.model'));
  const alone = await loadTokenizer(folder);
  const [bos, eos] = [alone.specialTokens.get('<s>')!, alone.specialTokens.get('</s>')!];
  expect(alone).toMatchObject({ bosId: bos, eosIds: [eos], addBos: true });
  const size = alone.vocabularySize;
  const decoder = {
    [size]: { content: '<|user|>', special: true },
    [size + 1]: { content: 'aloha', special: false },
    wrong: { content: 'x' },
    '-1': { content: 'y' },
  };
  await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ add_bos_token: false, added_tokens_decoder: decoder }));
  await writeFile(join(folder, 'added_tokens.json'), JSON.stringify({ '<|user|>': size, '<|late|>': size + 2, odd: 'text' }));
  const more = await loadTokenizer(folder);
  expect(more.addBos).toBe(false);
  expect(more.vocabularySize).toBe(size + 3);
  expect(more.encode('<|user|>', { special: true })).toEqual([size]);
  expect(more.encode('<|user|>', { special: false })).not.toContain(size);
  expect(more.encode('aloha', { special: false })).toEqual([size + 1]);
  expect(more.decode([size, size + 2], { skipSpecial: true })).toBe('<|late|>');
  expect(more.encode('plain text', { special: false })).toEqual(alone.encode('plain text', { special: false }));
});

test('a model that is cut or changed is refused or read, and nothing else happens', async () => {
  const bytes = await readFile(model);
  const refused = expect.objectContaining({ code: 'tokenizer_invalid' });
  expect(() => readSentencePieceModel(new Uint8Array(), 'm')).toThrow(refused);
  for (let length = 1; length < bytes.length; length += 37) {
    try {
      readSentencePieceModel(bytes.subarray(0, length), 'm');
    } catch (error) {
      expect(error).toEqual(refused);
    }
  }
  const folder = await mkdtemp(join(tmpdir(), 'hearth-sentencepiece-'));
  await writeFile(join(folder, 'tokenizer.model'), 'not a model');
  await expect(loadTokenizer(folder)).rejects.toMatchObject({ code: 'tokenizer_invalid' });
});
