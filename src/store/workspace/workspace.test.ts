import { createHash } from 'node:crypto';
import { cp, mkdir, open, readFile, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeTempStore, mlxModel, type TempStore, writeFiles } from '../../../test/support/temp-store.ts';
import { aggregateHash, computeContentHash, entryHash, walkWorkspace } from './content-hash.ts';
import { compileExcludes, DEFAULT_EXCLUDES } from './exclude-patterns.ts';
import { readSentinel, SENTINEL_FILE, writeSentinel } from './sentinel.ts';

const hashOf = async (root: string): Promise<string | null> => (await computeContentHash(root, DEFAULT_EXCLUDES))?.contentHash ?? null;

test('[store K66] the content hash equals the published vectors A to D, the aggregate and the size cap', async () => {
  await using temp = await makeTempStore();
  const root = join(temp.root, 'ws');
  await writeFiles(root, { 'config.json': '{"model_type":"llama"}' });
  expect(await hashOf(root)).toBe('sha256:b113fd017dbf0ad2efa74287cfc09808ea6fda72dd0ae922c4cf756b4651269e');
  const header = Buffer.from('{"t":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]}}');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFiles(root, { 'model.safetensors': Buffer.concat([length, header, Buffer.alloc(8)]), 'sub/a.txt': 'abc', '.DS_Store': 'x' });
  expect(await hashOf(root)).toBe('sha256:50cfb4140985e975ff412094538bb67b7b7a7470180cb80885ac8fa38e380ad9');
  await symlink('config.json', join(root, 'link.json'));
  expect(await hashOf(root)).toBe('sha256:a5b4a1b254bc0c9fd07e21e1f6377644ddc534f78c96a2b71c03d08b0748bcfb');
  await writeFiles(root, { ['é.txt'.normalize('NFD')]: 'e' });
  expect(await hashOf(root)).toBe('sha256:f7c36556cf9409ba2c1c091d575bcc4147f120d0efa149223c1d916e9d7a0576');
  expect(
    aggregateHash([
      { path: 'b.json', sha: 'sha256:bb' },
      { path: 'a.json', sha: 'sha256:aa' },
    ]),
  ).toBe('sha256:fca75de325aaa2c3994fdedc16fa2fb50d6face35894379f5c92fb4aeb7cb58b');
  await using giant = await open(join(temp.root, 'giant.bin'), 'w');
  await giant.truncate(1_073_741_825);
  const entry = { path: 'giant.bin', size: 1_073_741_825, mtimeNs: 0n, absolute: join(temp.root, 'giant.bin'), linkTarget: null };
  expect(await entryHash(entry)).toBe('sha256:8421d7c6fbf922cb91bea07f53114943760db6a46ff86d05f37c29582bbc5466');
});

test('[store K66] paths are sorted by code point, patterns match names at any depth, and damage or a leaving link gives no hash', async () => {
  const entries = ['\u{10000}', '\uFFFF'].map((path) => ({ path, sha: 'sha256:00' }));
  const byHand = createHash('sha256').update('\uFFFF\0sha256:00\u{10000}\0sha256:00').digest('hex');
  expect(aggregateHash(entries)).toBe(`sha256:${byHand}`);
  const excludes = compileExcludes(DEFAULT_EXCLUDES);
  expect(['a.tmp', '._x', 'Icon\r', 'b~', '.a.swp'].every((name) => excludes.file(name))).toBe(true);
  expect(['a.TMP', 'x.lock.json', '.git', 'Icon'].some((name) => excludes.file(name))).toBe(false);
  expect(excludes.directory('.git') && excludes.directory('System Volume Information') && !excludes.directory('git')).toBe(true);
  expect(compileExcludes(['[ab]?.x', '[!a]y']).file('a1.x')).toBe(true);
  await using temp = await makeTempStore();
  const root = join(temp.root, 'ws');
  await writeFiles(root, { 'config.json': '{}', 'sub/node_modules/x.json': '{}', 'node_modules/y': 'y' });
  expect((await walkWorkspace(root, DEFAULT_EXCLUDES))?.map((file) => file.path)).toEqual(['config.json']);
  await writeFiles(root, { 'model.safetensors': 'short' });
  expect(await hashOf(root)).toBeNull();
});

/** A managed workspace that was just pinned. */
async function pinned(temp: TempStore, name = 'ws'): Promise<string> {
  const root = join(temp.workspaceHome, name);
  const { 'model.safetensors': _, ...files } = mlxModel();
  await writeFiles(root, {
    ...files,
    'm.gguf': 'x',
    'sub/notes.md': 'a',
    [SENTINEL_FILE]: JSON.stringify({ mlxk_version: '2.0.7', managed: true, source_repo: 'org/x', custom: { kept: [1] } }),
  });
  const shown = await temp.store.show({ reference: name, recalcHash: true });
  expect(shown).toMatchObject({ hash_updated: true, model: { clean: true, content_hash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) } });
  return root;
}

const clean = async (temp: TempStore, reference = 'ws'): Promise<boolean | null | undefined> => (await temp.store.show({ reference })).model.clean;

