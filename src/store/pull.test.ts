import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { codeOf, HUB_MODEL as NAME, namesIn as names, makeHubStore as setup, HUB_WEIGHTS as WEIGHTS } from '../../test/support/hub-store.ts';
import { CLOSED_ENDPOINT, cacheModel, mlxModel, writeFiles } from '../../test/support/temp-store.ts';
import { pullDataSchema } from '../contract/index.ts';
import { isHearthError } from '../core/index.ts';
import type { Store } from './index.ts';

test('[store K48] the first pull downloads into the layout of the shared cache, the second says already_exists without a request', async () => {
  await using fixture = await setup();
  const first = await fixture.store.pull({ reference: 'tiny' });
  const commit = fixture.hub.commit(NAME);
  expect(pullDataSchema.parse(first)).toMatchObject({ download_status: 'success', model: NAME, expanded_name: NAME, commit_hash: commit });
  expect(first.bytes_downloaded).toBeGreaterThan(WEIGHTS.length);
  expect(await readFile(join(fixture.directory, 'refs', 'main'), 'utf8')).toBe(commit);
  const weights = join(fixture.directory, 'snapshots', commit, 'model.safetensors');
  const digest = createHash('sha256').update(WEIGHTS).digest('hex');
  expect(await readlink(weights)).toBe(`../../blobs/${digest}`);
  expect(Buffer.compare(await readFile(weights), WEIGHTS)).toBe(0);
  expect((await names(join(fixture.directory, 'blobs'))).filter((name) => name.includes('.'))).toEqual([]);
  expect((await stat(join(fixture.directory, 'blobs', digest))).mode & 0o777).toBe(0o400);
  fixture.hub.clearRequests();
  const second = await fixture.store.pull({ reference: NAME });
  expect(second).toMatchObject({ download_status: 'already_exists', commit_hash: commit, expanded_name: null, bytes_downloaded: 0 });
  expect(fixture.hub.requests).toEqual([]);
});

test('a manifest of path, size and digests is kept, and forgotten with the model', async () => {
  await using fixture = await setup();
  await fixture.store.pull({ reference: NAME });
  const rows = (): unknown[] => {
    const database = new DatabaseSync(join(fixture.temp.options.stateDirectory, 'store.sqlite'), { readOnly: true });
    try {
      return database.prepare('SELECT path, size, digest, sha256 FROM manifest WHERE repository = ? ORDER BY path').all(NAME);
    } finally {
      database.close();
    }
  };
  const sha256 = createHash('sha256').update(WEIGHTS).digest('hex');
  const tokenizer = {
    path: 'tokenizer.json',
    size: 2,
    digest: createHash('sha1').update('blob 2\0{}').digest('hex'),
    sha256: createHash('sha256').update('{}').digest('hex'),
  };
  expect(rows()).toHaveLength(4);
  expect(rows()).toMatchObject([{ path: 'config.json' }, { path: 'model.safetensors', size: WEIGHTS.length, digest: sha256, sha256 }, tokenizer, {}]);
  await fixture.store.pull({ reference: NAME, update: true });
  expect(rows()[2]).toMatchObject(tokenizer);
  await fixture.store.rm({ reference: NAME });
  expect(rows()).toEqual([]);
});

test('progress counts up to the sum of all files', async () => {
  await using fixture = await setup();
  const seen: number[] = [];
  let total = 0;
  await fixture.store.pull({
    reference: NAME,
    onProgress: (progress) => {
      seen.push(progress.doneBytes);
      total = progress.totalBytes;
    },
  });
  expect(seen.at(-1)).toBe(total);
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
});

test('[store K49] a gated or hidden repository is access_denied, exit 1, and leaves the cache unchanged', async () => {
  for (const behaviour of [{ gated: [NAME] }, { hidden: [NAME] }, { gatedFiles: [NAME] }] as const) {
    await using fixture = await setup(behaviour);
    const error = await fixture.store.pull({ reference: NAME }).catch((thrown: unknown) => thrown);
    if (!isHearthError(error)) throw error;
    expect(error.code).toBe('access_denied');
    expect(error.row.exitCode).toBe(1);
    expect(error.details['data']).toMatchObject({ download_status: 'access_denied' });
    expect(await names(fixture.temp.cacheDirectory)).toEqual([]);
  }
});

