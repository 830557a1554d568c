import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cacheModel, ggufHead, type ModelFiles, makeTempStore, mlxModel, writeFiles } from '../../../test/support/temp-store.ts';
import { healthDataSchema } from '../../contract/index.ts';

/** `healthy` or the reason against, for each of several file sets. */
async function verdicts(sets: Readonly<Record<string, ModelFiles>>): Promise<Record<string, string>> {
  await using temp = await makeTempStore();
  const result: Record<string, string> = {};
  for (const [title, files] of Object.entries(sets)) {
    const directory = join(temp.root, 'models', 'm');
    await writeFiles(directory, files);
    await cacheModel(join(temp.root, title, 'hub'), 'org/m', files);
    const data = await temp.with({ cacheDirectory: join(temp.root, title, 'hub') }).health({ reference: 'org/m' });
    result[title] = data.unhealthy[0]?.reason ?? 'healthy';
  }
  return result;
}

const without = (files: ModelFiles, ...names: string[]): ModelFiles => Object.fromEntries(Object.entries(files).filter(([name]) => !names.includes(name)));
const index = (...files: string[]): string => JSON.stringify({ weight_map: Object.fromEntries(files.map((file, number) => [`tensor.${number}`, file])) });
const shard = (number: number, total: number): string => `model-${String(number).padStart(5, '0')}-of-${String(total).padStart(5, '0')}.safetensors`;
const base = without(mlxModel(), 'model.safetensors');
const POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 5\n';

test('[store K24] the arrays and the summary of health agree, and no match gives total 0', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, 'org/good', mlxModel());
  await cacheModel(temp.cacheDirectory, 'org/bad', base);
  await cacheModel(temp.cacheDirectory, 'org/shadowed', mlxModel());
  await writeFiles(join(temp.workspaceHome, 'shadowed'), base);
  const data = healthDataSchema.parse(await temp.store.health());
  expect(data.summary).toEqual({ total: 3, healthy_count: 1, unhealthy_count: 2 });
  expect(data.healthy.map((entry) => entry.name)).toEqual(['org/good']);
  expect(data.unhealthy.map((entry) => entry.name)).toEqual(['shadowed', 'org/bad']);
  expect((await temp.store.health({ reference: 'nothing' })).summary).toEqual({ total: 0, healthy_count: 0, unhealthy_count: 0 });
});

test('[store K27] a missing or invalid config, no weights and empty weights are unhealthy, and the file is named', async () => {
  expect(
    await verdicts({
      whole: mlxModel(),
      'no-config': without(mlxModel(), 'config.json'),
      'bad-config': mlxModel({ 'config.json': '{' }),
      'zero-config': mlxModel({ 'config.json': '' }),
      'empty-config': mlxModel({ 'config.json': '{}' }),
      'list-config': mlxModel({ 'config.json': '[1]' }),
      'no-weights': base,
      'npz-only': { ...base, 'weights.npz': 'x' },
      'empty-weight': mlxModel({ 'model.safetensors': '' }),
    }),
  ).toEqual({
    whole: 'healthy',
    'no-config': 'config.json missing',
    'bad-config': 'config.json contains invalid JSON',
    'zero-config': 'config.json contains invalid JSON',
    'empty-config': 'config.json is empty or invalid',
    'list-config': 'config.json is empty or invalid',
    'no-weights': 'No model weights found',
    'npz-only': 'No model weights found',
    'empty-weight': 'Empty weight files: model.safetensors',
  });
});

