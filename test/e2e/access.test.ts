import { mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  anthropicErrorReply,
  DEFAULT_KEY_POLICY,
  type EndpointDefinition,
  endpoints,
  errorReply,
  fillPath,
  type KeyPolicy,
  pathNames,
  SCOPES,
  type Scope,
} from '../../src/contract/index.ts';
import { createKeyLimits, createMemoryStateStore } from '../../src/gateway/index.ts';
import { type ApiKeyStore, createAccess, createApiKeyStore } from '../../src/security/index.ts';
import { fakeModels, type HttpFixture, type HttpFixtureOptions, startHttp } from '../support/http-fixture.ts';

const MODEL = 'org/fake';
const CHAT = '/v1/chat/completions';
const user = (content: string) => [{ role: 'user' as const, content }];

interface Guarded extends AsyncDisposable {
  readonly server: HttpFixture;
  readonly keys: ApiKeyStore;
  readonly directory: string;
  /** Time of keys and limits; it stands still unless it is moved. */
  readonly clock: { nowMs: number };
  make(policy?: Partial<KeyPolicy>, expiresAtMs?: number): string;
  ask(key: string | null, body?: object, headers?: Record<string, string>): Promise<Response>;
}

async function guarded(flags: Parameters<typeof startHttp>[0] = {}, options: HttpFixtureOptions = {}): Promise<Guarded> {
  const directory = await mkdtemp(join(tmpdir(), 'hearth_access_'));
  const time = { nowMs: Date.UTC(2026, 10, 21, 12) };
  const clock = { now: () => time.nowMs, monotonic: () => time.nowMs };
  const keys = createApiKeyStore({ path: join(directory, 'state', 'access.sqlite'), clock });
  const limits = createKeyLimits({ store: createMemoryStateStore(clock) });
  const server = await startHttp(flags, { ...options, api: { keys, access: createAccess({ keys, clock }), limits, ...options.api } });
  return {
    server,
    keys,
    directory,
    clock: time,
    make: (policy = {}, expiresAtMs) => keys.create({ name: null, policy: { ...DEFAULT_KEY_POLICY, ...policy }, expiresAtMs: expiresAtMs ?? null }).key,
    ask: (key, body = { messages: user('a b c') }, headers = {}) =>
      fetch(`${server.baseUrl}${CHAT}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
        body: JSON.stringify({ model: MODEL, ...body }),
      }),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      keys.close();
      await rm(directory, { recursive: true });
    },
  };
}

const codeOf = async (response: Response): Promise<string | null> => errorReply.parse(await response.json()).error.code;

describe('API keys', () => {
  test('[serving V76] a key is stored as a hash in a private file, works as Bearer and as x-api-key, and ends with its date or its revocation', async () => {
    await using box = await guarded({}, { listen: { access: { requireKey: true } } });
    const { server, keys, clock } = box;
    const key = box.make({}, clock.nowMs + 60_000);
    const path = join(box.directory, 'state', 'access.sqlite');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(box.directory, 'state'))).mode & 0o777).toBe(0o700);
    const bytes = await readFile(path);
    expect(bytes.includes(key.split('_')[1]!)).toBe(true);
    expect(bytes.includes(key.slice(17))).toBe(false);
    expect(bytes.includes(Buffer.from(key.slice(17), 'base64url'))).toBe(false);

    expect((await box.ask(key)).status).toBe(200);
    expect((await box.ask(null, undefined, { 'x-api-key': key })).status).toBe(200);
    expect((await box.ask(key, undefined, { 'x-api-key': 'sk-other' })).status).toBe(200);
    expect((await box.ask(key, undefined, { 'x-api-key': box.make() })).status).toBe(401);
    clock.nowMs += 60_000;
    expect((await box.ask(key)).status).toBe(401);
    const second = box.make();
    expect((await box.ask(second)).status).toBe(200);
    expect(keys.revoke(second.split('_')[1]!)?.revokedAt).not.toBeNull();
    expect((await box.ask(second)).status).toBe(401);
    expect(keys.any()).toBe(true);
    expect((await fetch(`${server.baseUrl}/health`)).status).toBe(200);
  });

  test('a link in place of the file of keys is refused, and its target stays as it is', async () => {
    await using box = await guarded();
    const target = join(box.directory, 'target');
    await symlink(target, join(box.directory, 'link.sqlite'));
    const keys = createApiKeyStore({ path: join(box.directory, 'link.sqlite'), clock: { now: Date.now, monotonic: Date.now } });
    expect(() => keys.create({ name: null, policy: DEFAULT_KEY_POLICY, expiresAtMs: null })).toThrow(expect.objectContaining({ code: 'unsafe_path' }));
    await expect(stat(target)).rejects.toThrow();
  });

  test('[security G43] [serving V76] missing, unknown, expired and revoked keys get the same 401, a key in a URL is refused, and after 5 wrong ones an address has to wait', async () => {
    await using box = await guarded({}, { listen: { access: { requireKey: true } } });
    const { server, clock } = box;
    const good = box.make();
    const expired = box.make({}, clock.nowMs - 1);
    const revoked = box.make();
    box.keys.revoke(revoked.split('_')[1]!);
    const unknown = `hth_${'a'.repeat(12)}_${'b'.repeat(43)}`;
    const wrongSecret = `${good.slice(0, -2)}${good.endsWith('AA') ? 'BB' : 'AA'}`;
    const bodies = new Set<string>();
    for (const key of [null, 'sk-something', unknown, expired, revoked, wrongSecret]) {
      const response = await box.ask(key);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      bodies.add((await response.text()).replace(/req_[\w-]+/, 'req'));
      clock.nowMs += 20_000;
    }
    expect(bodies.size).toBe(1);

    for (const url of [`/v1/models?api_key=${good}`, `/v1/models?key=${good}`, `/v1/models/${good}`, `/health?${good}`]) {
      const response = await fetch(server.baseUrl + url, { headers: { authorization: `Bearer ${good}` } });
      expect([response.status, await codeOf(response)]).toEqual([400, 'invalid_value']);
    }
    const cookie = await fetch(`${server.baseUrl}/v1/models`, { headers: { cookie: `key=${good}` } });
    expect(cookie.status).toBe(401);

    clock.nowMs += 600_000;
    expect((await box.ask(good)).status).toBe(200);
    for (let attempt = 0; attempt < 5; attempt += 1) expect((await box.ask(unknown)).status).toBe(401);
    const waits: number[] = [];
    for (let round = 0; round < 8; round += 1) {
      const slowed = await box.ask(unknown);
      expect([slowed.status, await codeOf(slowed)]).toEqual([429, 'rate_limit_exceeded']);
      waits.push(Number(slowed.headers.get('retry-after')));
      // A key that nobody used from here before is not taken while the address waits; one that was right before still is.
      expect((await box.ask(box.make())).status).toBe(429);
      expect((await box.ask(good)).status).toBe(200);
      expect((await box.ask(null)).status).toBe(401);
      clock.nowMs += waits.at(-1)! * 1000;
      if (round < 7) expect((await box.ask(unknown)).status).toBe(401);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
  });

  test('[security G43] a key is looked up by its id alone and compared by hash in constant time, before anything else is known of it', async () => {
    // No clock of a test is fine enough to see the difference: the source has to say it.
    const source = await readFile(join(import.meta.dirname, '../../src/security/access/api-keys.ts'), 'utf8');
    const verify = /\n {4}verify\(key\) \{\n(.*?)\n {4}\},/s.exec(source)![1]!;
    expect(verify).toMatch(/WHERE id = \?'\)\.get\(id\)/);
    const [compared, ...judged] = ['timingSafeEqual(sha256(secret), row?.hash ?? NOBODY)', 'revoked_ms', 'expires_ms', 'return'].map((word) =>
      verify.indexOf(word),
    );
    expect(compared).toBeGreaterThan(0);
    for (const at of judged) expect(at).toBeGreaterThan(compared ?? 0);
    expect(verify.match(/\bsecret\b/g)).toHaveLength(2);
  });

  test('[security G44] [serving V77] every scope reaches exactly its endpoints; without a key, or with a foreign one, loopback answers inference and health alone', async () => {
    await using box = await guarded({}, { store: emptyStore });
    await using closed = await guarded({}, { store: emptyStore, listen: { access: { requireKey: true } } });
    const all = Object.values(endpoints) as EndpointDefinition[];
    expect(all.length).toBeGreaterThan(30);
    const refused = async (at: Guarded, endpoint: EndpointDefinition, key: string | null): Promise<number | null> => {
      const names = Object.fromEntries(pathNames(endpoint.path).map(({ name }) => [name, 'nothing']));
      const response = await fetch(at.server.baseUrl + fillPath(endpoint.path, names), {
        method: endpoint.method,
        // Whoever is let in learns that this is no JSON; nothing is done.
        headers: { ...(endpoint.method === 'GET' ? {} : { 'content-type': 'text/plain' }), ...(key === null ? {} : { 'x-api-key': key }) },
        ...(endpoint.method === 'GET' ? {} : { body: 'x' }),
        signal: AbortSignal.timeout(10_000),
      });
      await response.body?.cancel();
      return response.status === 401 || response.status === 403 ? response.status : null;
    };
    const open = (scope: Scope) => scope === 'public' || scope === 'inference';
    for (const endpoint of all) {
      const { scope, id } = endpoint;
      for (const key of [null, 'dummy', 'sk-1234']) {
        expect([id, key, await refused(box, endpoint, key)]).toEqual([id, key, open(scope) ? null : 401]);
        expect([id, key, await refused(closed, endpoint, key)]).toEqual([id, key, scope === 'public' ? null : 401]);
      }
    }
    for (const held of SCOPES.filter((scope) => scope !== 'public')) {
      const key = box.make({ scopes: [held] });
      for (const { scope, id, ...rest } of all) {
        const lets = scope === 'public' || scope === held || held === 'admin';
        expect([id, held, await refused(box, { scope, id, ...rest }, key)]).toEqual([id, held, lets ? null : 403]);
      }
    }
    for (const { id, ...rest } of all) {
      const names = Object.fromEntries(pathNames(rest.path).map(({ name }) => [name, 'nothing']));
      const response = await box.server.api.request(
        new Request(`http://hearth${fillPath(rest.path, names)}`, { method: rest.method, ...(rest.method === 'GET' ? {} : { body: 'x' }) }),
        { caller: { kind: 'trusted', via: 'socket' } },
      );
      expect([id, response.status === 401 || response.status === 403]).toEqual([id, false]);
      await response.body?.cancel();
    }
    // Routes that do not exist tell a caller without rights no more than those that do.
    expect((await fetch(`${box.server.baseUrl}/admin/v1/nothing`)).status).toBe(401);
    expect((await fetch(`${box.server.baseUrl}/admin/v1/nothing`, { headers: { 'x-api-key': box.make() } })).status).toBe(403);
  });

  test('the routes for keys make, list and revoke them, and tell a key once', async () => {
    await using box = await guarded();
    const { client } = box.server;
    const { key, record } = await client.call(endpoints.createApiKey, {
      body: { name: 'laptop', scopes: ['inference', 'observe'], models: ['org/*'], rpm: 10 },
    });
    expect(key).toMatch(/^hth_[a-z0-9]{12}_[\w-]{43}$/);
    expect(record).toMatchObject({ name: 'laptop', policy: { ...DEFAULT_KEY_POLICY, scopes: ['inference', 'observe'], models: ['org/*'], rpm: 10 } });
    const { keys } = await client.call(endpoints.listApiKeys, {});
    expect(keys).toEqual([record]);
    expect(JSON.stringify(keys)).not.toContain(key.slice(17));
    expect((await box.ask(key)).status).toBe(200);
    await client.call(endpoints.revokeApiKey, { params: { id: record.id } });
    expect((await box.ask(key)).status).toBe(401);
    await expect(client.call(endpoints.revokeApiKey, { params: { id: 'a'.repeat(12) } })).rejects.toMatchObject({ code: 'api_key_not_found' });
    for (const id of ['../../x', 'a/b', '\u0000', 'x'.repeat(5000), 'a\u2215b'])
      await expect(client.call(endpoints.revokeApiKey, { params: { id } })).rejects.toMatchObject({ code: 'invalid_value' });
    await expect(client.call(endpoints.createApiKey, { body: { expiresAt: '2020-01-01T00:00:00Z' } })).rejects.toMatchObject({ code: 'invalid_value' });
  });

  test('[serving V76] a key for some models sees only those, in lists and in answers', async () => {
    const models = fakeModels(['org/fake', 'org/other', 'lab/secret']);
    await using box = await guarded({}, { models });
    const key = box.make({ models: ['org/*'] });
    const list = async (with_: string | null): Promise<string[]> => {
      const response = await fetch(`${box.server.baseUrl}/v1/models`, { headers: with_ === null ? {} : { 'x-api-key': with_ } });
      return ((await response.json()) as { data: { id: string }[] }).data.map(({ id }) => id).sort();
    };
    expect(await list(null)).toEqual(['lab/secret', 'org/fake', 'org/other']);
    expect(await list(key)).toEqual(['org/fake', 'org/other']);
    expect((await box.ask(key, { model: 'org/other', messages: user('x') })).status).toBe(200);
    for (const model of ['lab/secret', 'secret']) {
      const denied = await box.ask(key, { model, messages: user('x') });
      expect([denied.status, await codeOf(denied)]).toEqual([403, 'permission_denied']);
      const tokenize = await fetch(`${box.server.baseUrl}/tokenize`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': key },
        body: JSON.stringify({ model, content: 'x' }),
      });
      expect(tokenize.status).toBe(403);
    }
    expect((await fetch(`${box.server.baseUrl}/v1/models/lab/secret`, { headers: { 'x-api-key': key } })).status).toBe(403);
  });

  test('[security G48] a running request is cancelled by its own key, or by an admin, and by no other', async () => {
    await using box = await guarded({ tokenMs: 20 });
    const [own, other, admin] = [box.make(), box.make(), box.make({ scopes: ['inference', 'admin'] })];
    const run = async () => await box.ask(own, { stream: true, messages: user('w '.repeat(500)) });
    const cancel = async (id: string, key: string | null) => {
      const response = await fetch(`${box.server.baseUrl}/v1/requests/${id}`, { method: 'DELETE', headers: key === null ? {} : { 'x-api-key': key } });
      const answer = (await response.json()) as { cancelled?: boolean; error?: { code: string } };
      return answer.cancelled ?? answer.error?.code;
    };
    for (const by of [own, admin]) {
      const response = await run();
      const id = response.headers.get('x-request-id')!;
      expect(await cancel(id, other)).toBe('request_not_found');
      expect(await cancel(id, null)).toBe('request_not_found');
      expect(box.server.gateway.snapshot().models[0]?.inFlight).toBe(1);
      expect(await cancel(id, by)).toBe(true);
      await expect.poll(() => box.server.gateway.snapshot().models[0]?.inFlight, { interval: 10 }).toBe(0);
      expect(await response.text()).toContain('"code":"cancelled"');
    }
  });
});

