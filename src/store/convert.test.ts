import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codeOf, namesIn } from '../../test/support/hub-store.ts';
import { cacheModel, makeTempStore, mlxModel, safetensorsBytes, type TempStore, writeFiles } from '../../test/support/temp-store.ts';
import { writeTinyModel } from '../../test/support/tiny-model.ts';
import { convertDataSchema } from '../contract/index.ts';
import { openCheckpoint } from '../formats/index.ts';
import type { ConvertParameters } from './convert.ts';
import { readSentinel } from './workspace/sentinel.ts';

const convert = async (temp: TempStore, parameters: Omit<ConvertParameters, 'source' | 'target'> & { source?: string; target?: string }) =>
  convertDataSchema.parse(await temp.store.convert({ source: 'ws', target: 'out', ...parameters }));

/** Every file below with its bytes. */
async function contents(directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) found[join(entry.parentPath, entry.name)] = await readFile(join(entry.parentPath, entry.name), 'base64');
  return found;
}

const SHARDS = {
  'model-00001-of-00002.safetensors': safetensorsBytes({ 'model.embed_tokens.weight': [4, 4] }),
  'model-00002-of-00002.safetensors': safetensorsBytes({ 'model.norm.weight': [4], 'lm_head.weight': [4, 4] }),
};
const index = (map: Readonly<Record<string, string>>): string => JSON.stringify({ metadata: {}, weight_map: map });
const { 'model.safetensors': _, ...BARE } = mlxModel();

test('[store K72] --repair-index writes the index of the headers: the copy is healthy, has another hash, and keeps subdirectories', async () => {
  await using temp = await makeTempStore();
  const source = join(temp.workspaceHome, 'ws');
  await writeFiles(source, {
    ...BARE,
    ...SHARDS,
    'model.safetensors.index.json': index({ a: 'gone.safetensors' }),
    'sub/deep/x.txt': 'x',
    '.hf_cache/y': 'y',
    '.git/z': 'z',
  });
  await writeFiles(source, { '.mlxk_workspace.json': JSON.stringify({ managed: true, source_repo: 'org/origin', source_revision: 'c'.repeat(40) }) });
  const pinned = await temp.store.show({ reference: 'ws', recalcHash: true });
  const before = await contents(source);
  expect(pinned.model.health).toBe('unhealthy');
  const data = await convert(temp, { repairIndex: true });
  expect(data).toMatchObject({ mode: 'repair-index', health_status: 'healthy', health_check: true, source, target: join(temp.workspaceHome, 'out') });
  expect(data.content_hash).not.toBe(pinned.model.content_hash);
  const written = await readFile(join(data.target, 'model.safetensors.index.json'), 'utf8');
  expect(JSON.parse(written)).toEqual({
    metadata: { total_size: SHARDS['model-00001-of-00002.safetensors'].length + SHARDS['model-00002-of-00002.safetensors'].length },
    weight_map: {
      'lm_head.weight': 'model-00002-of-00002.safetensors',
      'model.embed_tokens.weight': 'model-00001-of-00002.safetensors',
      'model.norm.weight': 'model-00002-of-00002.safetensors',
    },
  });
  expect(written).toContain('\n  "metadata"');
  expect(await readFile(join(data.target, 'sub/deep/x.txt'), 'utf8')).toBe('x');
  expect((await namesIn(data.target)).filter((name) => ['.hf_cache', '.git'].includes(name))).toEqual([]);
  expect(await readSentinel(data.target)).toMatchObject({
    source_repo: 'org/origin',
    source_revision: 'c'.repeat(40),
    operation: 'convert',
    mode: 'repair-index',
    content_hash: data.content_hash,
  });
  expect((await temp.store.show({ reference: 'out' })).model).toMatchObject({ clean: true, origin: 'org/origin' });
  expect(await contents(source)).toEqual(before);
});

test('[store K72] one file needs no index; a tensor in two files, a missing shard and a source without weights are refused', async () => {
  await using temp = await makeTempStore();
  await writeFiles(join(temp.workspaceHome, 'ws'), {
    ...BARE,
    'model.safetensors': safetensorsBytes({ t: [2] }),
    'model.safetensors.index.json': index({ a: 'b.safetensors' }),
  });
  const data = await convert(temp, { repairIndex: true });
  expect(data.message).toContain('needs no index');
  expect(await namesIn(data.target)).not.toContain('model.safetensors.index.json');
  const bad: Record<string, Record<string, Buffer | string>> = {
    twice: { ...BARE, 'a.safetensors': safetensorsBytes({ t: [2] }), 'b.safetensors': safetensorsBytes({ t: [2] }) },
    gap: { ...BARE, 'model-00001-of-00003.safetensors': safetensorsBytes({ a: [2] }), 'model-00003-of-00003.safetensors': safetensorsBytes({ b: [2] }) },
    none: { ...BARE },
  };
  for (const [name, files] of Object.entries(bad)) {
    await writeFiles(join(temp.workspaceHome, name), files);
    expect([name, await codeOf(convert(temp, { source: name, target: 'bad', repairIndex: true }))]).toEqual([name, 'conversion_failed']);
  }
  expect(await namesIn(temp.workspaceHome)).toEqual(['gap', 'none', 'out', 'twice', 'ws']);
});

