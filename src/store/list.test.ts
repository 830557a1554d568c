import { mkdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cacheModel, type ModelFiles, makeTempStore, mlxModel, writeFiles } from '../../test/support/temp-store.ts';
import { listDataSchema, showDataSchema } from '../contract/index.ts';
import { sizeText } from './index.ts';

test('[store K13] the pattern is a case-insensitive part of the name', async () => {
  await using temp = await makeTempStore();
  for (const name of ['mlx-community/Qwen3-0.6B-4bit', 'org/qwen-base', 'org/llama']) await cacheModel(temp.cacheDirectory, name, mlxModel());
  await writeFiles(join(temp.workspaceHome, 'my-QWEN'), mlxModel());
  const names = async (pattern: string): Promise<string[]> => (await temp.store.list({ pattern })).models.map((model) => model.name);
  expect(await names('QWEN')).toEqual([join(temp.workspaceHome, 'my-QWEN'), 'mlx-community/Qwen3-0.6B-4bit', 'org/qwen-base']);
  expect(await names('org/')).toEqual(['org/llama', 'org/qwen-base']);
  expect(await names('workspaces')).toEqual([]);
  expect(await names('nothing')).toEqual([]);
});

test('[store K14] an explicit path lists workspaces only: exact, scanned, or by prefix, shown as it was typed', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, 'org/pre-cached', mlxModel());
  for (const name of ['pre-one', 'pre-two', 'other']) await writeFiles(join(temp.root, 'models', name), mlxModel());
  const shown = async (pattern: string, workingDirectory = temp.root): Promise<(string | undefined)[]> =>
    (await temp.with({ workingDirectory }).list({ pattern })).models.map((model) => model.display_name);
  expect(await shown('./models/other')).toEqual(['other']);
  expect(await shown('.', join(temp.root, 'models'))).toEqual(['other', 'pre-one', 'pre-two']);
  expect(await shown('./models')).toEqual(['other', 'pre-one', 'pre-two']);
  expect(await shown('./pre', join(temp.root, 'models'))).toEqual(['pre-one', 'pre-two']);
  expect(await shown(join(temp.root, 'models', 'pre'))).toEqual([join(temp.root, 'models', 'pre-one'), join(temp.root, 'models', 'pre-two')]);
  expect(await shown('./nothing')).toEqual([]);
});

test('without a cache the list is empty and workspaces are still listed', async () => {
  await using temp = await makeTempStore();
  expect(await temp.store.list()).toEqual({ models: [], count: 0 });
  await writeFiles(join(temp.workspaceHome, 'mine'), mlxModel());
  await mkdir(join(temp.workspaceHome, 'not-a-model'));
  const data = listDataSchema.parse(await temp.store.list());
  expect(data.models).toMatchObject([{ name: join(temp.workspaceHome, 'mine'), display_name: 'mine', cached: false, hash: null }]);
});

test('[store K18] last_modified is the true UTC time, whatever the time zone', async () => {
  await using temp = await makeTempStore();
  const snapshot = await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel());
  await utimes(snapshot, new Date(), new Date('2024-07-01T10:20:30.900Z'));
  const zone = process.env['TZ'];
  try {
    for (const name of ['UTC', 'Asia/Tokyo', 'America/St_Johns']) {
      process.env['TZ'] = name;
      expect((await temp.store.list()).models[0]?.last_modified).toBe('2024-07-01T10:20:30Z');
    }
  } finally {
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
  }
});

test('[store K19] show finds a model by a part of its name, gives the metadata of its config, and the whole config on request', async () => {
  await using temp = await makeTempStore();
  const config = {
    model_type: 'llama',
    architectures: ['LlamaForCausalLM', 'Other'],
    quantization: { bits: 4, group_size: 64 },
    text_config: { vocab_size: 100, max_position_embeddings: 4096 },
    hidden_size: 64,
    num_attention_heads: 4,
    num_hidden_layers: 2,
    anything: { else: [1] },
  };
  await cacheModel(temp.cacheDirectory, 'org/tiny-model', mlxModel({ 'config.json': JSON.stringify(config) }));
  const data = showDataSchema.parse(await temp.store.show({ reference: 'TINY' }));
  expect(data.model.name).toBe('org/tiny-model');
  expect(data.metadata).toEqual({
    model_type: 'llama',
    architecture: 'LlamaForCausalLM',
    quantization: '4bit',
    context_length: 4096,
    vocab_size: 100,
    hidden_size: 64,
    num_attention_heads: 4,
    num_hidden_layers: 2,
  });
  const whole = showDataSchema.parse(await temp.store.show({ reference: 'tiny', config: true }));
  expect(whole.config).toEqual(config);
  expect(whole.metadata).toBeNull();
});

test('[store K20] show --files gives relative paths, bytes and the type of each file', async () => {
  await using temp = await makeTempStore();
  const files: ModelFiles = mlxModel({ 'sub/extra.json': '{}', 'README.md': '#', 'vocab.txt': 'abc', 'tokenizer.model': 'x', 'w.gguf': Buffer.alloc(1234) });
  await cacheModel(temp.cacheDirectory, 'org/tiny', files);
  const data = showDataSchema.parse(await temp.store.show({ reference: 'org/tiny', files: true, config: true }));
  expect(data.files?.map((file) => [file.name, file.type])).toEqual([
    ['README.md', 'readme'],
    ['config.json', 'config'],
    ['model.safetensors', 'weights'],
    ['sub/extra.json', 'config'],
    ['tokenizer.json', 'tokenizer'],
    ['tokenizer.model', 'tokenizer'],
    ['tokenizer_config.json', 'tokenizer'],
    ['vocab.txt', 'other'],
    ['w.gguf', 'weights'],
  ]);
  expect(data.file_details?.find((file) => file.path === 'w.gguf')).toEqual({ path: 'w.gguf', size_bytes: 1234, type: 'weights' });
  expect(data.files?.find((file) => file.name === 'w.gguf')?.size).toBe('1.2KB');
  expect(data.config).toMatchObject({ model_type: 'llama' });
  expect(Object.keys(data.files?.[0] ?? {})).toEqual(['name', 'size', 'type']);
});

test('sizes are short and decimal', () => {
  expect([0, 588, 999, 1000, 1234, 999_949, 999_950, 2_300_000_000, 5e12].map(sizeText)).toEqual([
    '0B',
    '588B',
    '999B',
    '1.0KB',
    '1.2KB',
    '999.9KB',
    '1.0MB',
    '2.3GB',
    '5.0TB',
  ]);
});
