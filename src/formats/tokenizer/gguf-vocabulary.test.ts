import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type GgufKey, openGguf, writeGguf } from '../gguf/index.ts';
import { toByteCharacters } from './byte-level.ts';
import { loadTokenizer, vocabularyFromGguf, vocabularyToGguf } from './index.ts';
import { createPreTokenizer } from './pre-tokenizer.ts';
import { preTokenizerByName, preTokenizerByPart, preTokenizerNames } from './pre-tokenizer-table.ts';

interface Golden {
  readonly model: string;
  readonly pre: string;
  readonly tokens: readonly string[];
  readonly token_type: readonly number[];
  readonly merges?: readonly string[];
  /** Ids of pieces, best first. */
  readonly order?: readonly number[];
}

const reference = join(import.meta.dirname, '../../../test/reference/tokenizer');
const KINDS = ['byte-level-smollm', 'byte-level-llama3', 'byte-level-qwen2', 'byte-fallback-legacy'];
const readJson = async <T>(path: string): Promise<T> => JSON.parse(await readFile(join(reference, path), 'utf8')) as T;
const probes = await readJson<string[]>('probe-texts.json');
const keyValue = (keys: readonly GgufKey[], key: string): unknown => keys.find((entry) => entry.key === `tokenizer.ggml.${key}`)?.value;

describe('[formats F14] vocabularies of four tokenizers', () => {
  test.each(KINDS)('%s: the arrays equal those of the golden', async (kind) => {
    const golden = await readJson<Golden>(`${kind}/gguf-vocabulary.json`);
    const keys = await vocabularyToGguf(join(reference, kind), golden.tokens.length);
    expect(keyValue(keys, 'model')).toBe(golden.model);
    expect(keyValue(keys, 'pre')).toBe(golden.pre);
    expect(keyValue(keys, 'tokens')).toEqual(golden.tokens);
    expect(keyValue(keys, 'token_type')).toEqual(golden.token_type);
    expect(keyValue(keys, 'merges')).toEqual(golden.merges);
    if (golden.order === undefined) return;
    const scores = keyValue(keys, 'scores') as number[];
    // Pieces that no merge makes are never reached; the others come in the order of the model's own scores.
    const reached = golden.order.filter((id) => scores[id]! > Math.min(...golden.order!.map((other) => scores[other]!)));
    expect(reached.length).toBeGreaterThan(300);
    expect(reached.toSorted((a, b) => scores[b]! - scores[a]!)).toEqual(reached);
  });

  test.each(KINDS)('%s: a tokenizer made from the arrays gives the ids of the source for 40 texts', async (kind) => {
    const golden = await readJson<Golden>(`${kind}/gguf-vocabulary.json`);
    const folder = await mkdtemp(join(tmpdir(), 'hearth-vocabulary-'));
    const tensor = { name: 'token_embd.weight', type: 'F32' as const, dims: [1, golden.tokens.length], data: new Uint8Array(4 * golden.tokens.length) };
    const architecture: GgufKey = { key: 'general.architecture', type: 'string', value: 'llama' };
    await writeGguf(join(folder, 'm.gguf'), [architecture, ...(await vocabularyToGguf(join(reference, kind), golden.tokens.length))], [tensor]);
    await using file = await openGguf(join(folder, 'm.gguf'));
    const files = vocabularyFromGguf(file.header);
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(files.tokenizer));
    // The reference library gives added tokens that the model does not list the ids behind it, in their order.
    const { model, added_tokens } = files.tokenizer as { model: { vocab: Record<string, number> }; added_tokens: { id: number; content: string }[] };
    const size = Object.keys(model.vocab).length;
    expect(added_tokens.map(({ content }, i) => model.vocab[content] ?? size + i)).toEqual(added_tokens.map(({ id }) => id));
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(files.tokenizerConfig));
    const [before, after] = [await loadTokenizer(join(reference, kind)), await loadTokenizer(folder)];
    for (const text of probes) {
      for (const special of [true, false]) {
        expect({ text, ids: after.encode(text, { special }) }).toEqual({ text, ids: before.encode(text, { special }) });
      }
      const ids = before.encode(text, { special: true });
      expect(after.decode(ids, { skipSpecial: true })).toBe(before.decode(ids, { skipSpecial: true }));
    }
  });

  test('a pre-tokenizer outside the table is refused', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hearth-vocabulary-'));
    const source = await readJson<Record<string, unknown>>('byte-level-smollm/tokenizer.json');
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify({ ...source, pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true } }));
    await expect(vocabularyToGguf(folder, 1000)).rejects.toMatchObject({ code: 'tokenizer_pre_unknown' });
  });
});

test('every name of the table leads to a pre-tokenizer that leads back to its entry', () => {
  for (const name of ['gpt-2', 'smollm', 'llama-bpe', 'qwen2', 'qwen35', 'tekken', 'gpt-4o', 'deepseek-v3']) {
    const entry = preTokenizerByName(name)!;
    expect(preTokenizerByPart(entry.preTokenizer, entry.ignoreMerges)).toBe(entry);
  }
  expect(preTokenizerByName('default')).toBeUndefined();
});

