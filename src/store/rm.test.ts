import { access, mkdir, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { cacheModel, makeTempStore, mlxModel, writeFiles } from '../../test/support/temp-store.ts';
import { rmDataSchema } from '../contract/index.ts';
import { acquireBlobLock } from './blob-lock.ts';
import { acquireStoreLock, storeLockPath } from './store-lock.ts';

const A = 'a'.repeat(40);
const B = 'b'.repeat(40);
const bytesOf = (files: Readonly<Record<string, string | Buffer>>): number =>
  Object.values(files).reduce((sum, content) => sum + Buffer.byteLength(content), 0);
const here = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

test('[store K54] a name typed in full is deleted at once, with its locks, and what was freed is counted', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel());
  await cacheModel(temp.cacheDirectory, 'org/tiny-other', mlxModel());
  const locks = join(temp.cacheDirectory, '.locks', 'models--org--tiny');
  const data = rmDataSchema.parse(await temp.store.rm({ reference: 'org/tiny' }));
  expect(data).toMatchObject({ action: 'deleted', model: 'org/tiny', lock_files_cleaned: 0, locks_detected: false, freed_bytes: bytesOf(mlxModel()) + 40 });
  expect(await readdir(temp.cacheDirectory)).toEqual(['models--org--tiny-other']);
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel());
  await writeFiles(locks, { 'x.lock': '', 'y.lock': '' });
  expect(await temp.store.rm({ reference: 'org/tiny', force: true })).toMatchObject({ action: 'deleted', locks_detected: true, lock_files_cleaned: 2 });
  expect(await here(locks)).toBe(false);
});

test('[store K55] a substring, or the implied mlx-community, deletes nothing without --force, exit 1', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, 'mlx-community/tiny-4bit', mlxModel());
  for (const reference of ['tiny', 'tiny-4bit', 'community/tiny-4bit']) {
    const error = await temp.store.rm({ reference }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'requires_confirmation',
      row: { exitCode: 1 },
      details: { data: { action: 'requires_confirmation', requires_confirmation: true, matches: ['mlx-community/tiny-4bit'], freed_bytes: 0 } },
    });
  }
  expect(await readdir(temp.cacheDirectory)).toEqual(['models--mlx-community--tiny-4bit']);
  expect(await temp.store.rm({ reference: 'tiny', force: true })).toMatchObject({ action: 'deleted', model: 'mlx-community/tiny-4bit' });
  expect(await readdir(temp.cacheDirectory)).toEqual([]);
});

test('[store K56] lock files are locks_present, and only --force deletes then', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel());
  const lock = join(temp.cacheDirectory, '.locks', 'models--org--tiny', 'x.lock');
  await mkdir(join(lock, '..'), { recursive: true });
  await writeFile(lock, '');
  const refused = () => temp.store.rm({ reference: 'org/tiny' }).catch((thrown: unknown) => thrown);
  const told = { locks_detected: true, lock_files: [join('.locks', 'models--org--tiny', 'x.lock')] };
  expect(await refused()).toMatchObject({ code: 'locks_present', message: expect.stringContaining('nobody holds'), details: { data: told } });
  await acquireBlobLock(lock, { sleep: temp.options.sleep, signal: new AbortController().signal }).then(async (held) => {
    expect(await refused()).toMatchObject({ code: 'locks_present', message: expect.stringContaining('is writing'), details: { data: told } });
    await held[Symbol.asyncDispose]();
  });
  await writeFile(lock, '');
  expect((await temp.store.show({ reference: 'org/tiny' })).model.health).toBe('healthy');
  expect(await temp.store.rm({ reference: 'org/tiny', force: true })).toMatchObject({ action: 'deleted', lock_files_cleaned: 1 });
  expect(await here(lock)).toBe(false);
});

test('[store K56] a pull that goes on is named with its process; what a hearth process that is gone left is no lock', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel());
  const directory = join(temp.cacheDirectory, 'models--org--tiny');
  const own = await acquireStoreLock(storeLockPath(temp.options.stateDirectory, directory), {
    sleep: temp.options.sleep,
    signal: new AbortController().signal,
  });
  await expect(temp.store.rm({ reference: 'org/tiny' })).rejects.toMatchObject({
    code: 'locks_present',
    message: expect.stringContaining(String(process.pid)),
    details: { data: { locks_detected: true, lock_files: [] } },
  });
  await own[Symbol.asyncDispose]();
  const lock = join(temp.cacheDirectory, '.locks', 'models--org--tiny', 'x.lock');
  await writeFiles(join(lock, '..'), { 'x.lock': JSON.stringify({ pid: process.pid, startedAt: 'another time', nonce: '' }) });
  expect(await temp.store.rm({ reference: 'org/tiny' })).toMatchObject({ action: 'deleted', locks_detected: false, lock_files: [], lock_files_cleaned: 1 });
  expect(await here(lock)).toBe(false);
});