test('the sentinel keeps unknown keys and 64-bit times, with two spaces and a final newline', async () => {
  await using temp = await makeTempStore();
  const root = join(temp.root, 'ws');
  const text = `{\n  "managed": true,\n  "future": {\n    "x": 1.5\n  },\n  "file_index": [\n    {\n      "path": "a",\n      "size": 1,\n      "mtime_ns": 1719830430123456789,\n      "sha": "sha256:00"\n    }\n  ]\n}\n`;
  await writeFiles(root, { [SENTINEL_FILE]: text });
  const sentinel = await readSentinel(root);
  expect((sentinel!['file_index'] as { mtime_ns: bigint }[])[0]?.mtime_ns).toBe(1719830430123456789n);
  await writeSentinel(root, sentinel!);
  expect(await readFile(join(root, SENTINEL_FILE), 'utf8')).toBe(text);
});

test('[store K67] a copy of a workspace stays clean, and its new times are written back', async () => {
  await using temp = await makeTempStore();
  const root = await pinned(temp);
  await cp(root, join(temp.workspaceHome, 'copy'), { recursive: true });
  await utimes(join(temp.workspaceHome, 'copy', 'config.json'), 1000, 2000);
  expect(await clean(temp, 'copy')).toBe(true);
  const index = (await readSentinel(join(temp.workspaceHome, 'copy')))?.['file_index'] as { path: string; mtime_ns: bigint }[];
  expect(index.find((entry) => entry.path === 'config.json')?.mtime_ns).toBe(2_000_000_000_000n);
  expect((await readSentinel(join(temp.workspaceHome, 'copy')))?.['custom']).toEqual({ kept: [1] });
});

test('[store K68] an edited template, config or tokenizer, a new and a missing file make a workspace dirty', async () => {
  for (const [file, content] of [
    ['tokenizer_config.json', JSON.stringify({ chat_template: '{{ messagez }}' })],
    ['config.json', '{"model_type":"llama"}'],
    ['tokenizer.json', '[]'],
    ['sub/new.txt', 'x'],
  ] as const) {
    await using temp = await makeTempStore();
    const root = await pinned(temp);
    const before = (await temp.store.show({ reference: 'ws' })).model.content_hash;
    await writeFile(join(root, file), content);
    expect([file, await clean(temp)]).toEqual([file, false]);
    expect((await temp.store.list()).models[0]).toMatchObject({ clean: false, content_hash: before });
  }
});

test('[store K21] --recalc-hash makes a dirty or version-1 workspace clean, and refuses anything else', async () => {
  await using temp = await makeTempStore();
  const root = await pinned(temp);
  await writeFile(join(root, 'config.json'), '{"model_type":"llama","x":1}');
  expect(await clean(temp)).toBe(false);
  const shown = await temp.store.show({ reference: 'ws', recalcHash: true });
  expect(shown).toMatchObject({ hash_updated: true, model: { clean: true } });
  const sentinel = await readSentinel(root);
  await writeSentinel(root, { ...sentinel, hash_algorithm: 'v1', content_hash: 'a'.repeat(64) });
  expect(await clean(temp)).toBeNull();
  expect((await temp.store.show({ reference: 'ws', recalcHash: true })).model).toMatchObject({ clean: true, content_hash: shown.model.content_hash });
  await writeFiles(join(temp.workspaceHome, 'unmanaged'), mlxModel());
  await writeFiles(join(temp.cacheDirectory, 'models--org--cached', 'snapshots', 'c'), mlxModel());
  for (const reference of ['unmanaged', 'org/cached']) {
    await expect(temp.store.show({ reference, recalcHash: true })).rejects.toMatchObject({ code: 'invalid_argument', row: { type: 'InvalidArgumentError' } });
  }
});

test('[store K69] an index path that leaves the workspace makes the state unknown, and its file is not opened', async () => {
  for (const path of ['../secret', '/etc/hosts', 'a/../../x', 'C:x', 'a\\b', '', 'a\0b']) {
    await using temp = await makeTempStore();
    const root = await pinned(temp);
    const sentinel = await readSentinel(root);
    const index = sentinel?.['file_index'] as object[];
    // A directory in its place: opening it as a file would fail loudly.
    await mkdir(join(temp.workspaceHome, 'secret'));
    await writeSentinel(root, { ...sentinel, file_index: [...index, { path, size: 1, mtime_ns: 1n, sha: 'sha256:00' }] });
    expect([path, await clean(temp)]).toEqual([path, null]);
  }
});

test('[store K70] a link that leaves the workspace is refused: no hash, state unknown, file not seen', async () => {
  await using temp = await makeTempStore();
  const root = await pinned(temp);
  await writeFiles(temp.root, { 'secret.txt': 'secret' });
  await symlink('../../secret.txt', join(root, 'vocab.txt'));
  expect(await clean(temp)).toBeNull();
  expect(await hashOf(root)).toBeNull();
  const { file_details: files } = await temp.store.show({ reference: 'ws', files: true });
  expect(files?.map((file) => file.path)).not.toContain('vocab.txt');
  await expect(temp.store.show({ reference: 'ws', recalcHash: true })).rejects.toMatchObject({ code: 'show_operation_failed' });
});