test('[store K73] a source or target in a cache is refused, through links too, and nothing is written there', async () => {
  await using temp = await makeTempStore();
  const snapshot = await cacheModel(temp.cacheDirectory, 'org/m', mlxModel());
  await writeFiles(join(temp.workspaceHome, 'ws'), mlxModel());
  await symlink(snapshot, join(temp.workspaceHome, 'linked'));
  await symlink(join(temp.cacheDirectory), join(temp.root, 'door'));
  const elsewhere = join(temp.root, 'other', 'models--a--b', 'snapshots', 'x');
  await writeFiles(elsewhere, mlxModel());
  const before = await contents(temp.cacheDirectory);
  for (const places of [
    { source: snapshot },
    { source: 'linked' },
    { source: elsewhere },
    { target: join(temp.cacheDirectory, 'new') },
    { target: join(temp.root, 'door', 'new') },
    { target: join(snapshot, 'new') },
    { target: join(elsewhere, 'new') },
  ]) {
    await expect(temp.store.convert({ source: 'ws', target: 'out', ...places, repairIndex: true })).rejects.toMatchObject({
      code: 'invalid_target',
      message: expect.stringContaining('hearth clone'),
      row: { type: 'InvalidTargetError', exitCode: 1 },
    });
  }
  expect(await contents(temp.cacheDirectory)).toEqual(before);
  expect(await codeOf(convert(temp, { target: join(temp.workspaceHome, 'ws', 'inside'), repairIndex: true }))).toBe('invalid_target');
});

