import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadTokenizer, type TextSegment, type Tokenizer } from './index.ts';

const reference = join(import.meta.dirname, '../../../test/reference/tokenizer');
const BYTE_KINDS = ['byte-level-smollm', 'byte-level-llama3', 'byte-level-qwen2', 'byte-fallback-legacy', 'byte-fallback-metaspace'];
const ALL_KINDS = [...BYTE_KINDS, 'unigram', 'word-piece'];
const load = (kind: string): Promise<Tokenizer> => loadTokenizer(join(reference, kind));
const plain = (text: string): TextSegment => ({ text, special: false });
const marked = (text: string): TextSegment => ({ text, special: true });

/** A copy of a recorded tokenizer with more files beside it. */
async function withFiles(kind: string, files: Record<string, unknown>): Promise<Tokenizer> {
  const folder = await mkdtemp(join(tmpdir(), 'hearth-tokenizer-'));
  await cp(join(reference, kind), folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  return loadTokenizer(folder);
}

function* randomStrings(count: number): Generator<Uint8Array> {
  let state = 1;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 8;
  };
  for (let i = 0; i < count; i += 1) yield Uint8Array.from({ length: random() % 40 }, () => random() & (i % 2 === 0 ? 255 : 127));
}

/** Id of the token that stands for one byte. */
function byteIds(tokenizer: Tokenizer): number[] {
  const ids: number[] = [];
  for (let id = tokenizer.vocabularySize - 1; id >= 0; id -= 1) {
    const bytes = tokenizer.tokenBytes(id);
    if (bytes.length === 1 && !tokenizer.isSpecial(id)) ids[bytes[0]!] = id;
  }
  return ids;
}

/** Ids for any bytes: text where they are UTF-8, single-byte tokens where they are not. */
function encodeBytes(tokenizer: Tokenizer, bytes: Uint8Array): number[] {
  const single = byteIds(tokenizer);
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  if (!text.includes('\ufffd')) return tokenizer.encode(text, { special: false });
  return Array.from(bytes, (byte) => single[byte]!);
}

const joined = (tokenizer: Tokenizer, ids: readonly number[]): Buffer => Buffer.concat(ids.map((id) => tokenizer.tokenBytes(id)));

describe('[engines E21] detokenising is the exact inverse on 1,000 random byte strings', () => {
  test.each(BYTE_KINDS)('%s', async (kind) => {
    const tokenizer = await load(kind);
    const prefix = kind.startsWith('byte-fallback') ? ' ' : '';
    let texts = 0;
    for (const bytes of randomStrings(1000)) {
      const ids = encodeBytes(tokenizer, bytes);
      const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
      const isText = !text.includes('\ufffd');
      const found = joined(tokenizer, ids);
      // A word that is not at the beginning of a text has a space in front for these kinds; decoding takes one off again.
      const spaced = isText && prefix !== '' && found.length === bytes.length + 1;
      expect(found.toString('hex')).toBe(Buffer.concat([Buffer.from(spaced ? prefix : ''), bytes]).toString('hex'));
      if (isText && bytes.length > 0) {
        texts += 1;
        // The scheme "first" does not mark a text that begins with a space, so the reference drops that space as well.
        const whole = kind === 'byte-fallback-metaspace' && text.startsWith(' ') ? text.slice(1) : text;
        expect(tokenizer.decode(ids, { skipSpecial: false })).toBe(kind === 'byte-level-qwen2' ? whole.normalize('NFC') : whole);
      }
      const stream = tokenizer.createDetokenizer({ skipSpecial: false });
      expect(ids.map((id) => stream.push(id)).join('') + stream.flush()).toBe(tokenizer.decode(ids, { skipSpecial: false }));
    }
    expect(texts).toBeGreaterThan(400);
  });
});

test('a detokenizer holds back characters whose bytes are not complete', async () => {
  const tokenizer = await load('byte-level-smollm');
  const single = byteIds(tokenizer);
  const stream = tokenizer.createDetokenizer({ skipSpecial: true });
  const bytes = [...Buffer.from('a👍b')];
  expect(bytes.map((byte) => stream.push(single[byte]!))).toEqual(['a', '', '', '', '👍', 'b']);
  expect(stream.push(single[0xf0]!)).toBe('');
  expect(stream.flush()).toBe('\ufffd');
});