test('[store K28] shards that the index names and that are missing or empty are named', async () => {
  const indexed = { ...base, 'model.safetensors.index.json': index(shard(1, 3), shard(2, 3), shard(3, 3)) };
  expect(
    await verdicts({
      missing: { ...indexed, [shard(2, 3)]: 'x' },
      none: indexed,
      empty: { ...indexed, [shard(1, 3)]: 'x', [shard(2, 3)]: '', [shard(3, 3)]: 'x' },
      whole: { ...indexed, [shard(1, 3)]: 'x', [shard(2, 3)]: 'x', [shard(3, 3)]: 'x' },
      'bad-index': { ...base, [shard(1, 1)]: 'x', 'model.safetensors.index.json': '{' },
      'leaving-index': { ...base, 'model.safetensors': 'x', 'model.safetensors.index.json': index('../x.safetensors') },
      'empty-index': { ...base, 'model.safetensors': 'x', 'model.safetensors.index.json': '{"weight_map":{}}' },
    }),
  ).toEqual({
    missing: `Missing weight shards: ${shard(1, 3)}, ${shard(3, 3)}`,
    none: `Missing weight shards: ${shard(1, 3)}, ${shard(2, 3)}, ${shard(3, 3)}`,
    empty: `Empty weight shards: ${shard(2, 3)}`,
    whole: 'healthy',
    'bad-index': 'Invalid index file',
    'leaving-index': 'Empty or invalid weight_map in index',
    'empty-index': 'Empty or invalid weight_map in index',
  });
});

test('[store K29] an index that names other files than are here is told apart from missing shards, with the way to repair it', async () => {
  const files = { ...base, 'model.safetensors': 'x', 'model.safetensors.index.json': index(shard(1, 2), shard(2, 2)) };
  expect((await verdicts({ mismatch: files }))['mismatch']).toBe(
    'Index/shard mismatch: index references 2 shards, found 1 different files. Fix: hearth convert <src> <dst> --repair-index',
  );
});

test('[store K30] shards without an index are counted, and a complete set is still unhealthy', async () => {
  expect(
    await verdicts({
      gap: { ...base, [shard(1, 3)]: 'x', [shard(3, 3)]: 'x' },
      complete: { ...base, [shard(1, 2)]: 'x', [shard(2, 2)]: 'x' },
      totals: { ...base, [shard(1, 2)]: 'x', [shard(2, 3)]: 'x' },
      empty: { ...base, [shard(1, 2)]: 'x', [shard(2, 2)]: '' },
      'gguf-gap': { ...base, 'm-00001-of-00002.gguf': 'x' },
      'gguf-complete': { ...base, 'm-00001-of-00002.gguf': 'x', 'm-00002-of-00002.gguf': 'x' },
    }),
  ).toEqual({
    gap: 'Missing shards by pattern: 2/3 present',
    complete: 'Safetensors index missing for sharded model',
    totals: 'Inconsistent shard totals detected',
    empty: `Empty shards: ${shard(2, 2)}`,
    'gguf-gap': 'Missing shards by pattern: 1/2 present',
    'gguf-complete': 'healthy',
  });
});

test('[store K31] Git LFS pointers are found in models with and without an index', async () => {
  expect(
    await verdicts({
      indexed: { ...base, 'model.safetensors.index.json': index(shard(1, 1)), [shard(1, 1)]: POINTER },
      plain: mlxModel({ 'model.safetensors': POINTER }),
      'sub-directory': mlxModel({ 'extra/vocab.bin': POINTER }),
      'long-text': mlxModel({ 'notes.txt': POINTER + ' '.repeat(200) }),
    }),
  ).toEqual({
    indexed: `LFS pointers instead of files: ${shard(1, 1)}`,
    plain: 'LFS pointers instead of files: model.safetensors',
    'sub-directory': 'LFS pointers instead of files: extra/vocab.bin',
    'long-text': 'healthy',
  });
});