test('[store K74] --quantize makes a healthy model of that many bits with its sentinel, warns of more bits than there were, and leaves the source alone', async () => {
  await using temp = await makeTempStore();
  const source = join(temp.workspaceHome, 'ws');
  await writeTinyModel(source);
  await writeFiles(source, { 'README.md': '---\nlicense: mit\ntags: [a, "b"]\n---\ntext' });
  const before = await contents(source);
  for (const [bits, groupSize] of [
    [2, 32],
    [3, 32],
    [4, 32],
    [6, 32],
    [8, 32],
  ] as const) {
    const steps: number[] = [];
    const data = await convert(temp, { quantize: bits, groupSize, target: `q${bits}`, onProgress: ({ doneBytes }) => steps.push(doneBytes) });
    expect(data).toMatchObject({ mode: 'quantize', bits, group_size: groupSize, health_status: 'healthy', warning: null });
    expect(await readSentinel(data.target)).toMatchObject({
      operation: 'convert',
      mode: 'quantize',
      quantization: { bits, group_size: groupSize },
      content_hash: data.content_hash,
    });
    const config = JSON.parse(await readFile(join(data.target, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(config['quantization']).toMatchObject({ bits, group_size: groupSize, mode: 'affine' });
    expect(config['quantization_config']).toEqual(config['quantization']);
    await using checkpoint = await openCheckpoint(data.target);
    expect([...checkpoint.tensors.keys()].some((name) => name.endsWith('.scales'))).toBe(true);
    expect((await temp.store.show({ reference: `q${bits}` })).model).toMatchObject({ framework: 'MLX', clean: true, quantization: { bits } });
    expect(await readFile(join(data.target, 'README.md'), 'utf8')).toMatch(/license: mit[\s\S]*library_name: mlx[\s\S]*- a\n- b\n- mlx\n/);
    expect(steps.length).toBeGreaterThan(0);
  }
  const again = await convert(temp, { source: 'q2', target: 'q8-again', quantize: 8, groupSize: 32 });
  expect(again.warning).toBe('Source already 2-bit. Quantizing to 8-bit does not increase precision.');
  expect(await contents(source)).toEqual(before);
});

test('[store K74] a conversion that fails, or is stopped, leaves nothing; a target that is there is refused', async () => {
  await using temp = await makeTempStore();
  await writeTinyModel(join(temp.workspaceHome, 'ws'));
  await mkdir(join(temp.workspaceHome, 'there'));
  await expect(convert(temp, { quantize: 4, groupSize: 32, target: 'there' })).rejects.toMatchObject({ code: 'invalid_target' });
  const stop = new AbortController();
  const stopped = temp.store.convert({ source: 'ws', target: 'out', quantize: 4, groupSize: 32, signal: stop.signal, onProgress: () => stop.abort() });
  await expect(stopped).rejects.toMatchObject({ code: 'cancelled' });
  await writeFiles(join(temp.workspaceHome, 'broken'), { ...mlxModel(), 'model.safetensors': 'no header' });
  expect(await codeOf(convert(temp, { source: 'broken', quantize: 4 }))).toMatch(/^st_/);
  expect(await codeOf(convert(temp, { source: 'missing', quantize: 4 }))).toBe('conversion_failed');
  expect(await namesIn(temp.workspaceHome)).toEqual(['broken', 'there', 'ws']);
});

test('exactly one mode is asked for, with the options that belong to it', async () => {
  await using temp = await makeTempStore();
  await writeFiles(join(temp.workspaceHome, 'ws'), mlxModel());
  const wrong: Partial<ConvertParameters>[] = [
    {},
    { repair: true, repairIndex: true },
    { quantize: 4, to: 'gguf' },
    { repair: true, groupSize: 32 },
    { quantize: 4, exact: true },
    { quantize: 4, verify: 'full' },
    { to: 'mlx', exact: true },
  ];
  for (const parameters of wrong)
    await expect(convert(temp, parameters)).rejects.toMatchObject({ code: 'invalid_argument', row: { type: 'InvalidArgumentError', exitCode: 1 } });
});

test('[store K75] models with pictures or sound that were never verified are refused before any file is made', async () => {
  await using temp = await makeTempStore();
  for (const [config, code] of [
    [{ model_type: 'newvl', vision_config: { a: 1 } }, 'unsupported_multimodal'],
    [{ model_type: 'newaudio', audio_config: { a: 1 } }, 'unsupported_multimodal'],
    [{ model_type: 'whisper' }, 'not_implemented'],
    [{ model_type: 'pixtral', vision_config: { a: 1 } }, 'dependency_missing'],
  ] as const) {
    await writeFiles(join(temp.workspaceHome, 'ws'), mlxModel({ 'config.json': JSON.stringify(config) }));
    const error = await convert(temp, { quantize: 4 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code });
    if (code === 'unsupported_multimodal') expect(error).toMatchObject({ message: expect.stringContaining('llava, pixtral'), row: { exitCode: 1 } });
    expect(await namesIn(temp.workspaceHome)).toEqual(['ws']);
  }
});

test('[store K76] --repair finds four classes of defects, mends two, tells of two, and writes what it did into the sentinel', async () => {
  await using temp = await makeTempStore();
  const source = join(temp.workspaceHome, 'ws');
  const config = { model_type: 'mistral3', spatial_merge_size: 2, eos_token_id: null, quantization: { bits: 4, group_size: 64 } };
  await writeFiles(source, {
    ...BARE,
    ...SHARDS,
    'config.json': JSON.stringify(config),
    'model.safetensors.index.json': index({ a: 'gone.safetensors' }),
    'processor_config.json': JSON.stringify({ patch_size: 14, spatial_merge_size: 1, video_processor: null }),
  });
  const all = await convert(temp, { repair: true });
  expect(all.repair).toEqual({ applied: ['safetensors_index', 'spatial_merge_size'], detected_unsafe: ['eos_token_id_null', 'video_processor_null'] });
  expect(JSON.parse(await readFile(join(all.target, 'processor_config.json'), 'utf8'))).toEqual({
    patch_size: 14,
    spatial_merge_size: 2,
    video_processor: null,
  });
  expect(all).toMatchObject({ mode: 'repair-index', health_status: 'healthy' });
  expect((await readSentinel(all.target))?.['convert_options']).toEqual({
    mode: 'repair',
    repairs_applied: ['safetensors_index', 'spatial_merge_size'],
    repairs_detected_unsafe: ['eos_token_id_null', 'video_processor_null'],
  });
  // Where the value is left out it is put in.
  await writeFile(join(source, 'processor_config.json'), JSON.stringify({ patch_size: 14 }));
  expect((await convert(temp, { repair: true, target: 'second' })).repair?.applied).toContain('spatial_merge_size');
  await writeFiles(
    join(temp.workspaceHome, 'unsafe'),
    mlxModel({ 'model.safetensors': safetensorsBytes({ t: [2] }), 'config.json': JSON.stringify({ eos_token_id: null }) }),
  );
  expect(await convert(temp, { source: 'unsafe', target: 'no', repair: true })).toMatchObject({
    repair: { applied: [], detected_unsafe: ['eos_token_id_null'] },
  });
  await writeFiles(join(temp.workspaceHome, 'fine'), mlxModel({ 'model.safetensors': safetensorsBytes({ t: [2] }) }));
  expect(await convert(temp, { source: 'fine', target: 'no', repair: true })).toMatchObject({
    repair: { applied: [], detected_unsafe: [] },
    health_status: null,
  });
  expect(await namesIn(temp.workspaceHome)).toEqual(['fine', 'out', 'second', 'unsafe', 'ws']);
});

test('what was made and is not healthy stays, with the reason; --skip-health does not look', async () => {
  await using temp = await makeTempStore();
  const { 'tokenizer.json': __, ...files } = BARE;
  await writeFiles(join(temp.workspaceHome, 'ws'), { ...files, ...SHARDS });
  await expect(convert(temp, { repairIndex: true })).rejects.toMatchObject({
    code: 'converted_unhealthy',
    row: { type: 'HealthCheckFailed', exitCode: 1 },
    details: { data: { health_status: 'unhealthy', health_reason: expect.stringContaining('tokenizer.json') } },
  });
  expect(await namesIn(temp.workspaceHome)).toEqual(['out', 'ws']);
  await rm(join(temp.workspaceHome, 'out'), { recursive: true });
  expect(await convert(temp, { repairIndex: true, skipHealth: true })).toMatchObject({ health_check: false, health_status: null });
});
