import { appendFile, mkdtemp, open, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ARCHITECTURE, floatKey, key, listKey, numberKey, type RawFile, rawFile, tensor, text, textKey, u32, u64 } from '../../../test/support/gguf-bytes.ts';
import { GGUF_CODES, type GgufCode } from '../../contract/index.ts';
import { openGguf, parseGgufHeader } from './index.ts';
import { type ReadableFile, readHeaderStably } from './open-gguf.ts';

const codeOf = (bytes: Uint8Array, size = bytes.length, fileName?: string): string => {
  const parsed = parseGgufHeader(bytes, size, fileName === undefined ? {} : { fileName });
  return parsed.ok ? 'ok' : parsed.code;
};
const embedding = (rows: number): Buffer => tensor('token_embd.weight', [8, rows], 0, 0);
const tokens = (count: number): Buffer =>
  listKey(
    'tokenizer.ggml.tokens',
    'string',
    Array.from({ length: count }, (_, id) => text(`t${id}`)),
  );
const keyed = (...keys: Buffer[]): RawFile => ({ keys: [ARCHITECTURE, ...keys] });
const tensorOnly = (...tensors: Buffer[]): RawFile => ({ tensors, dataBytes: 4096 });
const split = (no: number, count: number, total: number): Buffer[] => [
  numberKey('split.no', no),
  numberKey('split.count', count),
  numberKey('split.tensors.count', total),
];