test('a WordPiece vocabulary goes into GGUF and back with its ids, marks and all', async () => {
  const source = join(reference, 'word-piece');
  const folder = await mkdtemp(join(tmpdir(), 'hearth-vocabulary-'));
  const before = await loadTokenizer(source);
  const rows = before.vocabularySize + 3;
  const keys = await vocabularyToGguf(source, rows);
  expect(keyValue(keys, 'model')).toBe('bert');
  const tokens = keyValue(keys, 'tokens') as string[];
  expect([tokens[2], tokens[5], tokens.at(-1)]).toEqual(['[CLS]', '▁!', `[PAD${rows - 1}]`]);
  const tensor = { name: 'token_embd.weight', type: 'F32' as const, dims: [1, rows], data: new Uint8Array(4 * rows) };
  await writeGguf(join(folder, 'm.gguf'), [{ key: 'general.architecture', type: 'string', value: 'bert' }, ...keys], [tensor]);
  await using file = await openGguf(join(folder, 'm.gguf'));
  const { tokenizer } = vocabularyFromGguf(file.header);
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  const after = await loadTokenizer(folder);
  for (const text of probes)
    for (const special of [true, false]) expect({ text, ids: after.encode(text, { special }) }).toEqual({ text, ids: before.encode(text, { special }) });
  expect(after.specialTokens).toEqual(before.specialTokens);
  const json = JSON.parse(await readFile(join(source, 'tokenizer.json'), 'utf8')) as Record<string, unknown>;
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify({ ...json, normalizer: { type: 'BertNormalizer', lowercase: false } }));
  await expect(vocabularyToGguf(folder, rows)).rejects.toMatchObject({ code: 'tokenizer_invalid' });
});

test('more tokens than rows of the embedding, and vocabularies of other kinds, are refused', async () => {
  await expect(vocabularyToGguf(join(reference, 'byte-level-smollm'), 10)).rejects.toMatchObject({ code: 'tokenizer_invalid' });
  await expect(vocabularyToGguf(join(reference, 'unigram'), 1000)).rejects.toMatchObject({ code: 'tokenizer_invalid' });
});

test('every pre-tokenizer of the table compiles, loses no byte, and cuts where its name promises', () => {
  const names = preTokenizerNames();
  expect(new Set(names).size).toBe(names.length);
  const cut = (name: string, text: string) => createPreTokenizer(preTokenizerByName(name)!.preTokenizer)([{ text, atStart: true }]).map((piece) => piece.text);
  for (const name of names) for (const text of probes) expect({ name, text: cut(name, text).join('') }).toEqual({ name, text: toByteCharacters(text) });
  const sample = "It's 1234 foo_bar\n";
  const expected: Record<string, string[]> = {
    'gpt-2': ['It', "'s", 'Ġ1234', 'Ġfoo', '_', 'bar', 'Ċ'],
    smollm: ['It', "'s", 'Ġ', '1', '2', '3', '4', 'Ġfoo', '_', 'bar', 'Ċ'],
    'llama-bpe': ['It', "'s", 'Ġ', '123', '4', 'Ġfoo', '_bar', 'Ċ'],
    qwen2: ['It', "'s", 'Ġ', '1', '2', '3', '4', 'Ġfoo', '_bar', 'Ċ'],
    'deepseek-llm': ['It', "'", 's', 'Ġ', '1', '2', '3', '4', 'Ġfoo', '_', 'bar', 'Ċ'],
    'deepseek-coder': ['It', "'", 's', 'Ġ', '1', '2', '3', '4', 'Ġfoo', '_', 'bar', 'Ċ'],
    falcon: ['It', "'", 's', 'Ġ', '123', '4', 'Ġfoo', '_', 'bar', 'Ċ'],
  };
  for (const [name, pieces] of Object.entries(expected)) expect({ name, pieces: cut(name, sample) }).toEqual({ name, pieces });
});

test('an older file without a key for the end of a turn gets the token that is known for it', async () => {
  const golden = await readJson<Golden>('byte-level-smollm/gguf-vocabulary.json');
  const folder = await mkdtemp(join(tmpdir(), 'hearth-vocabulary-'));
  const tensor = { name: 'token_embd.weight', type: 'F32' as const, dims: [1, golden.tokens.length], data: new Uint8Array(4 * golden.tokens.length) };
  const keys = (await vocabularyToGguf(join(reference, 'byte-level-smollm'), golden.tokens.length)).filter(({ key }) => !/\.(eos|eot|eom)_token_id$/.test(key));
  const ends = async (name: string, more: readonly GgufKey[]) => {
    await writeGguf(join(folder, name), [{ key: 'general.architecture', type: 'string', value: 'llama' }, ...keys, ...more], [tensor]);
    await using file = await openGguf(join(folder, name));
    return vocabularyFromGguf(file.header).generationConfig['eos_token_id'];
  };
  const [text, turn] = [golden.tokens.indexOf('<|endoftext|>'), golden.tokens.indexOf('<|im_end|>')];
  const eos: GgufKey = { key: 'tokenizer.ggml.eos_token_id', type: 'u32', value: text };
  expect(await ends('a.gguf', [eos])).toEqual([text, turn]);
  expect(await ends('b.gguf', [eos, { key: 'tokenizer.ggml.eot_token_id', type: 'u32', value: text }])).toBe(text);
  expect(await ends('c.gguf', [eos, { key: 'hearth.converter_version', type: 'string', value: '1' }])).toBe(text);
});
