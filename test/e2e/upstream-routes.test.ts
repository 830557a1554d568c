import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endpoints } from '../../src/contract/index.ts';
import type { RoutingOptions } from '../../src/gateway/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { chatReply, goodChat, json, type MockUpstream, startMockUpstream, status, stream } from '../support/mock-upstream.ts';
import { makeUpstream } from '../support/upstream-run.ts';

let mock: MockUpstream;
beforeAll(async () => {
  mock = await startMockUpstream();
});
afterAll(() => mock[Symbol.asyncDispose]());

const price = { input: 1, cached: 0.5, output: 10 };
const routes = { chat: { levels: [['sky/m'], ['box/m', 'org/fake']], balance: 'weighted' as const, fallback: true } };
const aliases = { mine: 'org/fake', 'claude-*': 'org/fake', big: 'box/m' };

async function withServer<T>(use: (server: HttpFixture) => Promise<T>, more: Partial<RoutingOptions> = {}): Promise<T> {
  using box = makeUpstream(mock.url, { name: 'box', maxConcurrent: 4 });
  using sky = makeUpstream(mock.url, { name: 'sky', privacy: 'cloud', pricePerMillionTokens: price, apiKey: () => 'secret-of-the-cloud' });
  const routing: RoutingOptions = { upstreams: [box, sky], routes, aliases, probeIntervalMs: null, random: () => 0.01, ...more };
  await using server = await startHttp({}, { gateway: { routing } });
  return await use(server);
}

