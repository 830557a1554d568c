import { mkdir, symlink, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { cacheModel, ggufHead, makeTempStore, mlxModel, type TempStore, writeFiles } from '../../test/support/temp-store.ts';
import { isHearthError } from '../core/index.ts';
import { type Located, locate } from './locate.ts';

const A = 'a'.repeat(40);
const B = 'b'.repeat(40);

async function outcome(temp: TempStore, reference: string): Promise<string> {
  try {
    return place(temp, await locate(temp.options, reference));
  } catch (error) {
    return isHearthError(error) ? error.code : String(error);
  }
}

const place = (temp: TempStore, located: Located): string =>
  located.kind === 'workspace'
    ? `workspace ${located.name.replace(`${temp.root}/`, '')}`
    : `cache ${located.name}@${located.snapshot?.hash.slice(0, 4) ?? 'none'}`;

const workspaceAt = (temp: TempStore, path: string): Promise<void> => writeFiles(join(temp.root, path), mlxModel());

test('[store K44] a path comes first, then the workspace home exactly and by substring, then the cache exactly and by substring', async () => {
  await using temp = await makeTempStore();
  await workspaceAt(temp, 'tiny');
  await cacheModel(temp.cacheDirectory, 'org/big-tiny-4bit', mlxModel());
  expect(await outcome(temp, './tiny')).toBe('workspace tiny');
  expect(await outcome(temp, join(temp.root, 'tiny'))).toBe('workspace tiny');
  expect(await outcome(temp, 'tiny')).toBe('cache org/big-tiny-4bit@aaaa');
  await cacheModel(temp.cacheDirectory, 'mlx-community/tiny', mlxModel());
  expect(await outcome(temp, 'tiny')).toBe('cache mlx-community/tiny@aaaa');
  await workspaceAt(temp, 'workspaces/my-TINY-model');
  expect(await outcome(temp, 'tiny')).toBe('workspace workspaces/my-TINY-model');
  await workspaceAt(temp, 'workspaces/tiny');
  expect(await outcome(temp, 'tiny')).toBe('workspace workspaces/tiny');
  expect(await outcome(temp, 'mlx-community/tiny')).toBe('cache mlx-community/tiny@aaaa');
  expect(await outcome(temp, './nothing')).toBe('model_not_found');
  expect(await outcome(temp, './big-tiny-4bit')).toBe('model_not_found');
});

test('[store K44] within the cache the exact directory wins over a substring', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel());
  await cacheModel(temp.cacheDirectory, 'org/tiny-large', mlxModel());
  expect(await outcome(temp, 'org/tiny')).toBe('cache org/tiny@aaaa');
  expect(await outcome(temp, 'ORG/TINY-L')).toBe('cache org/tiny-large@aaaa');
  expect(await outcome(temp, 'nothing')).toBe('model_not_found');
});

test('[store K45] two workspaces that contain the text are ambiguous, whatever the order of the directory', async () => {
  for (const order of [
    ['one-model', 'two-model'],
    ['two-model', 'one-model'],
  ]) {
    await using temp = await makeTempStore();
    for (const name of order) await workspaceAt(temp, `workspaces/${name}`);
    const error = await locate(temp.options, 'model').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'ambiguous_match', details: { matches: ['one-model', 'two-model'] } });
  }
});

test('[store K46] a bare name never means ./dir', async () => {
  await using temp = await makeTempStore();
  await workspaceAt(temp, 'tiny');
  expect(await outcome(temp, 'tiny')).toBe('model_not_found');
  await cacheModel(temp.cacheDirectory, 'mlx-community/tiny', mlxModel());
  expect(await outcome(temp, 'tiny')).toBe('cache mlx-community/tiny@aaaa');
});

test('[store K22] show of an ambiguous name is ambiguous_match with the sorted matches, exit 1', async () => {
  await using temp = await makeTempStore();
  for (const name of ['org/qwen-b', 'mlx-community/Qwen-a', 'org/other']) await cacheModel(temp.cacheDirectory, name, mlxModel());
  const error = await temp.store.show({ reference: 'qwen' }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'ambiguous_match', row: { exitCode: 1 }, details: { matches: ['mlx-community/Qwen-a', 'org/qwen-b'] } });
});

