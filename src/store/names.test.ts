import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cacheModel, makeTempStore, mlxModel } from '../../test/support/temp-store.ts';
import { isHearthError } from '../core/index.ts';
import { parseReference, repositoryDirectory, repositoryName, validateHubName } from './names.ts';

const codeOf = (task: () => unknown): string => {
  try {
    task();
    return 'accepted';
  } catch (error) {
    return isHearthError(error) ? error.code : String(error);
  }
};

test('[store K47] names that are too long or malformed are rejected offline', async () => {
  const refused = [
    '',
    'a'.repeat(97),
    'org//name',
    '/',
    'org/',
    'a/../b',
    'a/./b',
    'a\0b',
    'a\nb',
    'a\\b',
    'name@',
    'name@a..b',
    'name@x.lock',
    'name@a//b',
    'name:',
    '@rev',
    ':v',
  ];
  for (const name of refused.filter((text) => text !== '/')) expect([name, codeOf(() => parseReference(name))]).toEqual([name, 'invalid_name']);
  expect(codeOf(() => parseReference('a'.repeat(96)))).toBe('accepted');
  expect(codeOf(() => parseReference(`${'a'.repeat(96)}@${'b'.repeat(40)}`))).toBe('accepted');
  await using temp = await makeTempStore();
  let requests = 0;
  const store = temp.with({
    hub: {
      fetch: async () => {
        requests++;
        throw new Error('no request is allowed');
      },
    },
  });
  for (const name of ['a'.repeat(97), 'org//name', 'org/name/', '-edge/x', 'a--b', 'a/b/c', 'a b']) {
    await expect(store.pull({ reference: name })).rejects.toMatchObject({ code: 'invalid_name', row: { type: 'ValidationError', exitCode: 1 } });
  }
  expect(requests).toBe(0);
});

test('[store K47] names and directories convert both ways, and malformed directories are listed without a crash', async () => {
  for (const name of ['org/name', 'name', 'a/b/c', 'org/na-me_1.5']) expect(repositoryName(repositoryDirectory(name))).toBe(name);
  expect(repositoryName('models--a--b---c')).toBe('a/b/-c');
  expect(repositoryName('models--')).toBeNull();
  expect(repositoryName('datasets--a--b')).toBeNull();
  await using temp = await makeTempStore();
  for (const directory of ['models--a--b---c', 'models--', 'models----', 'datasets--x', 'models--TEST-CACHE-SENTINEL--x', '.locks']) {
    await mkdir(join(temp.cacheDirectory, directory), { recursive: true });
  }
  await cacheModel(temp.cacheDirectory, 'org/good', mlxModel());
  const { models } = await temp.store.list();
  expect(models.map((model) => model.name)).toEqual(['/', 'a/b/-c', 'org/good']);
  expect(models.map((model) => model.health)).toEqual(['unhealthy', 'unhealthy', 'healthy']);
});

test('a reference is split into name, variant, revision and adapter', () => {
  expect(parseReference('org/name:Q4_K_M@main')).toMatchObject({ kind: 'name', name: 'org/name', variant: 'Q4_K_M', revision: 'main', adapter: null });
  expect(parseReference('name@refs/pr/1')).toMatchObject({ name: 'name', revision: 'refs/pr/1', variant: null });
  expect(parseReference('base+style@2')).toMatchObject({ name: 'base', revision: null, adapter: 'style@2' });
  for (const path of ['.', '..', './x', '../x', '/abs', '~/x']) expect(parseReference(path).kind).toBe('path');
});

test('names for the hub follow its own alphabet', () => {
  for (const name of ['a--b', 'a..b', '.a/b', 'a/b-', 'a/b/c', 'a b', 'ä/b', 'a/b%20'])
    expect([name, codeOf(() => validateHubName(name))]).toEqual([name, 'invalid_name']);
  for (const name of ['org/name', 'gpt2', 'mlx-community/Qwen3-0.6B-4bit', 'a_b/c.d-e']) expect(codeOf(() => validateHubName(name))).toBe('accepted');
});