test('[security G18] the token opens a gated repository and reaches the hub only, never a redirect target or the CDN', async () => {
  await using fixture = await setup({ gated: [NAME], token: 'secret-token-1' }, undefined, { token: 'secret-token-1' });
  expect((await fixture.store.pull({ reference: NAME })).download_status).toBe('success');
  const byOrigin = Map.groupBy(fixture.hub.requests, (request) => request.origin);
  expect(byOrigin.get('hub')?.every((request) => request.authorization === 'Bearer secret-token-1')).toBe(true);
  expect(byOrigin.get('cdn')).toHaveLength(1);
  expect(byOrigin.get('cdn')?.[0]?.authorization).toBeNull();
});

test('[store K50] a pull that is killed keeps its bytes, and --force-resume goes on with a range request', async () => {
  await using fixture = await setup({ slowMs: { 'model.safetensors': 1_000 } });
  const program = `
    import { createStore, freeSpaceOf, sleepFor } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)};
    const options = ${JSON.stringify({ ...fixture.temp.options, hub: { ...fixture.temp.options.hub, endpoint: fixture.hub.endpoint } })};
    const store = createStore({ ...options, runtimeProbe: () => ({}), freeSpace: freeSpaceOf, sleep: sleepFor, hub: { ...options.hub, fetch } });
    await store.pull({ reference: ${JSON.stringify(NAME)}, onProgress: (p) => p.file === 'model.safetensors' && process.stdout.write(p.fileDoneBytes + '\\n') });
  `;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const chunk of child.stdout) if (Number(String(chunk).trim().split('\n').at(-1)) > 40_000) break;
  const ended = new Promise((done) => child.on('close', done));
  child.kill('SIGKILL');
  await ended;
  const digest = createHash('sha256').update(WEIGHTS).digest('hex');
  const held = (await stat(join(fixture.directory, 'blobs', `${digest}.hearth.incomplete`))).size;
  expect(held).toBeGreaterThan(40_000);
  expect(held).toBeLessThan(WEIGHTS.length);
  fixture.hub.set({});
  fixture.hub.clearRequests();
  expect(await codeOf(fixture.store.pull({ reference: NAME }))).toBe('requires_confirmation');
  expect(fixture.hub.requests).toEqual([]);
  const resumed = await fixture.store.pull({ reference: NAME, forceResume: true });
  expect(resumed.download_status).toBe('success');
  expect(fixture.hub.requests.filter((request) => request.origin === 'cdn')).toMatchObject([
    { range: `bytes=${held}-`, ifRange: expect.stringContaining('"cdn-') },
  ]);
  expect(Buffer.compare(await readFile(join(fixture.directory, 'snapshots', fixture.hub.commit(NAME), 'model.safetensors')), WEIGHTS)).toBe(0);
});

test('a connection that breaks or stalls is taken up again where it ended', async () => {
  await using broken = await setup({ cutAfterBytes: { 'model.safetensors': 100_000 }, cutTimes: 2 });
  expect((await broken.store.pull({ reference: NAME })).download_status).toBe('success');
  const ranges = broken.hub.requests.filter((request) => request.origin === 'cdn').map((request) => request.range);
  expect(ranges).toHaveLength(3);
  expect(ranges[0]).toBeNull();
  expect(ranges[1]).toMatch(/^bytes=\d{4,}-$/);
  await using stalled = await setup({ stallAfterBytes: { 'model.safetensors': 100_000 }, stallTimes: 1 });
  const store = stalled.temp.with({ hub: { endpoint: stalled.hub.endpoint, timeoutMs: 300 } });
  expect((await store.pull({ reference: NAME })).download_status).toBe('success');
});

test('a partial file whose bytes were changed on the disk is found by its digest, and the next pull begins again', async () => {
  await using fixture = await setup({ cutAfterBytes: { 'model.safetensors': 50_000 } });
  const failing = fixture.temp.with({ hub: { endpoint: fixture.hub.endpoint }, sleep: async () => {} });
  fixture.hub.set({ cutAfterBytes: { 'model.safetensors': 0 } });
  expect(await codeOf(failing.pull({ reference: NAME }))).toBe('download_failed');
  const blobs = join(fixture.directory, 'blobs');
  const digest = createHash('sha256').update(WEIGHTS).digest('hex');
  await writeFile(join(blobs, `${digest}.hearth.incomplete`), Buffer.alloc(1000, 7));
  await writeFile(join(blobs, `${digest}.hearth.etag`), `"cdn-${digest.slice(0, 32)}"`);
  fixture.hub.set({});
  expect(await codeOf(fixture.store.pull({ reference: NAME, forceResume: true }))).toBe('checksum_mismatch');
  expect((await names(blobs)).filter((name) => name.startsWith(digest))).toEqual([]);
  expect((await fixture.store.pull({ reference: NAME, forceResume: true })).download_status).toBe('success');
});