test('blobs that huggingface_hub shares between models are seen through, and deleted with the last model that links to them', async () => {
  await using temp = await makeTempStore();
  const hash = 'ab'.repeat(32);
  const shared = join(temp.cacheDirectory, 'blobs', 'ab', hash);
  await writeFiles(join(temp.cacheDirectory, 'blobs'), { '.huggingface-shared-blobs': '1\n', [`ab/${hash}`]: 'shared weights', [`ab/${hash}.lock`]: '' });
  const references: string[] = [];
  for (const name of ['one', 'two']) {
    const snapshot = await cacheModel(temp.cacheDirectory, `org/${name}`, mlxModel());
    const blob = await realpath(join(snapshot, 'model.safetensors'));
    await rm(blob);
    await symlink(`../../blobs/ab/${hash}`, blob);
    references.push(`models--org--${name}/blobs/${basename(blob)}`);
  }
  await writeFile(`${shared}.refs`, `${references.join('\n')}\n`);
  const size = bytesOf(mlxModel()) - 'weights'.length + 'shared weights'.length;
  expect((await temp.store.show({ reference: 'org/one' })).model).toMatchObject({ health: 'healthy', size_bytes: size });
  expect(await temp.store.rm({ reference: 'org/one' })).toMatchObject({ freed_bytes: size - 'shared weights'.length + 40 });
  expect(await here(shared)).toBe(true);
  expect((await temp.store.show({ reference: 'org/two' })).model.health).toBe('healthy');
  expect(await temp.store.rm({ reference: 'org/two' })).toMatchObject({ freed_bytes: size + 40 });
  expect([await here(shared), await here(`${shared}.refs`)]).toEqual([false, false]);
});

test('[store K57] NAME@HASH removes that snapshot, its refs and the blobs that no other snapshot links', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel({ 'model.safetensors': 'first' }), { commit: A, ref: 'main' });
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel({ 'model.safetensors': 'second!' }), { commit: B, ref: 'dev' });
  const directory = join(temp.cacheDirectory, 'models--org--tiny');
  const before = (await readdir(join(directory, 'blobs'))).length;
  const data = await temp.store.rm({ reference: 'org/tiny@bbbb' });
  expect(data).toMatchObject({ action: 'deleted', commit_hash: B, freed_bytes: 'second!'.length });
  expect(await readdir(join(directory, 'snapshots'))).toEqual([A]);
  expect(await readdir(join(directory, 'refs'))).toEqual(['main']);
  expect(await readdir(join(directory, 'blobs'))).toHaveLength(before - 1);
  expect((await temp.store.show({ reference: 'org/tiny' })).model).toMatchObject({ hash: A, health: 'healthy' });
  expect(await temp.store.rm({ reference: 'org/tiny@aaaa' })).toMatchObject({ action: 'deleted', commit_hash: A });
  expect(await here(directory)).toBe(false);
});

test('[store K58] a workspace is never deleted, by path or by name, even without a cache', async () => {
  await using temp = await makeTempStore();
  await writeFiles(join(temp.workspaceHome, 'mine'), mlxModel());
  for (const reference of ['mine', './workspaces/mine', join(temp.workspaceHome, 'mine')]) {
    await expect(temp.store.rm({ reference, force: true })).rejects.toMatchObject({ code: 'workspace_model', message: expect.stringContaining('rm -rf') });
  }
  expect(await here(join(temp.workspaceHome, 'mine', 'config.json'))).toBe(true);
  await expect(temp.store.rm({ reference: 'other' })).rejects.toMatchObject({ code: 'cache_not_found' });
  await mkdir(temp.cacheDirectory);
  await expect(temp.store.rm({ reference: 'other' })).rejects.toMatchObject({ code: 'model_not_found' });
});

test('a model directory that is a link is not followed, and strict test runs delete only what is a test', async () => {
  await using temp = await makeTempStore();
  await writeFiles(join(temp.root, 'elsewhere'), { 'keep.txt': 'x', 'snapshots/c/config.json': '{}' });
  await mkdir(temp.cacheDirectory);
  await symlink('../elsewhere', join(temp.cacheDirectory, 'models--org--link'));
  await expect(temp.store.rm({ reference: 'org/link', force: true })).rejects.toMatchObject({ code: 'deletion_failed' });
  expect(await here(join(temp.root, 'elsewhere', 'keep.txt'))).toBe(true);
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel());
  expect((await temp.with({ strictTestDelete: true }).rm({ reference: 'org/tiny' })).action).toBe('deleted');
});

test('--prune removes revisions without a ref, orphan blobs and partial files, and nothing else', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel({ 'model.safetensors': 'first' }), { commit: A, ref: 'main' });
  await cacheModel(temp.cacheDirectory, 'org/tiny', mlxModel({ 'model.safetensors': 'second!' }), { commit: B, ref: null });
  const blobs = join(temp.cacheDirectory, 'models--org--tiny', 'blobs');
  await writeFiles(blobs, { 'dead.incomplete': '12345', orphan: '123' });
  expect(await temp.store.rm({ reference: 'org/tiny', prune: true })).toMatchObject({ action: 'deleted', freed_bytes: 'second!'.length + 8 });
  expect(await readdir(join(blobs, '..', 'snapshots'))).toEqual([A]);
  expect((await temp.store.health({ reference: 'org/tiny', deep: false })).summary.healthy_count).toBe(1);
  expect(await temp.store.rm({ reference: 'org/tiny', prune: true })).toMatchObject({ freed_bytes: 0 });
});