/** A file for every code that the parse itself gives. */
const BROKEN: readonly (readonly [GgufCode, string, RawFile, string?])[] = [
  ['gg_magic', 'another magic', { magic: 'GGML' }],
  ['gg_endian', 'a big-endian version', { version: Buffer.from([0, 0, 0, 3]) }],
  ['gg_version', 'version 1', { version: u32(1) }],
  ['gg_version', 'version 4', { version: u32(4) }],
  ['gg_tensor_count', 'too many tensors', { tensorCount: 65_537 }],
  ['gg_tensor_count', 'a count beyond 2^53', { tensorCount: 2n ** 63n }],
  ['gg_tensor_count', 'no tensors', { tensors: [] }],
  ['gg_tensor_count', '2^60 tensors', { tensorCount: 2n ** 60n }],
  ['gg_kv_count', 'too many keys', { keyCount: 16_385 }],
  ['gg_kv_count', '2^60 keys', { keyCount: 2n ** 60n }],
  ['gg_key_empty', 'an empty key', keyed(textKey('', 'x'))],
  ['gg_key_long', 'a key of 257 bytes', keyed(textKey('k'.repeat(257), 'x'))],
  ['gg_key_chars', 'a space in a key', keyed(textKey('a b', 'x'))],
  ['gg_string_utf8', 'a key that is not UTF-8', keyed(Buffer.concat([text(Buffer.from([0xff, 0xfe])), u32(8), text('x')]))],
  ['gg_key_duplicate', 'a key twice', keyed(textKey('a', 'x'), textKey('a', 'y'))],
  ['gg_value_type', 'value type 13', keyed(Buffer.concat([text('a'), u32(13)]))],
  ['gg_array_nested', 'a list of lists', keyed(listKey('a', 'array', [], 0))],
  ['gg_array_type', 'a list of type 99', keyed(Buffer.concat([text('a'), u32(9), u32(99), u64(0)]))],
  ['gg_array_long', 'a list that is too long', keyed(listKey('a', 'u8', [], 4_194_305))],
  ['gg_array_long', 'a list of 2^60', keyed(listKey('a', 'u8', [], 2 ** 60))],
  ['gg_array_nested', 'a list of lists of lists', keyed(listKey('a', 'array', [u32(9), u64(1), u32(9), u64(1), u32(0), u64(0)], 1))],
  ['gg_string_long', 'a string of 2^60', keyed(Buffer.concat([text('a'), u32(8), u64(2n ** 60n)]))],
  ['gg_truncated', 'a list longer than the file', keyed(listKey('a', 'f64', [], 4_000_000))],
  ['gg_string_long', 'a string of 16 MiB and one', keyed(Buffer.concat([text('a'), u32(8), u64(16 * 2 ** 20 + 1)]))],
  ['gg_string_long', 'a token of 4 KiB and one', keyed(listKey('tokenizer.ggml.tokens', 'string', [text('x'.repeat(4097))]))],
  ['gg_string_long', 'a template of 1 MiB and one', keyed(Buffer.concat([text('tokenizer.chat_template'), u32(8), u64(2 ** 20 + 1)]))],
  ['gg_string_utf8', 'a template that is not UTF-8', keyed(textKey('tokenizer.chat_template', Buffer.from([0xc3])))],
  ['gg_bool', 'a truth value of 2', keyed(key('a', 'bool', Buffer.from([2])))],
  ['gg_bool', 'a truth value of 2 in a list', keyed(listKey('a', 'bool', [Buffer.from([0, 1, 2])], 3))],
  ['gg_alignment_type', 'alignment as a u64', keyed(key('general.alignment', 'u64', u64(32)))],
  ['gg_alignment', 'alignment 24', keyed(numberKey('general.alignment', 24))],
  ['gg_alignment', 'alignment 4', keyed(numberKey('general.alignment', 4))],
  ['gg_alignment', 'alignment 0', keyed(numberKey('general.alignment', 0))],
  ['gg_alignment', 'alignment 3', keyed(numberKey('general.alignment', 3))],
  ['gg_alignment', 'alignment 2^31', keyed(numberKey('general.alignment', 2 ** 31))],
  ['gg_name_empty', 'a tensor without a name', tensorOnly(tensor('', [8], 0, 0))],
  ['gg_name_long', 'a name of 64 bytes', tensorOnly(tensor('n'.repeat(64), [8], 0, 0))],
  ['gg_name_chars', 'a line break in a name', tensorOnly(tensor('a\nb', [8], 0, 0))],
  ['gg_name_duplicate', 'a tensor twice', tensorOnly(tensor('a', [8], 0, 0), tensor('a', [8], 0, 32))],
  ['gg_rank', 'no dimensions', tensorOnly(tensor('a', [], 0, 0))],
  ['gg_rank', 'five dimensions', tensorOnly(tensor('a', [1, 1, 1, 1, 1], 0, 0))],
  ['gg_dim', 'a dimension of 0', tensorOnly(tensor('a', [0], 0, 0))],
  ['gg_dim', 'a dimension of 2^63', tensorOnly(tensor('a', [2n ** 63n], 0, 0))],
  ['gg_dim', 'a dimension of 2^64 − 1', tensorOnly(tensor('a', [2n ** 64n - 1n], 0, 0))],
  ['gg_dim', 'a dimension beyond 2^40', tensorOnly(tensor('a', [2n ** 40n + 1n], 0, 0))],
  ['gg_elements_overflow', '2^63 elements', tensorOnly(tensor('a', [2n ** 40n, 2n ** 23n], 0, 0))],
  ['gg_type_unknown', 'type 42', tensorOnly(tensor('a', [8], 42, 0))],
  ['gg_type_removed', 'type 4', tensorOnly(tensor('a', [32], 4, 0))],
  ['gg_row_block', 'rows of 16 in blocks of 32', tensorOnly(tensor('a', [16, 2], 3, 0))],
  ['gg_bytes_overflow', '2^64 bytes', tensorOnly(tensor('a', [2n ** 40n, 2n ** 21n], 28, 0))],
  ['gg_offset_alignment', 'an offset of 8', tensorOnly(tensor('a', [8], 0, 8))],
  ['gg_offset_order', 'a gap', tensorOnly(tensor('a', [8], 0, 0), tensor('b', [8], 0, 64))],
  ['gg_offset_order', 'two tensors in one place', tensorOnly(tensor('a', [8], 0, 0), tensor('b', [8], 0, 0))],
  ['gg_past_eof', 'a tensor of a terabyte in a small file', tensorOnly(tensor('a', [2n ** 30n, 1024n], 24, 0))],
  ['gg_past_eof', 'data beyond the end', { ...tensorOnly(tensor('a', [8, 512], 0, 0)), dataBytes: 512 }],
  ['gg_trailing_bytes', 'bytes after the last tensor', { dataBytes: 32 + 33 }],
  ['gg_architecture', 'no architecture', { keys: [] }],
  ['gg_architecture', 'an empty architecture', { keys: [textKey('general.architecture', '')] }],
  ['gg_architecture', 'a number as architecture', { keys: [numberKey('general.architecture', 1)] }],
  ['gg_vocab_rows', 'fewer rows than tokens', { ...keyed(tokens(5)), tensors: [embedding(4)], dataBytes: 128 }],
  [
    'gg_vocab_rows',
    'too few token types',
    { ...keyed(tokens(4), listKey('tokenizer.ggml.token_type', 'i32', [u32(1)])), tensors: [embedding(4)], dataBytes: 128 },
  ],
  [
    'gg_token_id',
    'a BOS outside the vocabulary',
    { ...keyed(tokens(4), numberKey('tokenizer.ggml.bos_token_id', 4)), tensors: [embedding(4)], dataBytes: 128 },
  ],
  ['gg_param_range', 'no layers', keyed(numberKey('llama.block_count', 0))],
  ['gg_param_range', '1,025 heads', keyed(numberKey('llama.attention.head_count', 1025))],
  ['gg_param_range', '1,025 heads in a list', keyed(listKey('llama.attention.head_count_kv', 'u32', [u32(0), u32(1025)]))],
  ['gg_param_range', 'a list of 1,025 layers', keyed(listKey('llama.attention.head_count', 'u8', [Buffer.alloc(1025, 1)], 1025))],
  ['gg_param_range', 'an infinite epsilon', keyed(floatKey('llama.attention.layer_norm_rms_epsilon', Number.POSITIVE_INFINITY))],
  ['gg_split', 'a part number beyond the count', keyed(...split(2, 2, 1))],
  ['gg_split', 'more tensors than the whole has', keyed(...split(0, 2, 0))],
  ['gg_split', 'another part than the name says', keyed(...split(0, 2, 3)), 'm-00002-of-00002.gguf'],
  ['gg_split', 'a part without a name of parts', keyed(...split(0, 2, 3)), 'm.gguf'],
  ['gg_split', 'a name of parts without split keys', {}, 'm-00001-of-00002.gguf'],
];

