import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { listen } from '../../src/api/index.ts';
import { socketFetch } from '../../src/app/index.ts';
import { ClientError, createClient } from '../../src/client/index.ts';
import { endpoints } from '../../src/contract/index.ts';
import { fakeModels, type HttpFixture, startHttp } from '../support/http-fixture.ts';

const model = 'org/fake';
const user = (content: string) => [{ role: 'user' as const, content }];
const long = 'word '.repeat(500).trim();

const resident = (server: HttpFixture) => server.gateway.snapshot().models[0];
const childStats = async (server: HttpFixture) => server.gateway.stats(await server.gateway.resolve(model, AbortSignal.timeout(5000)));

const postStream = (server: HttpFixture, body: object): Promise<Response> =>
  fetch(`${server.baseUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream: true, ...body }),
  });

describe('clients that go away', () => {
  test('a disconnect in decode frees the sequence in the child, in stream and in JSON mode', async () => {
    for (const stream of [true, false]) {
      await using server = await startHttp({ tokenMs: 100 });
      const abort = new AbortController();
      const answer = fetch(`${server.baseUrl}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, stream, messages: user(long) }),
        signal: abort.signal,
      }).then((response) => response.text());
      await expect.poll(async () => (await childStats(server))?.running).toBe(1);
      await expect.poll(async () => (await childStats(server))?.generatedTokens).toBeGreaterThan(3);
      abort.abort();
      await expect(answer).rejects.toThrow();
      // One second is the promise, on a machine with a free processor; without the cancel the answer would run for fifty.
      await expect.poll(async () => (await childStats(server))?.running, { timeout: 20_000, interval: 20 }).toBe(0);
      expect(resident(server)).toMatchObject({ state: 'ready', inFlight: 0 });
    }
  });

  test('a request is cancelled by its id over DELETE /v1/requests/{id}', async () => {
    await using server = await startHttp({ tokenMs: 20 });
    const response = await postStream(server, { messages: user(long) });
    const id = response.headers.get('x-request-id')!;
    const reply = await fetch(`${server.baseUrl}/v1/requests/${id}`, { method: 'DELETE' });
    expect(await reply.json()).toEqual({ id, cancelled: true });
    expect(await response.text()).toContain('"code":"cancelled"');
    await expect.poll(async () => (await childStats(server))?.running).toBe(0);
    for (const over of [id, 'req_nobody']) {
      const again = await fetch(`${server.baseUrl}/v1/requests/${over}`, { method: 'DELETE' });
      expect([again.status, await again.json()]).toMatchObject([404, { error: { code: 'request_not_found', param: 'id' } }]);
    }
  });
});

