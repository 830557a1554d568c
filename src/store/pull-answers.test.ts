import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codeOf, HUB_MODEL as NAME, namesIn as names, makeHubStore as setup, HUB_WEIGHTS as WEIGHTS } from '../../test/support/hub-store.ts';
import { mlxModel, writeFiles } from '../../test/support/temp-store.ts';
import { isHearthError } from '../core/index.ts';

/** The forms of a hub's real answers: waits that it asks for, refusals, renamings, ETags. */

function listening(fixture: Awaited<ReturnType<typeof setup>>) {
  const delays: number[] = [];
  const notices: string[] = [];
  const store = fixture.temp.with({
    hub: { endpoint: fixture.hub.endpoint },
    sleep: async (ms) => {
      delays.push(ms);
    },
  });
  return { delays, notices, pull: (reference: string = NAME) => store.pull({ reference, onNotice: (message) => notices.push(message) }) };
}

test('a pause that the hub asks for is kept, told when it is long, and refused when nobody would wait for it', async () => {
  const soon = new Date(Date.now() + 90_000);
  const cases: readonly (readonly [headers: Readonly<Record<string, string>>, status: number, delay: number | null])[] = [
    [{ 'retry-after': '7' }, 429, 7000],
    [{ 'retry-after': '0' }, 503, 1000],
    [{ 'retry-after': soon.toUTCString(), date: new Date(soon.getTime() - 42_000).toUTCString() }, 503, 42_000],
    [{ ratelimit: '"api";r=0;t=55' }, 429, 55_000],
    [{ 'retry-after': 'soon' }, 500, 1000],
    [{ 'retry-after': '3600' }, 429, null],
  ];
  for (const [failHeaders, failStatus, delay] of cases) {
    await using fixture = await setup({ failFirst: 1, failStatus, failHeaders });
    const { delays, notices, pull } = listening(fixture);
    const result = await pull().catch((error: unknown) => error);
    if (delay === null) {
      expect(result).toMatchObject({ code: 'download_failed', message: expect.stringContaining('60 minutes'), details: { retry_after_s: 3600 } });
      expect(delays).toEqual([]);
    } else {
      expect([failHeaders, result]).toMatchObject([
        failHeaders,
        { download_status: 'success', preflight_warning: expect.stringContaining(String(failStatus)) },
      ]);
      expect([failHeaders, delays]).toEqual([failHeaders, [delay]]);
      expect([failHeaders, notices.length]).toEqual([failHeaders, delay > 5000 ? 1 : 0]);
    }
  }
});

test('[store K49] every refusal of a repository says what it may be and how a token is given, and writes nothing', async () => {
  for (const [status, code] of [
    [401, 'access_denied'],
    [403, 'access_denied'],
    [404, 'access_denied'],
    [400, 'download_failed'],
    [418, 'download_failed'],
  ] as const) {
    await using fixture = await setup({ failFirst: 9, failStatus: status });
    const error = await fixture.store.pull({ reference: NAME }).catch((thrown: unknown) => thrown);
    if (!isHearthError(error)) throw error;
    expect([status, error.code]).toEqual([status, code]);
    expect(error.message).toContain(code === 'access_denied' ? 'HF_TOKEN' : String(status));
    expect(fixture.hub.requests).toHaveLength(1);
    expect(await names(fixture.temp.cacheDirectory)).toEqual([]);
  }
  await using gated = await setup({ gated: [NAME] });
  await expect(gated.store.pull({ reference: NAME })).rejects.toMatchObject({ message: expect.stringContaining(`${gated.hub.endpoint}/${NAME}`) });
});

test('files come by the relative redirects and the weak ETags of the hub, and from a repository that was renamed', async () => {
  await using fixture = await setup({ resolveCache: true, weakEtags: true, renamed: { 'old/name': NAME } });
  expect((await fixture.store.pull({ reference: NAME })).download_status).toBe('success');
  expect(fixture.hub.requests.filter(({ path }) => path.startsWith('/api/resolve-cache/'))).toHaveLength(3);
  const old = await fixture.store.pull({ reference: 'old/name' });
  expect(old).toMatchObject({ download_status: 'success', model: 'old/name', commit_hash: fixture.hub.commit(NAME) });
  expect(
    Buffer.compare(await readFile(join(fixture.temp.cacheDirectory, 'models--old--name', 'snapshots', old.commit_hash!, 'model.safetensors')), WEIGHTS),
  ).toBe(0);
  fixture.hub.set({ resolveCache: true, wrongEtag: ['config.json'] });
  expect(await codeOf(fixture.store.pull({ reference: NAME, force: true }))).toBe('checksum_mismatch');
});

test('[store K50] what was held is dropped when the source has changed meanwhile: the file is fetched from its first byte', async () => {
  await using fixture = await setup({ cutAfterBytes: { 'model.safetensors': 100_000 } });
  const { pull } = listening(fixture);
  const stop = fixture.temp.with({ hub: { endpoint: fixture.hub.endpoint }, sleep: () => Promise.reject(new Error('stopped here')) });
  await expect(stop.pull({ reference: NAME })).rejects.toThrow('stopped here');
  const partial = (await names(join(fixture.directory, 'blobs'))).find((name) => name.endsWith('.incomplete'));
  expect(partial).toBeDefined();
  fixture.hub.set({ cdnEtagSuffix: '-second' });
  fixture.hub.clearRequests();
  await expect(pull()).rejects.toMatchObject({ code: 'requires_confirmation' });
  const resumed = await fixture.store.pull({ reference: NAME, forceResume: true });
  const asked = fixture.hub.requests.filter(({ origin }) => origin === 'cdn');
  expect(asked).toHaveLength(1);
  expect(asked[0]?.range).toMatch(/^bytes=\d{4,}-$/);
  expect(resumed.bytes_downloaded).toBeGreaterThanOrEqual(WEIGHTS.length);
  expect(Buffer.compare(await readFile(join(fixture.directory, 'snapshots', resumed.commit_hash!, 'model.safetensors')), WEIGHTS)).toBe(0);
});

test('--revision takes a branch with slashes, a tag or the start of a commit, and a partial file of another tool is left alone', async () => {
  await using fixture = await setup();
  await writeFiles(join(fixture.temp.hubFolder, NAME, 'side'), mlxModel({ 'model.safetensors': 'other weights' }));
  const commit = fixture.hub.commit(NAME, 'side');
  expect((await fixture.store.pull({ reference: `${NAME}@${commit}` })).commit_hash).toBe(commit);
  expect(await names(join(fixture.directory, 'refs'))).toEqual([]);
  const foreign = join(fixture.directory, 'blobs', `${'1'.repeat(64)}.incomplete`);
  await writeFile(foreign, 'half of it');
  expect(await fixture.store.pull({ reference: `${NAME}@side` })).toMatchObject({ download_status: 'success', bytes_downloaded: 0 });
  expect((await fixture.store.pull({ reference: `${NAME}@side` })).download_status).toBe('already_exists');
  expect(await names(join(fixture.directory, 'refs'))).toEqual(['side']);
  expect(await readFile(foreign, 'utf8')).toBe('half of it');
});
