import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DEFAULT_KEY_POLICY, type EndpointDefinition, endpoints, pathNames } from '../../src/contract/index.ts';
import { createStoreModels } from '../../src/gateway/index.ts';
import { createAccess, createApiKeyStore } from '../../src/security/index.ts';
import { startHttp } from '../support/http-fixture.ts';
import { cacheModel, makeTempStore, mlxModel } from '../support/temp-store.ts';

const IDS = [
  '../../x',
  '..',
  'a/b',
  'x\u0000y',
  '\u2215etc\u2215x',
  '..\\..\\x',
  '%2e%2e%2fx',
  '/etc/passwd',
  '__proto__',
  'constructor',
  ' ',
  '\u202ex',
  'x'.repeat(5_000),
];

/** As a raw client sends it: nothing is tidied on the way. */
const ask = (port: number, method: string, path: string, headers: Record<string, string>): Promise<{ status: number; text: string }> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece) => {
        text += piece;
      });
      response.on('end', () => resolve({ status: response.statusCode!, text }));
    });
    asked.on('error', reject);
    asked.end();
  });

test('ids that climb, hold separators or zero bytes, or are long are refused or unknown on every route, and touch no file', async () => {
  await using store = await makeTempStore({ hub: { offline: true } });
  await cacheModel(store.cacheDirectory, 'org/fake', mlxModel());
  const directory = await mkdtemp(join(tmpdir(), 'hearth_ids_'));
  const clock = { now: Date.now, monotonic: () => performance.now() };
  const keys = createApiKeyStore({ path: join(directory, 'state', 'access.sqlite'), clock });
  await using server = await startHttp(
    {},
    { store: store.store, models: createStoreModels(store.store), api: { keys, access: createAccess({ keys, clock }) } },
  );
  const admin = keys.create({ name: null, policy: { ...DEFAULT_KEY_POLICY, scopes: ['admin'] }, expiresAtMs: null }).key;
  const port = server.listener.port!;
  const before = [await readdir(store.root, { recursive: true }), await readdir(directory, { recursive: true })];
  const named = (Object.values(endpoints) as EndpointDefinition[]).filter((endpoint) => pathNames(endpoint.path).length > 0);
  expect(named.length).toBeGreaterThan(15);
  for (const endpoint of named) {
    for (const id of [...IDS, 'x'.repeat(1_000_000)]) {
      for (const written of [encodeURIComponent(id), id.length < 100 ? encodeURI(id).replaceAll('#', '%23') : '']) {
        if (written === '') continue;
        const path = pathNames(endpoint.path).reduce(
          (filled, { name, rest }) => filled.replace(`{${name}${rest ? '+' : ''}}`, () => written),
          endpoint.path as string,
        );
        const { status, text } = await ask(port, endpoint.method, path, { authorization: `Bearer ${admin}` }).catch((error: NodeJS.ErrnoException) => {
          // A megabyte of URL is cut off while it is still sent.
          if (id.length > 100_000 && ['ECONNRESET', 'EPIPE'].includes(error.code ?? '')) return { status: 431, text: '' };
          throw error;
        });
        const what = `${endpoint.method} ${path.slice(0, 200)} -> ${status} ${text.slice(0, 300)}`;
        // 405 and 415: written raw, the id is another path, which takes another method.
        // Nothing fits it as a pattern.
        if (status === 200 && /"total":0/.test(text)) continue;
        expect([400, 404, 405, 409, 414, 415, 422, 431, 501], what).toContain(status);
        expect(text, what).not.toMatch(/internal_error|root:|ENOENT/);
      }
    }
  }
  expect([await readdir(store.root, { recursive: true }), await readdir(directory, { recursive: true })]).toEqual(before);
  keys.close();
  await rm(directory, { recursive: true });
}, 120_000);

test('a path that climbs, and a target of another scheme or server, is refused before any route', async () => {
  await using server = await startHttp();
  const port = server.listener.port!;
  for (const path of ['/v1/../metrics', '/v1/%2e%2e/admin/v1/status', '/v1/.%2E/health', '/./health', '/v1\\..\\metrics', '/health/..'])
    expect((await ask(port, 'GET', path, {})).status, path).toBe(400);
  for (const target of [
    `https://127.0.0.1:${port}/health`,
    `ftp://127.0.0.1:${port}/health`,
    'ftp://evil.test/health',
    'http://evil.test/health',
    `http://x@127.0.0.1:${port}/health`,
  ])
    expect((await ask(port, 'GET', target, {})).status, target).toBe(400);
  for (const fine of [`http://127.0.0.1:${port}/health`, '/health', '/health?x=../..', '/v1/models/..x', '/v1/models/a..b'])
    expect([200, 404], fine).toContain((await ask(port, 'GET', fine, {})).status);
});

test("an id that opens a stored answer has more than 128 random bits, and another key's is unknown", async () => {
  const directory = await mkdtemp(join(tmpdir(), 'hearth_ids_'));
  const clock = { now: Date.now, monotonic: () => performance.now() };
  const keys = createApiKeyStore({ path: join(directory, 'access.sqlite'), clock });
  await using server = await startHttp({}, { api: { keys, access: createAccess({ keys, clock }) } });
  const [first, second] = [0, 1].map(() => ({
    authorization: `Bearer ${keys.create({ name: null, policy: DEFAULT_KEY_POLICY, expiresAtMs: null }).key}`,
    'content-type': 'application/json',
  }));
  const make = async (): Promise<string> => {
    const answer = await fetch(`${server.baseUrl}/v1/responses`, { method: 'POST', headers: first!, body: JSON.stringify({ model: 'org/fake', input: 'hi' }) });
    return ((await answer.json()) as { id: string }).id;
  };
  const ids = await Promise.all(Array.from({ length: 20 }, make));
  expect(new Set(ids).size).toBe(20);
  for (const id of ids) {
    const random = /^resp_([A-Za-z0-9]+)$/.exec(id)![1]!;
    expect(random.length * Math.log2(62)).toBeGreaterThan(128);
  }
  // No two begin alike: none of it is a clock or a count.
  expect(new Set(ids.map((id) => id.slice(5, 11))).size).toBe(20);
  const [id] = ids as [string];
  const status = async (headers: Record<string, string>, method = 'GET') => (await fetch(`${server.baseUrl}/v1/responses/${id}`, { method, headers })).status;
  expect(await status(first!)).toBe(200);
  expect(await status(second!)).toBe(404);
  expect(await status({})).toBe(404);
  expect(await status(second!, 'DELETE')).toBe(404);
  const goOn = await fetch(`${server.baseUrl}/v1/responses`, {
    method: 'POST',
    headers: second!,
    body: JSON.stringify({ model: 'org/fake', input: 'hi', previous_response_id: id }),
  });
  expect(goOn.status).toBe(400);
  expect(await status(first!)).toBe(200);
  keys.close();
  await rm(directory, { recursive: true });
});
