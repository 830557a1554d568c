import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadTokenizer } from './index.ts';

const folder = join(import.meta.dirname, '../../../test/reference/tokenizer');
const kinds = ['byte-level-smollm', 'byte-level-llama3', 'byte-level-qwen2', 'byte-fallback-legacy', 'byte-fallback-metaspace', 'unigram', 'word-piece'];
const readJson = async <T>(path: string): Promise<T> => JSON.parse(await readFile(join(folder, path), 'utf8')) as T;
const probes = await readJson<string[]>('probe-texts.json');

describe.each(kinds)('%s', (kind) => {
  test('[engines E21] gives the ids of the reference tokenizer for 40 texts', async () => {
    const tokenizer = await loadTokenizer(join(folder, kind));
    const golden = await readJson<{ ids: number[][] }>(`${kind}/golden.json`);
    expect(probes).toHaveLength(40);
    for (const [index, text] of probes.entries()) {
      expect({ text, ids: tokenizer.encode(text, { special: true }) }).toEqual({ text, ids: golden.ids[index] });
    }
  });

  test('decodes ids to the text that the reference gives', async () => {
    const tokenizer = await loadTokenizer(join(folder, kind));
    const golden = await readJson<{ ids: number[][]; decoded: string[] }>(`${kind}/golden.json`);
    for (const [index, ids] of golden.ids.entries()) {
      expect({ index, text: tokenizer.decode(ids, { skipSpecial: false }) }).toEqual({ index, text: golden.decoded[index] });
    }
  });
});

test.each(['added-tokens-byte-level-smollm', 'added-tokens-byte-fallback-legacy'])(
  '%s: added tokens are cut out of text as the reference does it',
  async (kind) => {
    const tokenizer = await loadTokenizer(join(folder, kind));
    const golden = await readJson<{ text: string; ids: number[] }[]>(`${kind}/golden.json`);
    expect(golden.length).toBeGreaterThan(20);
    expect(golden.map(({ text }) => ({ text, ids: tokenizer.encode(text, { special: true }) }))).toEqual(golden);
  },
);
