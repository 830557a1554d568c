import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeKey, makeModel, TINY } from '../../../test/support/signing.ts';
import { hashFiles } from './hash-files.ts';
import { hashAll } from './hash-pool.ts';
import { signDirectory } from './sign-directory.ts';
import { walkModel } from './walk-model.ts';

test('threads give the digests of the content, in the order given, and count every byte', async () => {
  const large = Buffer.alloc(40 * 1024 * 1024, 5);
  using model = makeModel({ ...TINY, 'large.safetensors': large, empty: '' });
  const { files } = await walkModel({ directory: model.directory });
  let bytes = 0;
  const hashed = await hashFiles(files, { threads: 2, onProgress: (more) => (bytes += more) });
  expect(hashed.map(({ path }) => path)).toEqual(files.map(({ path }) => path));
  expect(hashed.find(({ path }) => path === 'large.safetensors')?.sha256).toBe(createHash('sha256').update(large).digest('hex'));
  expect(hashed.find(({ path }) => path === 'empty')?.sha256).toBe(createHash('sha256').digest('hex'));
  expect(bytes).toBe(files.reduce((sum, { identity }) => sum + identity.size, 0));
  const pieces = await hashAll([
    { source: files.find(({ path }) => path === 'large.safetensors')!.source, identity: null, sizeBytes: large.length, algorithm: 'git-sha1' },
  ]);
  expect(pieces[0]).toMatchObject({ digest: createHash('sha1').update(`blob ${large.length}\0`).update(large).digest('hex') });
});

test('a file that was changed, also to the same size and time, or taken away after the walk is refused', async () => {
  using model = makeModel(TINY);
  const { files } = await walkModel({ directory: model.directory });
  const path = join(model.directory, 'model.safetensors');
  const { atime, mtime } = statSync(path);
  writeFileSync(path, 'wEights');
  utimesSync(path, atime, mtime);
  await expect(hashFiles(files)).rejects.toMatchObject({ code: 'model_refused', details: { reason: 'file_changed', file: 'model.safetensors' } });
});

test('an abort ends the hashing', async () => {
  using model = makeModel({ 'a.safetensors': '' });
  truncateSync(join(model.directory, 'a.safetensors'), 8_000_000_000);
  const { files } = await walkModel({ directory: model.directory });
  const abort = new AbortController();
  const running = hashFiles(files, { signal: abort.signal });
  setTimeout(() => abort.abort(), 50);
  await expect(running).rejects.toMatchObject({ name: 'AbortError' });
});

const long = process.env['HEARTH_TEST_LONG'] === '1';
test.skipIf(!long)(
  `[security G12] verifying 20 GB takes less than 300 MB of memory, and at most 1.25 times as long as plain passes between them${long ? '' : ' (skipped: it takes minutes; HEARTH_TEST_LONG=1 runs it)'}`,
  async () => {
    using model = makeModel({ 'config.json': '{}' });
    const shards = Array.from({ length: 4 }, (_, index) => join(model.directory, `model-${index}.safetensors`));
    for (const shard of shards) {
      writeFileSync(shard, '');
      truncateSync(shard, 5_000_000_000);
    }
    const { signer, trusted } = makeKey();
    await signDirectory({ directory: model.directory, signer });
    writeFileSync(join(model.root, 'key.json'), JSON.stringify(trusted));
    const program = `
      import { readFileSync } from 'node:fs';
      import { verifyDirectory } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))};
      const started = performance.now();
      const report = await verifyDirectory({ directory: ${JSON.stringify(model.directory)}, trusted: [JSON.parse(readFileSync(${JSON.stringify(join(model.root, 'key.json'))}, 'utf8'))], modelId: null, now: Date.now() });
      console.log(JSON.stringify({ ok: report.ok, ms: performance.now() - started, maxRssKiB: process.resourceUsage().maxRSS }));
    `;
    const plainPass = (): number => {
      const started = performance.now();
      execFileSync('sha256sum', shards);
      return performance.now() - started;
    };
    const before = plainPass();
    const verified = JSON.parse(execFileSync(process.execPath, ['--input-type=module-typescript', '-e', program], { encoding: 'utf8' })) as {
      ok: boolean;
      ms: number;
      maxRssKiB: number;
    };
    const after = plainPass();
    expect(verified.ok).toBe(true);
    expect(verified.maxRssKiB).toBeLessThan(300 * 1000);
    expect(verified.ms / ((before + after) / 2)).toBeLessThan(1.25);
  },
  3_600_000,
);