test('5xx answers are tried again, with a warning in the result, and given up in the end', async () => {
  await using fixture = await setup({ failFirst: 2 });
  const delays: number[] = [];
  const store = fixture.temp.with({
    hub: { endpoint: fixture.hub.endpoint },
    sleep: async (ms) => {
      delays.push(ms);
    },
  });
  expect((await store.pull({ reference: NAME })).preflight_warning).toContain('503');
  expect(delays).toEqual([1000, 2000]);
  fixture.hub.set({ failFirst: 100 });
  delays.length = 0;
  expect(await codeOf(store.pull({ reference: NAME, update: true }))).toBe('download_failed');
  expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000]);
});

test('a hub that nobody answers for is hub_unreachable, an unknown revision hash_not_found, offline mode asks nothing', async () => {
  await using fixture = await setup();
  expect(await codeOf(fixture.temp.with({ hub: { endpoint: CLOSED_ENDPOINT } }).pull({ reference: NAME }))).toBe('hub_unreachable');
  expect(await codeOf(fixture.store.pull({ reference: `${NAME}@nobranch` }))).toBe('hash_not_found');
  fixture.hub.clearRequests();
  expect(await codeOf(fixture.temp.with({ hub: { endpoint: fixture.hub.endpoint, offline: true } }).pull({ reference: NAME }))).toBe('offline');
  expect(fixture.hub.requests).toEqual([]);
});

test('[store K51] a cached model that is not whole needs --force-resume, exit 1, and is then completed', async () => {
  await using fixture = await setup();
  await cacheModel(fixture.temp.cacheDirectory, NAME, { 'config.json': '{"model_type":"llama"}' });
  const error = await fixture.store.pull({ reference: NAME }).catch((thrown: unknown) => thrown);
  if (!isHearthError(error)) throw error;
  expect([error.code, error.row.exitCode]).toEqual(['requires_confirmation', 1]);
  expect(error.details['data']).toMatchObject({ download_status: 'requires_confirmation', model: NAME });
  expect(fixture.hub.requests).toEqual([]);
  expect((await fixture.store.pull({ reference: NAME, forceResume: true })).download_status).toBe('success');
  expect((await fixture.store.health({ reference: NAME })).summary.healthy_count).toBe(1);
});

test('[store K52] pull @rev fetches that revision, and the default snapshot stays main', async () => {
  await using fixture = await setup();
  await writeFiles(join(fixture.temp.hubFolder, NAME, 'side'), mlxModel({ 'model.safetensors': 'other weights' }));
  await fixture.store.pull({ reference: NAME });
  const side = await fixture.store.pull({ reference: `${NAME}@side` });
  expect(side.commit_hash).toBe(fixture.hub.commit(NAME, 'side'));
  expect(side.commit_hash).not.toBe(fixture.hub.commit(NAME));
  const hash = async (reference: string): Promise<string | null> => (await fixture.store.show({ reference })).model.hash;
  expect(await hash(NAME)).toBe(fixture.hub.commit(NAME));
  expect(await hash(`${NAME}@side`)).toBe(side.commit_hash);
  expect(await hash(`${NAME}@${side.commit_hash?.slice(0, 7)}`)).toBe(side.commit_hash);
  expect((await fixture.store.pull({ reference: `${NAME}@side` })).download_status).toBe('already_exists');
});

test('[store K53] less than 1.2 times the missing bytes free: refused before the first byte, with the numbers', async () => {
  await using fixture = await setup();
  const total = Object.values(mlxModel({ 'model.safetensors': WEIGHTS })).reduce((sum, content) => sum + Buffer.byteLength(content), 0);
  const with_ = (free: number): Store => fixture.temp.with({ hub: { endpoint: fixture.hub.endpoint }, freeSpace: async () => free });
  const error = await with_(Math.ceil(total * 1.2) - 1)
    .pull({ reference: NAME })
    .catch((thrown: unknown) => thrown);
  if (!isHearthError(error)) throw error;
  expect(error.code).toBe('insufficient_space');
  expect(error.details).toMatchObject({ required_bytes: Math.ceil(total * 1.2), free_bytes: Math.ceil(total * 1.2) - 1, missing_bytes: total });
  expect(fixture.hub.requests.every((request) => request.path.startsWith('/api/'))).toBe(true);
  expect(await names(fixture.temp.cacheDirectory)).toEqual([]);
  expect((await with_(Math.ceil(total * 1.2)).pull({ reference: NAME })).download_status).toBe('success');
});

