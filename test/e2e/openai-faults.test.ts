import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { endpoints } from '../../src/contract/index.ts';
import { fakeModels, type HttpFixture, startHttp } from '../support/http-fixture.ts';

const model = 'org/fake';
const user = (content: string) => [{ role: 'user' as const, content }];
const long = 'word '.repeat(500).trim();

const resident = (server: HttpFixture, id = model) => server.gateway.snapshot().models.find((each) => each.id === id);

const postStream = (server: HttpFixture, body: object): Promise<Response> =>
  fetch(`${server.baseUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream: true, ...body }),
  });

/** The code of the last event, or none. */
const errorCode = (text: string): string => /"code":"(\w+)"/.exec(text)?.[1] ?? 'none';

describe('failures of the engine', () => {
  test('[serving V44] a failure before the first token is a real HTTP status, in streams too', async () => {
    await using broken = await startHttp({ failLoad: 'tensor x is missing' });
    const load = await postStream(broken, { messages: user('hi') });
    expect(load.status).toBe(500);
    expect(load.headers.get('x-should-retry')).toBe('false');
    expect(await load.json()).toMatchObject({ error: { code: 'model_load_failed', message: expect.stringContaining('tensor x is missing') } });

    await using server = await startHttp({ contextTokens: 64 });
    const prompt = await postStream(server, { messages: user(long) });
    expect(prompt.status).toBe(400);
    expect(await prompt.json()).toMatchObject({ error: { code: 'context_length_exceeded' } });

    // The child is killed before its first token.
    await using slow = await startHttp({ tokenMs: 700 });
    await slow.client.call(endpoints.loadModel, { body: { model } });
    const killed = postStream(slow, { messages: user('hi') });
    await expect.poll(() => resident(slow)?.inFlight, { interval: 5 }).toBe(1);
    process.kill(resident(slow)!.pid!, 'SIGKILL');
    expect((await killed).status).toBe(500);
    expect(await (await killed).json()).toMatchObject({ error: { code: 'engine_crashed', retryable: true } });
  });

  test('once headers are out the error travels in the stream, without [DONE], and the official client throws it', async () => {
    // The load takes one token, the answer three, then the child exits.
    await using server = await startHttp({ dieAfterTokens: 4 });
    const response = await postStream(server, { messages: user('a b c d e') });
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(text).not.toContain('[DONE]');
    const events = text.split('\n\n').filter((event) => event.startsWith('data: '));
    expect(JSON.parse(events.at(-1)!.slice(6))).toMatchObject({ error: { code: 'engine_crashed', type: 'server_error', retryable: true } });
    expect(JSON.parse(events[1]!.slice(6)).choices[0].delta.content).toBe('echo:');

    const read = async () => {
      for await (const _ of await server.openai.chat.completions.create({ model, messages: user('a b c d e'), stream: true })) {
        // Only the end matters.
      }
    };
    const error = await read().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ code: 'engine_crashed' });
    // And a JSON request is an HTTP error, never half an answer.
    await expect(server.openai.chat.completions.create({ model, messages: user('a b c d e') })).rejects.toMatchObject({ status: expect.any(Number) });
  });

  test('a held stream keeps its connection alive by comments, and a late failure is told in it', async () => {
    await using server = await startHttp({ tokenMs: 400, dieAfterTokens: 3 }, { api: { headerHoldMs: 30, heartbeatMs: 50 } });
    const response = await postStream(server, { messages: user('a b c d e') });
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(text.startsWith(': prefill 5/5\n\n')).toBe(true);
    expect(text).toContain('"code":"engine_crashed"');
    expect(text).not.toContain('[DONE]');
  });

  test('[security G48] a runaway answer is stopped by the time limit of a request, and its place is free', async () => {
    await using server = await startHttp({ tokenMs: 20 }, { gateway: { requestMs: 600 } });
    await server.client.call(endpoints.loadModel, { body: { model } });
    const response = await postStream(server, { messages: user(long) });
    expect(errorCode(await response.text())).toBe('request_timeout');
    await expect.poll(() => resident(server)).toMatchObject({ state: 'ready', inFlight: 0 });
    const whole = await postStream(server, { stream: false, messages: user(long) });
    expect(whole.status).toBe(504);
    expect(await whole.json()).toMatchObject({ error: { code: 'request_timeout', type: 'timeout_error' } });
  });

  test('three crashes in ten minutes open the breaker: 503 with Retry-After', async () => {
    await using server = await startHttp({ dieAfterTokens: 2 }, { gateway: { restartDelayMs: 1 } });
    const codes: string[] = [];
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const response = await postStream(server, { messages: user('x y z') });
      const text = await response.text();
      codes.push(/"code":"(\w+)"/.exec(text)?.[1] ?? 'none');
      if (attempt === 3) {
        expect(response.status).toBe(503);
        expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(60);
      }
    }
    expect(codes).toEqual(['engine_crashed', 'engine_crashed', 'engine_crashed', 'breaker_open']);
  });

  test('[serving V43] a crash in mid-stream is an in-band error without [DONE] for each stream of that child, and others go on', async () => {
    await using server = await startHttp({ tokenMs: 20 }, { models: fakeModels(['org/fake', 'org/other']) });
    const content = 'a b c d e f g h i j k l m n o p q r s t u v w x y z';
    const first = await postStream(server, { messages: user(long) });
    const second = await postStream(server, { messages: user(long) });
    const other = await postStream(server, { model: 'org/other', messages: user(content) });
    process.kill(resident(server)!.pid!, 'SIGKILL');
    for (const response of [first, second]) {
      const text = await response.text();
      expect(response.status).toBe(200);
      expect(errorCode(text)).toBe('engine_crashed');
      expect(text).not.toContain('[DONE]');
    }
    const text = await other.text();
    expect(text).toContain('data: [DONE]');
    expect(errorCode(text)).toBe('none');
  });

  test('[serving V60] a killed child is seen within a second, its requests are told, it restarts after a pause, and the third kill opens the breaker', async () => {
    await using server = await startHttp({ tokenMs: 20 }, { gateway: { restartDelayMs: 50 } });
    for (let kill = 1; kill <= 3; kill += 1) {
      const running = await postStream(server, { messages: user(long) });
      process.kill(resident(server)!.pid!, 'SIGKILL');
      await expect.poll(() => resident(server)?.pid, { interval: 5 }).toBeNull();
      expect(errorCode(await running.text())).toBe('engine_crashed');
      expect(resident(server)?.crashes).toBe(kill);
      expect(server.starts()).toBe(kill);
    }
    const refused = await postStream(server, { messages: user('hi') });
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ error: { code: 'breaker_open' } });
    expect(server.starts()).toBe(3);
  });

  test('[serving V61] a stopped child is ended by the limit on progress, although its process lives', async () => {
    await using server = await startHttp({ tokenMs: 20 }, { gateway: { progressTimeoutMs: 500 } });
    const running = await postStream(server, { messages: user(long) });
    const { pid } = resident(server)!;
    process.kill(pid!, 'SIGSTOP');
    expect(() => process.kill(pid!, 0)).not.toThrow();
    expect(errorCode(await running.text())).toBe('engine_crashed');
    await expect.poll(() => alive(pid!)).toBe(false);
  });

  test('a child that makes no token is ended by the progress limit, and the next request loads again', async () => {
    await using server = await startHttp({ stallAfterTokens: 4 }, { gateway: { progressTimeoutMs: 500 } });
    const stalled = await postStream(server, { messages: user('a b c d e f') });
    expect(await stalled.text()).toContain('"code":"engine_crashed"');
    const again = await postStream(server, { messages: user('z') });
    expect(await again.text()).toContain('[DONE]');
  });
});

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