test('[store K32] *.partial and *.tmp are download markers with and without an index, partial_rotary.py is none', async () => {
  const indexed = { ...base, 'model.safetensors.index.json': index(shard(1, 1)), [shard(1, 1)]: 'x' };
  expect(
    await verdicts({
      partial: mlxModel({ 'model.safetensors.partial': 'x' }),
      temporary: mlxModel({ 'x.tmp': 'x' }),
      incomplete: { ...indexed, 'sub/x.incomplete': 'x' },
      'indexed-partial': { ...indexed, 'x.partial': 'x' },
      'indexed-temporary': { ...indexed, 'x.tmp': 'x' },
      innocent: mlxModel({ 'partial_rotary.py': 'x', 'tmp_notes.md': 'x' }),
    }),
  ).toEqual({
    partial: 'Partial download marker detected: model.safetensors.partial',
    temporary: 'Partial download marker detected: x.tmp',
    incomplete: 'Partial download marker detected: sub/x.incomplete',
    'indexed-partial': 'Partial download marker detected: x.partial',
    'indexed-temporary': 'Partial download marker detected: x.tmp',
    innocent: 'healthy',
  });
});

test('[store K33] a vision model needs a processor config, in a file or inside config.json', async () => {
  const vision = (config: object, extra: ModelFiles = {}): ModelFiles =>
    mlxModel({ 'config.json': JSON.stringify({ model_type: 'llava', ...config }), ...extra });
  expect(
    await verdicts({
      none: vision({}),
      file: vision({}, { 'preprocessor_config.json': '{"a":1}' }),
      processor: vision({}, { 'processor_config.json': '{"a":1}' }),
      embedded: vision({ image_processor: { size: 1 } }),
      broken: vision({}, { 'preprocessor_config.json': '{' }),
      list: vision({}, { 'preprocessor_config.json': '[]' }),
    }),
  ).toEqual({
    none: 'Vision model missing preprocessor_config.json or processor_config.json',
    file: 'healthy',
    processor: 'healthy',
    embedded: 'healthy',
    broken: 'preprocessor_config.json invalid JSON',
    list: 'preprocessor_config.json invalid',
  });
});

test('[store K34] tokenizer_config.json without any tokenizer file is unhealthy, tokenizer.model alone is accepted', async () => {
  const bare = without(mlxModel(), 'tokenizer.json', 'tokenizer_config.json');
  expect(
    await verdicts({
      neither: bare,
      'config-only': { ...bare, 'tokenizer_config.json': '{"a":1}' },
      'model-only': { ...bare, 'tokenizer.model': 'x' },
      'with-model': { ...bare, 'tokenizer_config.json': '{"a":1}', 'tokenizer.model': 'x' },
      tiktoken: { ...bare, 'tokenizer_config.json': '{"a":1}', 'qwen.tiktoken': 'x' },
      'vocab-alone': { ...bare, 'tokenizer_config.json': '{"a":1}', 'vocab.json': '{}' },
      'vocab-merges': { ...bare, 'tokenizer_config.json': '{"a":1}', 'vocab.json': '{}', 'merges.txt': 'x' },
      broken: mlxModel({ 'tokenizer_config.json': '{' }),
      list: mlxModel({ 'tokenizer_config.json': '[]' }),
    }),
  ).toEqual({
    neither: 'healthy',
    'config-only': 'tokenizer_config.json present but tokenizer.json missing',
    'model-only': 'healthy',
    'with-model': 'healthy',
    tiktoken: 'healthy',
    'vocab-alone': 'tokenizer_config.json present but tokenizer.json missing',
    'vocab-merges': 'healthy',
    broken: 'tokenizer_config.json contains invalid JSON',
    list: 'tokenizer_config.json exists but invalid',
  });
});

test('a directory of GGUF files alone needs valid heads, not config.json', async () => {
  expect(
    await verdicts({
      valid: { 'm.gguf': ggufHead({ 'general.architecture': 'llama' }) },
      magic: { 'm.gguf': 'not a gguf file' },
      version: { 'm.gguf': 'GGUF\x01\0\0\0' },
      mixed: { 'm.gguf': ggufHead({}), 'model.safetensors': 'x' },
    }),
  ).toEqual({ valid: 'healthy', magic: 'config.json missing', version: 'config.json missing', mixed: 'config.json missing' });
});