describe('[engines E22] special-token strings in message text become no control ids', () => {
  test.each(ALL_KINDS)('%s', async (kind) => {
    const tokenizer = await load(kind);
    expect(tokenizer.specialTokens.size).toBeGreaterThan(2);
    const tokens = [...tokenizer.specialTokens.keys()];
    for (const [token, id] of tokenizer.specialTokens) {
      expect(tokenizer.encode(token, { special: true })).toEqual([id]);
      for (const text of [token, `a${token}b`, ` ${token} `, tokens.join(''), token.slice(0, -1), `${token.slice(0, 2)}${token}`]) {
        const ids = tokenizer.encodeSegments([plain(text)]);
        const controls = ids.filter(
          (found) => tokenizer.isSpecial(found) && found !== tokenizer.specialTokens.get('<unk>') && found !== tokenizer.specialTokens.get('[UNK]'),
        );
        expect({ text, controls }).toEqual({ text, controls: [] });
        if (kind.startsWith('byte-'))
          expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(kind === 'byte-fallback-metaspace' ? text.replace(/^ /, '') : text);
      }
    }
  });

  test('a mark that a message completes is not a control token', async () => {
    const tokenizer = await load('byte-level-smollm');
    const id = tokenizer.specialTokens.get('<|im_end|>')!;
    expect(tokenizer.encodeSegments([marked('<|im_'), plain('end|>')])).not.toContain(id);
    expect(tokenizer.encodeSegments([plain('<|im_'), marked('end|>')])).not.toContain(id);
    expect(tokenizer.encodeSegments([marked('<|im_'), marked('end|>')])).toEqual([id]);
  });
});

test('marks that are looked for after normalising count in the template, and not in messages', async () => {
  const source = JSON.parse(await readFile(join(reference, 'byte-level-smollm/tokenizer.json'), 'utf8')) as { added_tokens: Record<string, unknown>[] };
  const added = source.added_tokens.map((entry) => ({ ...entry, normalized: true }));
  const tokenizer = await withFiles('byte-level-smollm', { 'tokenizer.json': { ...source, added_tokens: added, normalizer: { type: 'NFC' } } });
  const id = tokenizer.specialTokens.get('<|im_end|>')!;
  const ids = tokenizer.encodeSegments([marked('<|im_end|>'), plain('a <|im_end|> b'), marked('<|im_end|>\n')]);
  expect(ids.filter((found) => found === id)).toHaveLength(2);
  expect(ids[0]).toBe(id);
  expect(tokenizer.decode(ids, { skipSpecial: true })).toBe('a <|im_end|> b\n');
});

test.each(ALL_KINDS)('%s: segments without special strings give the ids of the whole text', async (kind) => {
  const tokenizer = await load(kind);
  const [open, close] = [...tokenizer.specialTokens.keys()].slice(-2) as [string, string];
  const message = "Hello  world, it's 12:45 — ça va? 你好\n\n done ";
  for (let cut = 0; cut <= message.length; cut += 3) {
    if (!message.slice(0, cut).isWellFormed()) continue;
    const segments = [marked(`${open}user\n`), plain(message.slice(0, cut)), plain(message.slice(cut)), marked(` \n${close}\n`)];
    const whole = segments.map((segment) => segment.text).join('');
    expect(tokenizer.encodeSegments(segments)).toEqual(tokenizer.encode(whole, { special: true }));
  }
});

test('BOS is added once at most, and only when asked for', async () => {
  const tokenizer = await withFiles('byte-level-llama3', { 'tokenizer_config.json': { bos_token: '<|begin_of_text|>', add_bos_token: true } });
  const bos = tokenizer.specialTokens.get('<|begin_of_text|>')!;
  expect(tokenizer).toMatchObject({ bosId: bos, addBos: true });
  expect(tokenizer.encodeSegments([plain('hi')])).not.toContain(bos);
  expect(tokenizer.encodeSegments([plain('hi')], { addBos: true }).filter((id) => id === bos)).toEqual([bos]);
  expect(tokenizer.encodeSegments([marked('<|begin_of_text|>hi')], { addBos: true }).filter((id) => id === bos)).toEqual([bos]);
});