const messages = [{ role: 'user' as const, content: 'hi' }];
const chat = (server: HttpFixture, body: object, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
  fetch(`${server.baseUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ messages, max_tokens: 20, ...body }),
  });

describe('names of the configuration', () => {
  test('[serving V40] /v1/models lists routes and aliases first, then local models, then those of upstreams, each with what is known of it', async () => {
    await withServer(async (server) => {
      const { data } = await server.openai.models.list();
      expect(data.map(({ id }) => id)).toEqual(['chat', 'mine', 'big', 'org/fake', 'box/m', 'sky/m']);
      const item = (id: string) => data.find((each) => each.id === id) as unknown as { hearth: object };
      expect(item('org/fake')).toMatchObject({ aliases: ['mine'], hearth: { upstream: null, local: true } });
      expect(item('box/m')).toMatchObject({ owned_by: 'box', status: 'ready', context_length: 8000, hearth: { upstream: 'box', local: false } });
      expect(item('mine')).toMatchObject({ context_length: 2048, hearth: { upstream: null, local: true, targets: ['org/fake'] } });
      expect(item('chat')).toMatchObject({ hearth: { local: false, targets: ['sky/m', 'box/m', 'org/fake'] } });
      for (const id of ['box/m', 'box%2Fm', 'chat', 'org/fake']) {
        const response = await fetch(`${server.baseUrl}/v1/models/${id}`);
        expect(await response.json()).toMatchObject({ id: decodeURIComponent(id), object: 'model' });
      }
    });
  });

  test('answer in every API: chat, completions, Messages and Responses, streamed and not', async () => {
    await withServer(async (server) => {
      expect((await server.openai.chat.completions.create({ model: 'mine', messages })).choices[0]!.message.content).toContain('echo');
      expect((await server.openai.completions.create({ model: 'claude-x', prompt: 'hi' })).choices[0]!.text).toContain('echo');
      expect((await server.anthropic.messages.create({ model: 'claude-opus-5', max_tokens: 20, messages })).content[0]).toMatchObject({ type: 'text' });
      mock.script(json(chatReply('from the box')));
      expect((await server.openai.chat.completions.create({ model: 'big', messages })).choices[0]!.message.content).toBe('from the box');
      expect((await server.anthropic.messages.create({ model: 'box/m', max_tokens: 20, messages })).content).toMatchObject([{ text: 'from the box' }]);
      expect((await server.openai.responses.create({ model: 'big', input: 'hi' })).output_text).toBe('from the box');
      mock.script(stream(goodChat('from ', 'a stream')));
      const streamed = server.anthropic.messages.stream({ model: 'big', max_tokens: 20, messages });
      expect((await streamed.finalMessage()).content).toMatchObject([{ text: 'from a stream' }]);
    });
  });

  test('of a circle of servers are refused', async () => {
    await withServer(async (server) => {
      const response = await chat(server, { model: 'big' }, { 'x-hearth-hops': '4' });
      expect(response.status).toBe(400);
    });
  });
});

describe('privacy and money', () => {
  const cloud = { enabled: true, dailyCapUsd: 0.001, monthlyCapUsd: 1 };

  test('[serving V69] x-hearth-privacy keeps a request here; the cloud answers within its budget, is booked once, and then is 429', async () => {
    mock.script(json(chatReply('from afar')));
    await withServer(
      async (server) => {
        const before = mock.requests.length;
        const local = await chat(server, { model: 'chat' }, { 'x-hearth-privacy': 'local' });
        expect(local.headers.get('x-hearth-upstream')).toBe('fake');
        expect((await chat(server, { model: 'sky/m' }, { 'x-hearth-privacy': 'local' })).status).toBe(503);
        expect(mock.requests.length).toBe(before);

        const first = await chat(server, { model: 'chat' });
        expect(first.headers.get('x-hearth-model')).toBe('sky/m');
        expect(first.headers.get('x-hearth-attempts')).toBe('sky=ok');
        const { spend } = await server.client.call(endpoints.upstreams, {});
        // 6 new, 3 cached, 4 of the answer.
        expect(spend).toMatchObject({ enabled: true, dailyCapUsd: 0.001 });
        expect(spend!.dayUsd).toBeCloseTo((6 * 1 + 3 * 0.5 + 4 * 10) / 1e6, 9);

        // What one request may cost at most no longer fits: the route goes on, the name alone is 429.
        const large = { max_tokens: 100 };
        expect((await chat(server, { model: 'chat', ...large })).headers.get('x-hearth-upstream')).not.toBe('sky');
        const refused = await chat(server, { model: 'sky/m', ...large });
        expect(refused.status).toBe(429);
        expect(refused.headers.get('x-should-retry')).toBe('false');
        expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
        expect(await refused.json()).toMatchObject({ error: { code: 'insufficient_quota' } });
        const anthropic = await server.anthropic.messages
          .create({ model: 'sky/m', max_tokens: 100, messages })
          .catch((error: { status: number; error: object }) => error);
        expect(anthropic).toMatchObject({ status: 429, error: { type: 'error', error: { type: 'rate_limit_error' } } });
      },
      { cloud },
    );
  });

  test('a cloud that is off gets nothing, and the answer says why', async () => {
    await withServer(async (server) => {
      const before = mock.requests.length;
      const response = await chat(server, { model: 'sky/m' });
      expect(response.status).toBe(503);
      expect(response.headers.get('x-should-retry')).toBe('false');
      expect(await response.json()).toMatchObject({ error: { code: 'no_tier_available', message: expect.stringContaining('cloud.enabled') } });
      expect(mock.requests.length).toBe(before);
    });
  });
});

describe('the admin routes', () => {
  test('explain tells the decision and sends nothing; drain, resume and reset-breaker change it', async () => {
    await withServer(async (server) => {
      const before = mock.requests.length;
      const explain = (body: object, headers: Record<string, string> = {}) =>
        server.client.call(endpoints.explainRoute, { body: { body: { model: 'chat', messages, ...body }, headers } });
      const reasons = async (body: object = {}, headers: Record<string, string> = {}) =>
        Object.fromEntries((await explain(body, headers)).targets.map(({ target, reason }) => [target, reason]));
      expect(await explain({})).toMatchObject({ name: 'chat', route: 'chat', chosen: 'box/m', decision: 'try' });
      expect(await reasons()).toEqual({ 'sky/m': 'cloud_off', 'box/m': 'warm', 'org/fake': 'cold' });
      expect(await reasons({}, { 'x-hearth-privacy': 'local' })).toMatchObject({ 'sky/m': 'privacy', 'box/m': 'privacy', 'org/fake': 'cold' });
      expect(await explain({ model: 'mine' })).toMatchObject({ route: null, chosen: 'org/fake' });
      expect(await server.client.call(endpoints.drainUpstream, { params: { id: 'box' } })).toMatchObject({ id: 'box', state: 'draining' });
      expect(await explain({})).toMatchObject({ chosen: 'org/fake' });
      expect((await chat(server, { model: 'chat' })).headers.get('x-hearth-upstream')).toBe('fake');
      expect(await server.client.call(endpoints.resumeUpstream, { params: { id: 'box' } })).toMatchObject({ state: 'ready' });
      await expect(server.client.call(endpoints.resetBreaker, { params: { id: 'nobody' } })).rejects.toMatchObject({ code: 'upstream_not_found' });
      expect(await server.client.call(endpoints.routes, {})).toMatchObject({
        routes: [{ name: 'chat', levels: routes.chat.levels, balance: 'weighted', fallback: true }],
        aliases: expect.arrayContaining([{ name: 'claude-*', target: 'org/fake' }]),
      });
      expect(mock.requests.length).toBe(before);
      for (const body of [
        { input: 'hi', messages: undefined },
        { prompt: 'hi', messages: undefined },
        { system: 'be kind', max_tokens: 5 },
      ])
        expect(await explain(body)).toMatchObject({ chosen: 'box/m' });
    });
  });

  test('are closed on TCP without a key', async () => {
    await withServer(async (server) => {
      for (const path of ['upstreams', 'routes']) expect((await fetch(`${server.baseUrl}/admin/v1/${path}`)).status).toBe(401);
    });
  });

  test('[serving V70] a breaker that opened is in the view; the next requests get 503 with Retry-After and the server is left alone', async () => {
    mock.script(status(500, { error: { message: 'broken' } }));
    await withServer(
      async (server) => {
        for (let count = 0; count < 5; count += 1) expect((await chat(server, { model: 'big' })).status).toBe(500);
        const before = mock.requests.length;
        const refused = await chat(server, { model: 'big' });
        expect(refused.status).toBe(503);
        expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(10);
        expect(await refused.json()).toMatchObject({ error: { code: 'breaker_open' } });
        expect(mock.requests.length).toBe(before);
        const view = async () => (await server.client.call(endpoints.upstreams, {})).upstreams.find(({ id }) => id === 'box');
        expect(await view()).toMatchObject({ breakers: [{ model: 'm', state: 'open', failuresInRow: 5 }] });
        await server.client.call(endpoints.resetBreaker, { params: { id: 'box' } });
        expect(await view()).toMatchObject({ breakers: [{ state: 'closed' }] });
        mock.script(json(chatReply('well again')));
        expect((await chat(server, { model: 'big' })).status).toBe(200);
      },
      { maxAttempts: 1 },
    );
  });

  test('a request to an upstream is cancelled by its id, like any other', async () => {
    mock.script(stream([...goodChat('begun').slice(0, 2), 'STALL']));
    await withServer(async (server) => {
      const response = await chat(server, { model: 'big', stream: true });
      const id = response.headers.get('x-request-id')!;
      const { aborted } = mock.requests.at(-1)!;
      expect(await (await fetch(`${server.baseUrl}/v1/requests/${id}`, { method: 'DELETE' })).json()).toEqual({ id, cancelled: true });
      await aborted;
      expect(await response.text()).toContain('"code":"cancelled"');
    });
  });
});
