import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/core/index.ts';
import { startHttp } from '../support/http-fixture.ts';

const model = 'org/fake';
const user = (content: string) => [{ role: 'user' as const, content }];

describe('slow readers', () => {
  test('one that takes nothing stalls nobody and is cut off', async () => {
    await using server = await startHttp({ contextTokens: 10_000, parallel: 8 }, { api: { slowClientTimeoutMs: 1500 } });
    await server.openai.chat.completions.create({ model, messages: user('warm') });
    // Four times 1 MiB of answer, far more than the buffers of the kernel and of the server.
    const body = JSON.stringify({ model, stream: true, n: 4, messages: user(`${'x'.repeat(900)} `.repeat(1000)) });
    const socket = connect(server.listener.port!, '127.0.0.1');
    socket.pause();
    const ended = new Promise<void>((resolve) => {
      socket.on('error', () => resolve());
      socket.on('close', () => resolve());
    });
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:${server.listener.port}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await expect.poll(() => server.gateway.snapshot().models[0]?.inFlight).toBe(1);
    const others = await Promise.all([1, 2, 3].map((index) => server.openai.chat.completions.create({ model, messages: user(`other ${index}`) })));
    expect(others.map(({ choices }) => choices[0]?.message.content)).toEqual(['echo: other 1', 'echo: other 2', 'echo: other 3']);
    expect(server.gateway.snapshot().models[0]?.inFlight).toBe(1);
    await expect.poll(() => server.gateway.snapshot().models[0]?.inFlight).toBe(0);
    socket.resume();
    await ended;
  });

  test('one that reads slowly but steadily gets everything', async () => {
    await using server = await startHttp({ contextTokens: 10_000 }, { api: { slowClientTimeoutMs: 1500 } });
    const content = `${'y'.repeat(2000)} `.repeat(400).trim();
    const response = await fetch(`${server.baseUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, stream: true, messages: user(content) }),
    });
    let text = '';
    const decoder = new TextDecoder();
    for await (const part of response.body!) {
      text += decoder.decode(part, { stream: true });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    const pieces = text.split('\n\n').filter((event) => event.startsWith('data: {'));
    expect(pieces.map((event) => JSON.parse(event.slice(6)).choices[0]?.delta.content ?? '').join('')).toBe(`echo: ${content}`);
  });
});

describe('the access log', () => {
  test('has one line for each request, written at its end, with how it ended, counts and times, and no text of it', async () => {
    const lines: Record<string, unknown>[] = [];
    const logger = {
      ...silentLogger,
      info: (message: string, fields?: Readonly<Record<string, unknown>>) => void (message === 'request' && lines.push({ ...fields })),
    };
    await using server = await startHttp({ tokenMs: 10 }, { api: { logger } });
    const messages = user('secret words here');
    const stream = await server.openai.chat.completions.create({ model, messages, stream: true });
    expect(lines).toHaveLength(0);
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe('echo: secret words here');
    await expect.poll(() => lines.length).toBe(1);
    expect(lines[0]).toMatchObject({
      path: '/v1/chat/completions',
      status: 200,
      outcome: 'ok',
      model,
      upstream: 'fake',
      prompt_tokens: 3,
      completion_tokens: 4,
    });

    const abort = new AbortController();
    const cut = await server.openai.chat.completions.create({ model, messages: user('word '.repeat(300)), stream: true }, { signal: abort.signal });
    for await (const _ of cut) abort.abort();
    await expect.poll(() => lines.length).toBe(2);
    expect(lines[1]).toMatchObject({ status: 200, outcome: 'client_cancel' });

    await server.openai.chat.completions.create({ model: 'nobody', messages }).catch(() => {});
    expect(lines[2]).toMatchObject({ status: 404, outcome: 'client_error', code: 'model_not_found', model: null });
    await server.openai.chat.completions.create({ model, messages });
    expect(lines[3]).toMatchObject({ outcome: 'ok', prompt_tokens: 3 });
    expect(lines).toHaveLength(4);
    expect(JSON.stringify(lines)).not.toMatch(/secret|echo/);
  });
});

describe('quiet streams', () => {
  test('comments come in the interval of the heartbeat while the engine is silent, and the official client never sees them', async () => {
    await using server = await startHttp({ tokenMs: 300 }, { api: { headerHoldMs: 20, heartbeatMs: 40 } });
    const messages = user('a b');
    const response = await fetch(`${server.baseUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages, stream: true }),
    });
    const comments = (await response.text()).split('\n\n').filter((event) => event.startsWith(':'));
    expect(comments.length).toBeGreaterThan(5);
    expect(comments[0]).toBe(': prefill 2/2');
    let text = '';
    for await (const chunk of await server.openai.chat.completions.create({ model, messages, stream: true })) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe('echo: a b');
  });
});

describe('a listener that requires keys', () => {
  test('closes inference too, and leaves health open', async () => {
    await using server = await startHttp({}, { listen: { access: { requireKey: true } } });
    await expect(server.openai.models.list()).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' });
    expect((await fetch(`${server.baseUrl}/health`)).status).toBe(200);
  });
});