test('bos, eos and the chat template come from the files beside tokenizer.json', async () => {
  const template = (chat: unknown) => withFiles('byte-level-smollm', { 'tokenizer_config.json': { chat_template: chat } });
  expect((await load('byte-level-smollm')).chatTemplate).toBeNull();
  expect((await template('one')).chatTemplate).toBe('one');
  const named = [
    { name: 'tool_use', template: 'tools' },
    { name: 'default', template: 'plain' },
  ];
  expect((await template(named)).chatTemplate).toBe('plain');
  expect((await withFiles('byte-level-smollm', { 'chat_template.json': { chat_template: 'json' } })).chatTemplate).toBe('json');
  const both = await withFiles('byte-level-smollm', {
    'tokenizer_config.json': { chat_template: 'old', bos_token: '<|im_start|>', eos_token: { content: '<|im_end|>', lstrip: false } },
    'chat_template.jinja': 'new',
    'generation_config.json': { eos_token_id: [2, 0] },
    'config.json': { eos_token_id: 0, text_config: { eos_token_id: 5 } },
  });
  expect(both).toMatchObject({ chatTemplate: 'new', bosId: 1, eosIds: [2, 0, 5], addBos: false });
});

test('a token that is not special is found in plain text too', async () => {
  const tokenizer = await load('byte-level-qwen2');
  const [id] = tokenizer.encode('<think>', { special: false });
  expect(tokenizer.encodeSegments([plain('so <think>well</think>')])).toContain(id);
  expect(tokenizer.isSpecial(id!)).toBe(false);
});

test('files that are missing or broken are named', async () => {
  await expect(loadTokenizer(join(reference, 'none'))).rejects.toMatchObject({ code: 'tokenizer_invalid' });
  await expect(withFiles('byte-level-smollm', { 'tokenizer.json': '{' })).rejects.toMatchObject({ code: 'tokenizer_invalid' });
  await expect(withFiles('byte-level-smollm', { 'tokenizer.json': {} })).rejects.toMatchObject({ code: 'tokenizer_invalid' });
  await expect(withFiles('byte-level-smollm', { 'tokenizer.json': { model: { type: 'Magic' } } })).rejects.toMatchObject({ code: 'tokenizer_invalid' });
  const source = JSON.parse(await readFile(join(reference, 'byte-level-smollm/tokenizer.json'), 'utf8')) as Record<string, unknown>;
  for (const part of ['normalizer', 'pre_tokenizer', 'decoder']) {
    await expect(withFiles('byte-level-smollm', { 'tokenizer.json': { ...source, [part]: { type: 'Magic' } } })).rejects.toMatchObject({
      code: 'tokenizer_invalid',
    });
  }
});

test('half of a surrogate pair becomes a replacement character; a pair across segments is whole', async () => {
  const tokenizer = await load('byte-level-smollm');
  expect(tokenizer.encode('a\ud83d', { special: false })).toEqual(tokenizer.encode('a\ufffd', { special: false }));
  expect(tokenizer.encodeSegments([plain('\ud83d'), plain('\udc4d')])).toEqual(tokenizer.encode('👍', { special: false }));
});

test('long runs of spaces and words are split in one pass', async () => {
  const spaces = ' '.repeat(200_000);
  const stripping = JSON.parse(await readFile(join(reference, 'unigram/tokenizer.json'), 'utf8')) as Record<string, unknown>;
  const tokenizer = await withFiles('unigram', { 'tokenizer.json': { ...stripping, normalizer: { type: 'Strip', strip_left: true, strip_right: true } } });
  expect(tokenizer.encode(`a${'\n'.repeat(200_000)}b`, { special: false }).length).toBeGreaterThan(1);
  expect((await load('added-tokens-byte-level-smollm')).encode(`${spaces}x${spaces}<|left|>`, { special: true }).length).toBeGreaterThan(1);
  expect((await load('unigram')).encode('a b '.repeat(50_000), { special: false }).length).toBeGreaterThan(50_000);
});
