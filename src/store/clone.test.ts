import { chmod, cp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { codeOf, HUB_MODEL, HUB_WEIGHTS, makeHubStore, namesIn } from '../../test/support/hub-store.ts';
import { cacheModel, makeTempStore, mlxModel, safetensorsBytes, writeFiles } from '../../test/support/temp-store.ts';
import { cloneDataSchema } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import { copyFiles } from './workspace/copy-files.ts';
import { readSentinel, SENTINEL_FILE, writeSentinel } from './workspace/sentinel.ts';
import { openWorkArea, removeWorkArea, workAreaPath } from './workspace/work-area.ts';

const never = new AbortController().signal;
const hidden = async (directory: string): Promise<string[]> => (await namesIn(directory)).filter((name) => name.startsWith('.hearth_temp_'));

test('[store K59] without a target the short name is made in the workspace home, and what is there already is an error', async () => {
  await using hub = await makeHubStore();
  const data = cloneDataSchema.parse(await hub.store.clone({ reference: HUB_MODEL }));
  expect(data).toMatchObject({
    clone_status: 'success',
    model: HUB_MODEL,
    target_dir: join(hub.temp.workspaceHome, 'tiny'),
    health: 'healthy',
    commit_hash: hub.hub.commit(HUB_MODEL),
  });
  expect(await readFile(join(data.target_dir, 'model.safetensors'))).toEqual(HUB_WEIGHTS);
  expect(await hidden(hub.temp.workspaceHome)).toEqual([]);
  expect(await namesIn(hub.temp.cacheDirectory)).toEqual([]);
  await expect(hub.store.clone({ reference: `${HUB_MODEL}@main` })).rejects.toMatchObject({
    code: 'invalid_target',
    row: { type: 'InvalidTargetError', exitCode: 1 },
  });
  const without = hub.temp.with({ workspaceHome: null, hub: { endpoint: hub.hub.endpoint } });
  await expect(without.clone({ reference: HUB_MODEL })).rejects.toMatchObject({ code: 'workspace_home_missing', row: { type: 'ValidationError' } });
});

test('a copy from the cache is judged where nothing can load it yet, and what changes in the cache meanwhile does not matter', async () => {
  await using hub = await makeHubStore();
  const snapshot = await cacheModel(hub.temp.cacheDirectory, 'org/cached', mlxModel());
  const judged: (readonly [string, string])[] = [];
  let refuses = false;
  const guarded = hub.temp.with({
    intake: {
      async admit({ files, purpose }) {
        for (const { path, source } of files) {
          judged.push([path, await readFile(source, 'utf8')]);
          await writeFile(join(snapshot, path), 'changed meanwhile');
        }
        expect([purpose, files.every(({ source }) => source.startsWith(join(hub.temp.workspaceHome, '.hearth_temp_')))]).toEqual(['import', true]);
        for (const { source } of files) expect(await codeOf(hub.temp.store.open({ reference: dirname(source) }))).toBe('model_not_found');
        if (refuses) throw new HearthError('model_refused', 'org/cached is refused: it is a test.');
        return { findings: [], warnings: [], cleaned: [], templates: [] };
      },
    },
  });
  const { target_dir: made } = await guarded.clone({ reference: 'org/cached' });
  expect(judged.map(([path]) => path).toSorted()).toEqual(Object.keys(mlxModel()).toSorted());
  for (const [path, text] of judged) expect([path, await readFile(join(made, path), 'utf8')]).toEqual([path, text]);
  expect(judged.some(([, text]) => text === 'changed meanwhile')).toBe(false);
  refuses = true;
  await cacheModel(hub.temp.cacheDirectory, 'org/other', mlxModel());
  expect(await codeOf(guarded.clone({ reference: 'org/other' }))).toBe('model_refused');
  expect(await namesIn(hub.temp.workspaceHome)).toEqual(['cached']);
});

test('[store K59] a bare target lies in the home, one with a separator is taken as it is, and it must be free and writable', async () => {
  await using hub = await makeHubStore();
  const target = (text: string) => hub.store.clone({ reference: HUB_MODEL, target: text }).then((data) => data.target_dir);
  expect(await target('mine')).toBe(join(hub.temp.workspaceHome, 'mine'));
  expect(await target('./mine')).toBe(join(hub.temp.root, 'mine'));
  await mkdir(join(hub.temp.root, 'empty'));
  const before = (await stat(join(hub.temp.root, 'empty'))).ino;
  expect(await target('./empty')).toBe(join(hub.temp.root, 'empty'));
  expect((await stat(join(hub.temp.root, 'empty'))).ino).toBe(before);
  await writeFile(join(hub.temp.root, 'file'), 'x');
  for (const bad of ['./mine', './file', './nowhere/deep', './file/below']) expect([bad, await codeOf(target(bad))]).toEqual([bad, 'invalid_target']);
  expect(await codeOf(target(join(hub.temp.cacheDirectory, 'models--a--b')))).toBe('invalid_target');
  expect(await codeOf(hub.store.clone({ reference: './mine', target: './other' }))).toBe('invalid_name');
});

test('[store K61] --branch and @rev clone that revision and record its commit; two different ones are a usage error', async () => {
  await using hub = await makeHubStore();
  await writeFiles(join(hub.temp.hubFolder, HUB_MODEL, 'side'), mlxModel({ 'model.safetensors': 'side' }));
  for (const parameters of [
    { reference: HUB_MODEL, branch: 'side', target: 'a' },
    { reference: `${HUB_MODEL}@side`, target: 'b' },
    { reference: `${HUB_MODEL}@side`, branch: 'side', target: 'c' },
  ]) {
    const data = await hub.store.clone(parameters);
    expect(await readFile(join(data.target_dir, 'model.safetensors'), 'utf8')).toBe('side');
    expect(await readSentinel(data.target_dir)).toMatchObject({
      source_repo: HUB_MODEL,
      source_revision: hub.hub.commit(HUB_MODEL, 'side'),
      operation: 'clone',
      managed: true,
    });
  }
  await expect(hub.store.clone({ reference: `${HUB_MODEL}@main`, branch: 'side', target: 'd' })).rejects.toMatchObject({
    code: 'usage',
    row: { type: 'CommandError', exitCode: 2 },
  });
});

test('[store K62] a stopped clone keeps its work area and says so, and the same command fetches only what is missing', async () => {
  await using hub = await makeHubStore({ slowMs: { 'model.safetensors': 20 } });
  const stop = new AbortController();
  const stopped = hub.store.clone({
    reference: HUB_MODEL,
    signal: stop.signal,
    onProgress: ({ step, doneBytes }) => {
      if (step === 'download' && doneBytes > 100_000) stop.abort();
    },
  });
  const [work = ''] = await stopped.then(
    () => [],
    async (error: { code: string; message: string; details: { data: unknown } }) => {
      expect(error).toMatchObject({ code: 'cancelled', row: { type: 'UserCancelledError', exitCode: 130 }, details: { data: { clone_status: 'cancelled' } } });
      const found = await hidden(hub.temp.workspaceHome);
      expect(error.message).toContain(found[0]);
      return found;
    },
  );
  expect(work).toMatch(/^\.hearth_temp_[0-9a-f]{16}$/);
  expect(join(hub.temp.workspaceHome, work)).toBe(workAreaPath(HUB_MODEL, join(hub.temp.workspaceHome, 'tiny')));
  expect(await namesIn(join(hub.temp.workspaceHome, work))).toContain('.hearth_temp_cache_sentinel');
  expect(await namesIn(hub.temp.workspaceHome)).toEqual([work]);
  hub.hub.clearRequests();
  hub.hub.set({});
  expect(await hub.store.clone({ reference: HUB_MODEL })).toMatchObject({ clone_status: 'success', health: 'healthy' });
  expect(hub.hub.requests.filter(({ range }) => /^bytes=[1-9]\d*-$/.test(range ?? '')).length).toBeGreaterThan(0);
  expect(await namesIn(hub.temp.workspaceHome)).toEqual(['tiny']);
});

test('[store K62] a complete and healthy download is used without a request; an unhealthy one is fetched anew unless --force-resume', async () => {
  const { 'tokenizer.json': _, ...broken } = mlxModel();
  for (const [files, forceResume, fetched] of [
    [mlxModel(), false, false],
    [broken, true, false],
    [broken, false, true],
  ] as const) {
    await using hub = await makeHubStore({}, files);
    // Stopped while files are put in place: the download is complete by then.
    const stop = new AbortController();
    await hub.store
      .clone({ reference: HUB_MODEL, target: './late', onProgress: ({ step }) => step === 'copy' && stop.abort(), signal: stop.signal })
      .catch(() => {});
    expect(await namesIn(join(hub.temp.root, (await hidden(hub.temp.root))[0]!))).toContain('.hearth_download_complete');
    hub.hub.clearRequests();
    const data = await hub.store.clone({ reference: HUB_MODEL, target: './late', ...(forceResume ? { forceResume } : {}) });
    expect(data).toMatchObject({ clone_status: 'success', health: files === broken ? 'unhealthy' : 'healthy' });
    expect(hub.hub.requests.length > 0).toBe(fetched);
    expect(await hidden(hub.temp.root)).toEqual([]);
  }
});

test('a failed clone leaves nothing where nothing can be resumed, and tells the reason of the pull', async () => {
  await using hub = await makeHubStore({ gated: [HUB_MODEL] });
  await expect(hub.store.clone({ reference: HUB_MODEL })).rejects.toMatchObject({ code: 'access_denied', details: { data: { clone_status: 'pull_failed' } } });
  expect(await codeOf(hub.store.clone({ reference: 'org/none' }))).toBe('access_denied');
  expect(await namesIn(hub.temp.workspaceHome)).toEqual([]);
});

test('[store K63] blocks are shared where the file system can; after the first refusal every file is copied, with room checked once', async () => {
  await using temp = await makeTempStore();
  await writeFiles(join(temp.root, 'from'), { a: 'aaa', 'sub/b': 'bb', c: 'c' });
  const items = ['a', 'sub/b', 'c'].map((path, i) => ({ from: join(temp.root, 'from', path), path, sizeBytes: 3 - i }));
  const asked: number[] = [];
  const requireSpace = async (bytes: number) => void asked.push(bytes);
  const tried: string[] = [];
  const able = { reflink: (from: string, to: string) => cp(from, to), requireSpace, signal: never };
  expect(await copyFiles(items, join(temp.root, 'shared'), able)).toEqual({ moved: 0, shared: 3, copied: 0 });
  expect(asked).toEqual([]);
  const refusing = {
    ...able,
    reflink: async (from: string) => {
      tried.push(from);
      throw new Error('not supported');
    },
  };
  expect(await copyFiles(items, join(temp.root, 'plain'), refusing)).toEqual({ moved: 0, shared: 0, copied: 3 });
  expect([tried.length, asked]).toEqual([1, [6]]);
  // What this file system really does, whichever it is.
  const real = await copyFiles(items, join(temp.root, 'real'), { requireSpace, signal: never });
  expect(real.shared + real.copied).toBe(3);
  for (const place of ['shared', 'plain', 'real']) {
    expect(await readFile(join(temp.root, place, 'sub', 'b'), 'utf8')).toBe('bb');
    expect((await stat(join(temp.root, place, 'a'))).mode & 0o777).toBe(0o600);
  }
});

test('[store K63] a whole snapshot of the cache is copied without any request and stays as it is; --from-hub asks the hub', async () => {
  await using hub = await makeHubStore();
  const commit = 'b'.repeat(40);
  const snapshot = await cacheModel(hub.temp.cacheDirectory, HUB_MODEL, mlxModel({ 'model.safetensors': 'cached', 'twin.txt': '{}' }), { commit });
  const data = await hub.store.clone({ reference: HUB_MODEL, target: 'from-cache' });
  expect(data).toMatchObject({ commit_hash: commit, health: 'healthy', message: expect.stringContaining('from the cache') });
  expect(hub.hub.requests).toEqual([]);
  expect(await readFile(join(data.target_dir, 'model.safetensors'), 'utf8')).toBe('cached');
  expect((await stat(join(data.target_dir, 'config.json'))).isFile()).toBe(true);
  await writeFile(join(data.target_dir, 'tokenizer.json'), '{"edited":1}');
  expect(await readFile(join(snapshot, 'tokenizer.json'), 'utf8')).toBe('{}');
  expect(await readFile(join(data.target_dir, 'twin.txt'), 'utf8')).toBe('{}');
  expect(await hub.store.clone({ reference: HUB_MODEL, target: 'from-hub', fromHub: true })).toMatchObject({ commit_hash: hub.hub.commit(HUB_MODEL) });
  const offline = hub.temp.with({ hub: { offline: true } });
  expect(await offline.clone({ reference: HUB_MODEL, target: 'offline' })).toMatchObject({ commit_hash: commit });
  expect(await codeOf(offline.clone({ reference: HUB_MODEL, target: 'asked', fromHub: true }))).toBe('offline');
});

test('[store K64] no path deletes a directory without its mark: planted directories, links and files stay', async () => {
  await using hub = await makeHubStore();
  const { root } = hub.temp;
  const target = join(root, 'ws');
  const work = workAreaPath(HUB_MODEL, target);
  await writeFiles(work, { 'precious.txt': 'mine' });
  await expect(hub.store.clone({ reference: HUB_MODEL, target })).rejects.toMatchObject({ code: 'unsafe_path' });
  expect(await readFile(join(work, 'precious.txt'), 'utf8')).toBe('mine');
  await rm(work, { recursive: true });
  await writeFiles(join(root, 'elsewhere'), { '.hearth_temp_cache_sentinel': 'x', 'precious.txt': 'mine' });
  await symlink(join(root, 'elsewhere'), work);
  expect(await codeOf(hub.store.clone({ reference: HUB_MODEL, target }))).toBe('unsafe_path');
  expect(await codeOf(removeWorkArea(work))).toBe('unsafe_path');
  expect(await codeOf(removeWorkArea(join(root, 'elsewhere')))).toBe('unsafe_path');
  expect(await namesIn(join(root, 'elsewhere'))).toEqual(['.hearth_temp_cache_sentinel', 'precious.txt']);
  const linkedMark = join(root, '.hearth_temp_0123456789abcdef');
  await mkdir(linkedMark);
  await symlink(join(root, 'elsewhere', 'precious.txt'), join(linkedMark, '.hearth_temp_cache_sentinel'));
  expect(await codeOf(removeWorkArea(linkedMark))).toBe('unsafe_path');
  const own = join(root, '.hearth_temp_fedcba9876543210');
  expect(await openWorkArea(own)).toEqual({ found: false });
  await symlink(join(root, 'elsewhere'), join(own, 'link'));
  await removeWorkArea(own);
  expect(await namesIn(join(root, 'elsewhere'))).toEqual(['.hearth_temp_cache_sentinel', 'precious.txt']);
  expect((await readdir(root)).includes('.hearth_temp_fedcba9876543210')).toBe(false);
});

test('[store K65] the sentinel has every field, is pinned clean, keeps unknown keys and 64-bit times, and is replaced as a whole', async () => {
  await using hub = await makeHubStore({}, mlxModel({ 'model.safetensors': safetensorsBytes({ t: [2, 2] }) }));
  const store = hub.temp.with({ hearthVersion: '9.8.7', hub: { endpoint: hub.hub.endpoint } });
  const { target_dir: target } = await store.clone({ reference: HUB_MODEL });
  const sentinel = (await readSentinel(target))!;
  expect(sentinel).toMatchObject({
    mlxk_version: '2.0.7',
    hearth_version: '9.8.7',
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    source_repo: HUB_MODEL,
    source_revision: hub.hub.commit(HUB_MODEL),
    managed: true,
    operation: 'clone',
    hash_algorithm: 'v2',
    hash_modified: expect.any(String),
  });
  expect(sentinel['exclude_patterns']).toHaveLength(34);
  const index = sentinel['file_index'] as { path: string; size: number; mtime_ns: bigint; sha: string }[];
  expect(index.map(({ path }) => path)).toEqual(['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']);
  expect(index[0]!.mtime_ns).toBe((await stat(join(target, 'config.json'), { bigint: true })).mtimeNs);
  expect(index[0]!.mtime_ns).toBeGreaterThan(BigInt(Number.MAX_SAFE_INTEGER));
  await writeSentinel(target, { ...sentinel, future: { kept: [1.5] } });
  const text = await readFile(join(target, SENTINEL_FILE), 'utf8');
  expect(text.startsWith('{\n  "') && text.endsWith('}\n')).toBe(true);
  expect(text).toContain(`"mtime_ns": ${index[0]!.mtime_ns}`);
  await chmod(join(target, 'config.json'), 0o600);
  expect((await store.show({ reference: 'tiny', recalcHash: true })).model.clean).toBe(true);
  expect((await readSentinel(target))?.['future']).toEqual({ kept: [1.5] });
  expect((await namesIn(target)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});