test('a small sound file is accepted', () => {
  expect(codeOf(rawFile())).toBe('ok');
  expect(codeOf(rawFile({ version: u32(2) }))).toBe('ok');
  expect(codeOf(rawFile({ dataBytes: 64 }))).toBe('ok');
  expect(codeOf(rawFile(keyed(...split(0, 2, 3))), undefined, 'm-00001-of-00002.gguf')).toBe('ok');
});

describe('[formats F21] [security G22] every code of the strict parse has a file that gets it', () => {
  test.each(BROKEN.map(([code, title, file, fileName]) => ({ code, title, file, fileName })))('$code: $title', ({ code, file, fileName }) => {
    const bytes = rawFile(file);
    expect(codeOf(bytes, bytes.length, fileName)).toBe(code);
  });

  test('gg_header_size: a header larger than 128 MiB', () => {
    const lists = Array.from({ length: 9 }, (_, index) => Buffer.concat([text(`a${index}`), u32(8), u64(16 * 2 ** 20), Buffer.alloc(16 * 2 ** 20)]));
    expect(codeOf(rawFile(keyed(...lists)))).toBe('gg_header_size');
  });

  test('gg_not_regular, gg_read_failed: a folder and a missing file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hearth-gguf-'));
    await expect(openGguf(folder)).rejects.toMatchObject({ code: 'gg_not_regular' });
    await expect(openGguf(join(folder, 'none.gguf'))).rejects.toMatchObject({ code: 'gg_read_failed' });
  });

  test('the table misses no code', () => {
    const elsewhere = ['gg_header_size', 'gg_not_regular', 'gg_read_failed', 'gg_file_changed'];
    expect(new Set([...BROKEN.map(([code]) => code), ...elsewhere])).toEqual(new Set(GGUF_CODES));
  });

  test('a file cut at any byte of its header is refused', async () => {
    const keys = [ARCHITECTURE, tokens(4), listKey('n', 'f64', [u64(0), u64(1)]), key('b', 'bool', Buffer.from([1])), numberKey('general.alignment', 64)];
    const bytes = rawFile({ keys, tensors: [embedding(4), tensor('output_norm.weight', [8], 0, 128)], dataBytes: 192, alignment: 64 });
    expect(codeOf(bytes)).toBe('ok');
    const parsed = parseGgufHeader(bytes, bytes.length);
    const end = parsed.ok ? parsed.header.dataOffset : 0;
    for (let length = 0; length < end; length += 1) {
      expect(['gg_truncated', 'gg_past_eof']).toContain(codeOf(bytes.subarray(0, length)));
    }
  });

  test('random bytes after a sound beginning never make the parse throw', () => {
    const sound = rawFile({ keys: [ARCHITECTURE, tokens(4), numberKey('llama.block_count', 1)], tensors: [embedding(4)], dataBytes: 128 });
    let state = 12345;
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    for (let round = 0; round < 3000; round += 1) {
      const bytes = Buffer.from(sound);
      for (let change = 0; change <= random(4); change += 1) bytes[random(bytes.length)] = random(256);
      expect(() => parseGgufHeader(bytes, bytes.length)).not.toThrow();
    }
  });

  test('gg_file_changed: a file that grows while it is opened', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'hearth-gguf-')), 'm.gguf');
    await writeFile(path, rawFile());
    const handle = await open(path);
    const growing: ReadableFile = {
      stat: handle.stat.bind(handle),
      read: (async (bytes: Uint8Array, ...rest: [number, number, number]) => {
        const result = await handle.read(bytes, ...rest);
        await appendFile(path, 'x');
        return result;
      }) as ReadableFile['read'],
    };
    await expect(readHeaderStably(growing, path)).rejects.toMatchObject({ code: 'gg_file_changed' });
    await handle.close();
  });
});