test('[store K23] a short hash picks that snapshot, an unknown one names those that are here', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel(), { commit: A, ref: 'main' });
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel({ 'README.md': 'b' }), { commit: B, ref: 'dev' });
  const hash = async (reference: string): Promise<string | null> => (await temp.store.show({ reference })).model.hash;
  expect(await hash('org/tiny')).toBe(A);
  expect(await hash('org/tiny@bbb')).toBe(B);
  expect(await hash('tiny@dev')).toBe(B);
  const error = await temp.store.show({ reference: 'tiny@ccc' }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'hash_not_found', details: { available_hashes: ['aaaaaaaa', 'bbbbbbbb'] } });
});

test('without refs/main the newest snapshot is taken', async () => {
  await using temp = await makeTempStore();
  const first = await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel(), { commit: A, ref: null });
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel(), { commit: B, ref: null });
  await utimes(first, new Date(), new Date(Date.now() + 60_000));
  expect(await outcome(temp, 'org/tiny')).toBe('cache org/tiny@aaaa');
});

test('the path of a single GGUF file is a model, a link to it too', async () => {
  await using temp = await makeTempStore();
  const head = ggufHead({ 'general.architecture': 'llama', 'tokenizer.chat_template': '{{ x }}', 'llama.context_length': 512 });
  await writeFiles(join(temp.root, 'files'), { 'a.gguf': head, 'b.gguf': head });
  await symlink('files/a.gguf', join(temp.root, 'link.gguf'));
  for (const reference of ['./files/a.gguf', './link.gguf']) {
    const opened = await temp.store.open({ reference });
    expect(opened.model).toMatchObject({ framework: 'GGUF', health: 'healthy', runtime_compatible: true, cached: false, model_type: 'chat' });
    expect(opened.facts).toMatchObject({ weightFiles: ['a.gguf'], architecture: 'llama', hasChatTemplate: true, config: { max_position_embeddings: 512 } });
    expect(basename(opened.facts.directory)).toBe('files');
    expect(opened.identity.name).not.toContain('/');
  }
  await expect(temp.store.open({ reference: './files' })).rejects.toMatchObject({ code: 'variant_required' });
  expect((await temp.store.open({ reference: './files:b' })).facts.weightFiles).toEqual(['b.gguf']);
});

test('links that leave a workspace or a cached model count as missing files', async () => {
  await using temp = await makeTempStore();
  await writeFiles(temp.root, { 'secret.safetensors': 'secret' });
  const { 'model.safetensors': _, ...rest } = mlxModel();
  await writeFiles(join(temp.root, 'ws'), rest);
  await symlink('../secret.safetensors', join(temp.root, 'ws', 'model.safetensors'));
  expect((await temp.store.show({ reference: './ws' })).model).toMatchObject({
    health: 'unhealthy',
    reason: expect.stringMatching(/^No model weights found; model.safetensors is a link/),
  });
  const snapshot = await cacheModel(temp.cacheDirectory, 'org/tiny', rest);
  await symlink(join(temp.root, 'secret.safetensors'), join(snapshot, 'model.safetensors'));
  expect((await temp.store.show({ reference: 'org/tiny' })).model).toMatchObject({
    health: 'unhealthy',
    reason: expect.stringMatching(/^No model weights found; model.safetensors is a link/),
  });
});

test('a model directory without snapshots is listed as unhealthy', async () => {
  await using temp = await makeTempStore();
  await mkdir(join(temp.cacheDirectory, 'models--org--empty'), { recursive: true });
  await mkdir(join(temp.cacheDirectory, 'models--org--bare', 'snapshots'), { recursive: true });
  const { models } = await temp.store.list();
  expect(models.map((model) => model.reason)).toEqual(['No snapshots found', 'No snapshots directory found']);
});