test('a second pull at the same time waits for the first and then says already_exists', async () => {
  await using fixture = await setup({ slowMs: { 'model.safetensors': 10 } });
  const other = fixture.temp.with({ hub: { endpoint: fixture.hub.endpoint } });
  const outcomes = await Promise.all([fixture.store.pull({ reference: NAME }), other.pull({ reference: NAME })]);
  expect(outcomes.map((outcome) => outcome.download_status).sort()).toEqual(['already_exists', 'success']);
  expect(fixture.hub.requests.filter((request) => request.origin === 'cdn')).toHaveLength(1);
});

test('an aborted pull is cancelled, keeps its partial file and leaves no lock behind', async () => {
  await using fixture = await setup({ slowMs: { 'model.safetensors': 20 } });
  const stop = new AbortController();
  const onProgress = (progress: { readonly file: string; readonly fileDoneBytes: number }): void => {
    if (progress.file === 'model.safetensors' && progress.fileDoneBytes > 30_000) stop.abort();
  };
  expect(await codeOf(fixture.store.pull({ reference: NAME, signal: stop.signal, onProgress }))).toBe('cancelled');
  expect((await names(join(fixture.directory, 'blobs'))).some((name) => name.endsWith('.incomplete'))).toBe(true);
  expect(await names(join(fixture.temp.options.stateDirectory, 'locks'))).toEqual([]);
  expect(await names(join(fixture.temp.cacheDirectory, '.locks', 'models--mlx-community--tiny'))).toEqual([]);
});

test('--force downloads again and --update asks the hub; include and exclude choose files; refused kinds are listed', async () => {
  await using fixture = await setup({}, mlxModel({ 'model.safetensors': WEIGHTS, 'model.py': 'print()', 'pytorch_model.bin': 'x', 'notes.md': 'hello' }));
  const first = await fixture.store.pull({ reference: NAME, exclude: ['*.md'] });
  expect(first.skipped).toEqual(['model.py', 'pytorch_model.bin']);
  const snapshot = join(fixture.directory, 'snapshots', fixture.hub.commit(NAME));
  expect(await names(snapshot)).toEqual(['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']);
  expect((await fixture.store.pull({ reference: NAME, update: true })).bytes_downloaded).toBe(5);
  expect(await names(snapshot)).toContain('notes.md');
  expect((await fixture.store.pull({ reference: NAME, force: true })).bytes_downloaded).toBeGreaterThan(WEIGHTS.length);
  expect((await fixture.store.pull({ reference: NAME, update: true, include: ['*.json'] })).bytes_downloaded).toBe(0);
});

test('a repository of several GGUF variants wants one to be named, with the sizes, and fetches only that one', async () => {
  await using fixture = await setup(
    {},
    { 'tiny-Q4_K_M.gguf': 'GGUF\x03\0\0\0four', 'tiny-Q4_K_S.gguf': 'GGUF\x03\0\0\0small', 'tiny-Q8_0.gguf': 'GGUF\x03\0\0\0eight', 'mmproj-f16.gguf': 'p' },
  );
  const error = await fixture.store.pull({ reference: NAME }).catch((thrown: unknown) => thrown);
  if (!isHearthError(error)) throw error;
  expect(error.code).toBe('variant_required');
  expect(error.details['variants']).toEqual([
    { name: 'tiny-Q4_K_M', size_bytes: 12 },
    { name: 'tiny-Q4_K_S', size_bytes: 13 },
    { name: 'tiny-Q8_0', size_bytes: 13 },
  ]);
  expect(await codeOf(fixture.store.pull({ reference: `${NAME}:q4` }))).toBe('ambiguous_match');
  expect((await fixture.store.pull({ reference: `${NAME}:q8_0` })).download_status).toBe('success');
  expect(await names(join(fixture.directory, 'snapshots', fixture.hub.commit(NAME)))).toEqual(['tiny-Q8_0.gguf']);
  expect((await fixture.store.pull({ reference: `${NAME}:Q4_K_M` })).download_status).toBe('success');
  expect((await fixture.store.pull({ reference: `${NAME}:Q4_K_M` })).download_status).toBe('already_exists');
});
