import { mkdtemp, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decodeBlocks, type GgufKey, ggufArray, ggufNumber, ggufNumbers, ggufString, ggufStrings, openGguf, writeGguf } from './index.ts';

const recorded = join(import.meta.dirname, '../../../test/reference/gguf/writer.gguf');
const folder = () => mkdtemp(join(tmpdir(), 'hearth-gguf-'));

const KEYS: GgufKey[] = [
  { key: 'general.architecture', type: 'string', value: 'llama' },
  { key: 'general.name', type: 'string', value: 'Zwölf' },
  { key: 'a.u8', type: 'u8', value: 255 },
  { key: 'a.i8', type: 'i8', value: -128 },
  { key: 'a.u16', type: 'u16', value: 65_535 },
  { key: 'a.i16', type: 'i16', value: -32_768 },
  { key: 'a.i32', type: 'i32', value: -5 },
  { key: 'a.f32', type: 'f32', value: 0.5 },
  { key: 'a.f64', type: 'f64', value: 0.1 },
  { key: 'a.u64', type: 'u64', value: 2n ** 63n + 1n },
  { key: 'a.i64', type: 'i64', value: -7 },
  { key: 'a.bool', type: 'bool', value: true },
  { key: 'a.list', type: 'i32', value: [1, -2, 3] },
  { key: 'a.names', type: 'string', value: ['x', '', 'ÿ'] },
];

test('[formats F20] files by llama.cpp’s own writer and by this one parse, and unknown keys are kept', async () => {
  await using theirs = await openGguf(recorded);
  expect(ggufString(theirs.header, 'general.name')).toBe('tiny');
  expect(ggufStrings(theirs.header, 'tokenizer.ggml.tokens')).toEqual(['a', 'b', 'ab', '<|end|>']);
  expect(ggufNumbers(theirs.header, 'tokenizer.ggml.token_type')).toEqual([1, 1, 1, 3]);
  expect(ggufNumber(theirs.header, 'llama.attention.head_count_kv')).toBe(1);
  expect(theirs.header.keys.get('hearth.test.flag')).toEqual({ type: 'bool', value: true });
  expect(ggufNumbers(theirs.header, 'hearth.test.numbers')).toEqual([1.5, -2.5]);
  expect(theirs.header.keys.get('hearth.test.long')).toEqual({ type: 'i64', value: -(2 ** 40) });
  expect(theirs.header.keys.get('hearth.test.huge')).toEqual({ type: 'u64', value: 2n ** 63n + 1n });
  expect(theirs.header.tensors.get('blk.0.attn_q.weight')).toMatchObject({ type: 'Q4_1', dims: [32, 32], bytes: 640 });
  expect([...decodeBlocks('F32', await theirs.readTensor('blk.0.attn_norm.weight'))]).toEqual(Array(32).fill(1));

  const path = join(await folder(), 'own.gguf');
  await writeGguf(path, KEYS, [{ name: 'w.weight', type: 'F32', dims: [3, 2], data: new Uint8Array(new Float32Array([1, 2, 3, 4, 5, 6]).buffer) }]);
  await using ours = await openGguf(path);
  for (const { key, type, value } of KEYS) {
    const found = ours.header.keys.get(key)!;
    const expected = typeof value === 'bigint' ? value : value;
    if (found.type === 'array') expect({ key, element: found.element, value: ggufArray(found) }).toEqual({ key, element: type, value: expected });
    else expect({ key, type: found.type, value: found.value }).toEqual({ key, type, value: expected });
  }
  expect([...decodeBlocks('F32', await ours.readTensor('w.weight', { rows: [1, 2] }))]).toEqual([4, 5, 6]);
});

test('equal input gives equal bytes, and nothing else is left in the folder', async () => {
  const target = await folder();
  const source = {
    name: 'w.weight',
    type: 'Q8_0' as const,
    dims: [32, 2],
    data: function* () {
      yield new Uint8Array(34).fill(1);
      yield new Uint8Array(34).fill(2);
    },
  };
  await writeGguf(join(target, 'a.gguf'), KEYS, [source]);
  await writeGguf(join(target, 'b.gguf'), KEYS, [source]);
  expect(await readFile(join(target, 'a.gguf'))).toEqual(await readFile(join(target, 'b.gguf')));
  expect((await readdir(target)).toSorted()).toEqual(['a.gguf', 'b.gguf']);
});

test('a file that the strict parser would refuse is not written', async () => {
  const target = await folder();
  const tensor = { name: 'w.weight', type: 'F32' as const, dims: [2], data: new Uint8Array(8) };
  await expect(writeGguf(join(target, 'a.gguf'), [], [tensor])).rejects.toMatchObject({ code: 'gg_architecture' });
  await expect(writeGguf(join(target, 'a.gguf'), KEYS, [{ ...tensor, data: new Uint8Array(4) }])).rejects.toMatchObject({ code: 'gg_bytes_overflow' });
  expect(await readdir(target)).toEqual([]);
});

test('a vocabulary of 200,000 tokens is written and read back', async () => {
  const tokens = Array.from({ length: 200_000 }, (_, i) => `t${i}`);
  const path = join(await folder(), 'a.gguf');
  const tensor = { name: 'w.weight', type: 'F32' as const, dims: [2], data: new Uint8Array(8) };
  await writeGguf(path, [...KEYS, { key: 'a.tokens', type: 'string', value: tokens }], [tensor]);
  await using file = await openGguf(path);
  expect(ggufStrings(file.header, 'a.tokens')).toEqual(tokens);
});

test('rows outside a tensor and unknown tensors are refused', async () => {
  await using file = await openGguf(recorded);
  await expect(file.readTensor('none')).rejects.toMatchObject({ code: 'gg_read_failed' });
  await expect(file.readTensor('token_embd.weight', { rows: [0, 5] })).rejects.toMatchObject({ code: 'gg_read_failed' });
});