describe('limits of a key', () => {
  test('[serving V76] requests a minute: 429 in the shape of the API that is spoken, with Retry-After and x-ratelimit headers, and the bucket fills again', async () => {
    await using box = await guarded();
    const key = box.make({ rpm: 2 });
    const first = await box.ask(key);
    expect(first.status).toBe(200);
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('2');
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1');
    expect(first.headers.get('x-ratelimit-reset-requests')).toBe('30s');
    expect((await box.ask(key, { stream: true, messages: user('x') })).headers.get('x-ratelimit-remaining-requests')).toBe('0');
    for (const stream of [false, true]) {
      const refused = await box.ask(key, { stream, messages: user('x') });
      expect(refused.status).toBe(429);
      expect(refused.headers.get('retry-after')).toBe('30');
      expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0');
      expect(errorReply.parse(await refused.json()).error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded', retryable: true });
    }
    const anthropic = await fetch(`${box.server.baseUrl}/v1/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'anthropic-version': '2023-06-01', 'x-api-key': key },
      body: JSON.stringify({ model: MODEL, max_tokens: 5, messages: user('x') }),
    });
    expect([anthropic.status, anthropic.headers.get('retry-after')]).toEqual([429, '30']);
    expect(anthropicErrorReply.parse(await anthropic.json()).error.type).toBe('rate_limit_error');
    const responses = await fetch(`${box.server.baseUrl}/v1/responses`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': key },
      body: JSON.stringify({ model: MODEL, input: 'x', stream: true }),
    });
    expect([responses.status, await codeOf(responses)]).toEqual([429, 'rate_limit_exceeded']);
    box.clock.nowMs += 30_000;
    expect((await box.ask(key)).status).toBe(200);
    expect((await box.ask(key)).status).toBe(429);
    // Others have their own buckets, and the refused ones of a wrong model cost nothing.
    const second = box.make({ rpm: 1 });
    expect((await box.ask(second, { model: 'nobody', messages: user('x') })).status).toBe(404);
    expect((await box.ask(second)).status).toBe(200);
    expect((await box.ask(null)).headers.get('x-ratelimit-limit-requests')).toBeNull();
  });

  test('[serving V76] tokens a minute: prompt and max_tokens are reserved, and what was not used comes back at the end', async () => {
    await using box = await guarded();
    const key = box.make({ tpm: 1000 });
    const remaining = async (response: Response): Promise<number> => {
      await response.text();
      return Number(response.headers.get('x-ratelimit-remaining-tokens'));
    };
    // `a b c`: 2 tokens as 5 characters, 3 as the engine counts; the answer `echo: a b c` has 4.
    expect(await remaining(await box.ask(key, { max_tokens: 500, messages: user('a b c') }))).toBe(498);
    await expect.poll(async () => remaining(await box.ask(key, { max_tokens: 1, messages: user('a b c') }))).toBeLessThan(1000);
    const full = await box.ask(key, { max_tokens: 900, messages: user('a b c') });
    expect(full.status).toBe(200);
    expect(await remaining(full)).toBeGreaterThan(60);
    const stream = await box.ask(key, { stream: true, max_tokens: 10_000, messages: user('a b c') });
    expect(stream.status).toBe(429);
    expect(await codeOf(stream)).toBe('rate_limit_exceeded');
    box.clock.nowMs += 60_000;
    expect((await box.ask(key, { max_tokens: 10_000, messages: user('a b c') })).status).toBe(200);
  });

  test('requests at a time: one more is 429 until one of them ends, also by a client that goes away', async () => {
    await using box = await guarded({ tokenMs: 20 });
    const key = box.make({ maxConcurrent: 1 });
    const gone = new AbortController();
    const running = await fetch(`${box.server.baseUrl}${CHAT}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': key },
      body: JSON.stringify({ model: MODEL, stream: true, messages: user('w '.repeat(500)) }),
      signal: gone.signal,
    });
    expect(running.status).toBe(200);
    expect((await box.ask(key)).status).toBe(429);
    expect((await box.ask(box.make({ maxConcurrent: 1 }), { max_tokens: 1, messages: user('x') })).status).toBe(200);
    gone.abort();
    await expect.poll(async () => (await box.ask(key, { max_tokens: 1, messages: user('x') })).status).toBe(200);
  });

  test('a key with a cap on answers gets as many tokens, whatever it asks for', async () => {
    await using box = await guarded();
    const key = box.make({ maxTokens: 2 });
    for (const wish of [{}, { max_tokens: 100 }]) {
      const reply = (await (await box.ask(key, { ...wish, messages: user('a b c d e') })).json()) as {
        choices: { finish_reason: string }[];
        usage: { completion_tokens: number };
      };
      expect(reply.usage.completion_tokens).toBe(2);
      expect(reply.choices[0]?.finish_reason).toBe('length');
    }
  });
});

const emptyStore = new Proxy({} as never, {
  get: () => () => {
    throw new Error('this store is not asked');
  },
});