describe('models', () => {
  test('[serving V40] /v1/models lists loaded models first, with status, context and capabilities; ids with slashes resolve raw and encoded', async () => {
    await using server = await startHttp({}, { models: fakeModels(['alpha/one', 'org/fake', 'org/other']) });
    const before = await server.openai.models.list();
    expect(before.data.map(({ id }) => id)).toEqual(['alpha/one', 'org/fake', 'org/other']);
    await server.openai.chat.completions.create({ model: 'org/fake', messages: user('hi') });
    const { data } = await server.openai.models.list();
    expect(data.map(({ id }) => id)).toEqual(['org/fake', 'alpha/one', 'org/other']);
    expect(data[0]).toMatchObject({ object: 'model', status: 'ready', context_length: 2048, capabilities: ['text-generation', 'chat'], owned_by: 'org' });
    expect(data[0]).toMatchObject({ hearth: { engine: 'fake', local: true, loaded: { context_tokens: 2048, in_flight: 0 } } });
    expect(data[1]).toMatchObject({ status: 'unloaded', hearth: { loaded: null } });
    for (const id of ['org/fake', encodeURIComponent('org/fake')]) {
      expect(await (await fetch(`${server.baseUrl}/v1/models/${id}`)).json()).toMatchObject({ id: 'org/fake', status: 'ready' });
    }
    expect(await server.openai.models.retrieve('alpha/one')).toMatchObject({ id: 'alpha/one' });
    expect((await fetch(`${server.baseUrl}/v1/models/nobody/nothing`)).status).toBe(404);
  });

  test('[serving V57] a hundred concurrent requests for a cold model cause one load', async () => {
    await using server = await startHttp({ readyAfterMs: 200, parallel: 100 });
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => postStream(server, { messages: user('hi'), stream: false }).then((response) => response.json())),
    );
    for (const answer of answers) expect(answer).toMatchObject({ choices: [{ message: { content: 'echo: hi' } }] });
    expect(answers.every((answer) => (answer as { hearth: { timings: { load_ms: number } } }).hearth.timings.load_ms > 0)).toBe(true);
    expect(server.starts()).toBe(1);
    expect((await childStats(server))?.generatedTokens).toBe(201);
  });

  test('who orders a load waits longer than a request may, and a request that gave up finds the model loaded', async () => {
    await using server = await startHttp({ readyAfterMs: 900 }, { gateway: { queueWaitMs: 200 } });
    const ordered = server.client.call(endpoints.loadModel, { body: { model } });
    const impatient = await postStream(server, { messages: user('hi') });
    expect(impatient.status).toBe(503);
    expect(impatient.headers.get('retry-after')).toBe('10');
    expect(await impatient.json()).toMatchObject({ error: { code: 'queue_timeout', retryable: true } });
    expect(await ordered).toMatchObject({ state: 'ready' });
    expect((await postStream(server, { messages: user('hi') })).status).toBe(200);
    expect(server.starts()).toBe(1);
  });

  test('load by path works in process and over the socket, never over TCP; unload ends the child', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'hearth-socket-'));
    const socketPath = join(directory, 'hearthd.sock');
    await using server = await startHttp({}, { listen: { socketPath } });
    const overSocket = createClient({ baseUrl: 'http://hearth', fetch: socketFetch(socketPath) });
    const loaded = await overSocket.call(endpoints.loadModel, { body: { path: '/nowhere/org/fake', contextTokens: 1024 } });
    expect(loaded).toMatchObject({ id: model, state: 'ready', engine: 'fake', inFlight: 0 });
    expect(await overSocket.call(endpoints.version, {})).toMatchObject({ name: 'hearth', api_version: 1 });
    const events = [];
    for await (const event of overSocket.stream(endpoints.chatCompletions, { body: { model, messages: user('a b'), stream: true } })) events.push(event);
    expect(events.map((event) => event.choices[0]?.delta.content ?? '').join('')).toBe('echo: a b');

    const pid = loaded.pid!;
    expect(await overSocket.call(endpoints.unloadModel, { body: { model } })).toEqual({ id: model, unloaded: true });
    expect(() => process.kill(pid, 0)).toThrow();
    expect(resident(server)?.state).toBe('unloaded');

    const failure = await createClient({ baseUrl: server.baseUrl, fetch: (request) => fetch(request) })
      .call(endpoints.loadModel, { body: { path: '/nowhere/org/fake' } })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ClientError);
    expect(failure).toMatchObject({ code: 'invalid_api_key', status: 401, exitCode: 1 });
    await rm(directory, { recursive: true });
  });

  test('[serving V56] an idle model is unloaded after its time, never under traffic, and a request during the unload is served after a reload', async () => {
    // The child leaves only by force, so that its unload takes a while.
    const stubborn = { tokenMs: 30, ignoreTerm: true, limits: { closeMs: 300 }, stopGraceMs: 300 };
    await using server = await startHttp(stubborn, { gateway: { ttlSeconds: 0.2 } });
    const answer = await postStream(server, { messages: user('a b c d e f g h i j k l m n o p'), stream: false });
    expect(await answer.json()).toMatchObject({ choices: [{ finish_reason: 'stop' }] });
    expect(server.starts()).toBe(1);
    await expect.poll(() => resident(server)?.state, { interval: 5 }).toBe('unloading');
    const late = await postStream(server, { messages: user('again'), stream: false });
    expect(await late.json()).toMatchObject({ choices: [{ message: { content: 'echo: again' } }] });
    expect(server.starts()).toBe(2);
    await expect.poll(() => resident(server)?.state).toBe('unloaded');
  });
});

describe('stopping', () => {
  test('[serving V63] draining refuses new requests with 503 and lets streams finish', async () => {
    await using server = await startHttp({ tokenMs: 20 });
    const running = await postStream(server, { messages: user('a b c d e f g h') });
    const closed = server.gateway.close({ drainTimeoutMs: 20_000 });
    const refused = await postStream(server, { messages: user('late') });
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ error: { code: 'draining', type: 'overloaded_error' } });
    expect((await fetch(`${server.baseUrl}/health`)).status).toBe(503);
    expect(await running.text()).toContain('data: [DONE]');
    await closed;
    expect(resident(server)?.pid).toBeNull();
  });

  test('[serving V63] at the end of the drain time a stream gets an in-band error', async () => {
    await using server = await startHttp({ tokenMs: 50 });
    const running = await postStream(server, { messages: user(long) });
    // The second call shortens the first one's time, as a second signal does.
    const closed = server.gateway.close({ drainTimeoutMs: 60_000 });
    await server.gateway.close({ drainTimeoutMs: 100 });
    await closed;
    const text = await running.text();
    expect(text).toContain('"code":"draining"');
    expect(text).not.toContain('[DONE]');
  });
});

describe('listening', () => {
  test('a taken port is port_in_use and names the process that has it', async () => {
    await using server = await startHttp();
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    const failure = await listen(server.api, { port }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'port_in_use', details: { port, pid: process.pid } });
    expect((failure as Error).message).toContain(`pid ${process.pid}`);
    other.close();
  });

  test('an address that others reach is refused while there are no keys', async () => {
    await using server = await startHttp();
    await expect(listen(server.api, { host: '0.0.0.0', port: 0 })).rejects.toMatchObject({ code: 'bind_without_auth' });
  });
});
