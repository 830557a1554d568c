import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createUpstreams } from '../../src/app/create-upstreams.ts';
import { load } from '../../src/config/index.ts';
import { silentLogger } from '../../src/core/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { type LlamaServer, noLlamaServer, startLlamaServer } from '../support/llama-server.ts';
import { chat, type MockUpstream, startMockUpstream, stream } from '../support/mock-upstream.ts';
import { type ObservedFixture, startObserved } from '../support/observed-http.ts';
import { startVllmServer, type VllmServer } from '../support/vllm-server.ts';

/** Whole servers behind the daemon's own wiring: one that speaks vLLM's API, another hearth, llama.cpp's, and one that departs from its API. */

const gguf = process.env['HEARTH_TEST_SMOLLM2_GGUF'];
const noLlama = noLlamaServer(gguf);
const QWEN = 'Qwen/Qwen3-0.6B';

let mock: MockUpstream;
let vllm: VllmServer;
let far: HttpFixture;
let llama: LlamaServer | undefined;
let server: ObservedFixture;
let upstreams: ReturnType<typeof createUpstreams>;

beforeAll(async () => {
  [mock, vllm, far] = await Promise.all([startMockUpstream(), startVllmServer(), startHttp({ contextTokens: 256 })]);
  llama = noLlama === null ? await startLlamaServer(gguf!) : undefined;
  const local = { kind: 'openai', privacy: 'local', capabilities: ['chat', 'completions', 'tools'] };
  const remotes = {
    vllm: { ...local, baseUrl: `${vllm.url}/v1`, models: [QWEN], passthroughPaths: ['/tokenize', '/detokenize'] },
    other: { kind: 'peer', privacy: 'local', baseUrl: far.baseUrl },
    odd: { ...local, baseUrl: `${mock.url}/v1`, models: ['m'] },
    ...(llama === undefined
      ? {}
      : { llama: { ...local, baseUrl: `${llama.url}/v1`, models: ['smollm2'], passthroughPaths: ['/tokenize', '/v1/messages/count_tokens'] } }),
  };
  const { config } = await load({ userFile: { path: '/config.json', text: JSON.stringify({ version: 1, remotes }) } });
  upstreams = createUpstreams(config, {}, silentLogger, { emit: (event) => server.telemetry.events.emit(event) });
  server = await startObserved({}, { gateway: { routing: { upstreams, probeIntervalMs: null } } });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  for (const upstream of upstreams ?? []) upstream[Symbol.dispose]();
  await Promise.all([mock, vllm, far, llama].map((each) => each?.[Symbol.asyncDispose]()));
});

const post = async (path: string, body: object, headers: Readonly<Record<string, string>> = {}) => {
  const response = await fetch(`${server.baseUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  return { response, body: (await response.json()) as Record<string, unknown> };
};
const hello = [{ role: 'user' as const, content: 'hello world' }];

describe('a server with vLLM’s API', () => {
  const model = `vllm/${QWEN}`;

  test('answers chats in both forms, with its own fields, and messages of the other API by translation', async () => {
    const { response, body } = await post('/v1/chat/completions', { model, messages: hello, max_tokens: 12 });
    expect(response.headers.get('x-hearth-upstream')).toBe('vllm');
    expect(body).toMatchObject({ choices: [{ finish_reason: 'length', stop_reason: null }], kv_transfer_params: null });
    const text = (body['choices'] as { message: { content: string } }[])[0]!.message.content;
    const streamed = await new OpenAI({ baseURL: `${server.baseUrl}/v1`, apiKey: 'any' }).chat.completions
      .stream({ model, messages: hello, max_tokens: 12 })
      .finalContent();
    expect(streamed).toBe(text);
    const message = await new Anthropic({ baseURL: server.baseUrl, apiKey: 'any' }).messages.create({ model, messages: hello, max_tokens: 12 });
    expect(message).toMatchObject({ stop_reason: 'max_tokens', content: [{ type: 'text', text }] });
  });

  test('a seed that it is not known to have is left out where the request is translated, and told', async () => {
    const seeded = { model, messages: hello, max_tokens: 4, seed: 7 };
    const translated = await post('/v1/messages', seeded);
    expect([translated.response.status, translated.response.headers.get('x-hearth-dropped')]).toEqual([200, 'seed']);
    expect(vllm.requests.at(-1)!.body).not.toHaveProperty('seed');
    const asItCame = await post('/v1/chat/completions', seeded);
    expect([asItCame.response.status, asItCame.response.headers.get('x-hearth-dropped')]).toEqual([200, null]);
    expect(vllm.requests.at(-1)!.body).toMatchObject({ seed: 7 });
  });

  test('plain completions go through as they came, with fields that hearth does not know', async () => {
    const { response, body } = await post('/v1/completions', { model, prompt: 'a b c', max_tokens: 9, guided_regex: '[a-z ]+', suffix: 'x' });
    expect(response.status).toBe(200);
    expect(vllm.requests.at(-1)).toMatchObject({ path: '/v1/completions', body: { model: QWEN, guided_regex: '[a-z ]+', suffix: 'x' } });
    expect(body).toMatchObject({ object: 'text_completion', choices: [{ prompt_logprobs: null }], usage: { completion_tokens: 9 } });
    const streamed = await fetch(`${server.baseUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, prompt: [97, 98], max_tokens: 9, stream: true }),
    });
    const events = await streamed.text();
    expect(events).toContain('"stop_reason":null');
    expect(events.endsWith('data: [DONE]\n\n')).toBe(true);
    const asked = vllm.requests.length;
    const both = await post('/v1/completions', { model, prompt: ['a', 'b'], max_tokens: 6, guided_regex: '[a-z ]+' });
    expect((both.body['choices'] as unknown[]).length).toBe(2);
    expect(vllm.requests.slice(asked)).toMatchObject([{ path: '/v1/completions', body: { model: QWEN, prompt: ['a', 'b'], guided_regex: '[a-z ]+' } }]);
    const streams = await fetch(`${server.baseUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, prompt: [[97], [98]], max_tokens: 3, guided_regex: 'x', stream: true }),
    });
    expect(await streams.text()).toMatch(/"index":1.*data: \[DONE\]\n\n$/s);
    expect(vllm.requests.at(-1)).toMatchObject({ body: { prompt: [[97], [98]], guided_regex: 'x' } });
    expect(vllm.requests.length).toBe(asked + 2);
  });

  test('its tokens go through; what it cannot count is an estimate that is marked; a prompt without room has its own code', async () => {
    const { body } = await post('/tokenize', { model, prompt: 'abc' });
    expect(body).toMatchObject({ tokens: [97, 98, 99], count: 3, max_model_len: 256 });
    expect((await post('/detokenize', { model, tokens: [97, 98] })).body).toEqual({ prompt: 'ab' });
    const refused = await post('/apply-template', { model, messages: hello });
    expect(refused.response.status).toBe(400);
    expect(refused.body).toMatchObject({ error: { code: 'capability_mismatch', message: expect.stringContaining('remotes.vllm.passthroughPaths') } });
    const counted = await post('/v1/messages/count_tokens', { model, messages: [{ role: 'user', content: 'x'.repeat(400) }] });
    expect([counted.body['input_tokens'], counted.response.headers.get('x-hearth-estimated')]).toEqual([100, 'input_tokens']);
    const long = await post('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'x'.repeat(400) }] });
    expect([long.response.status, long.body]).toMatchObject([400, { error: { code: 'context_length_exceeded' } }]);
  });

  test('a trace goes on to it: the client’s, else the one that begins here, with the id of the request', async () => {
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await post('/v1/chat/completions', { model, messages: hello, max_tokens: 2 }, { traceparent: trace, 'x-request-id': 'mine' });
    expect(vllm.requests.at(-1)!.headers['traceparent']).toBe(trace);
    const { response } = await post('/v1/chat/completions', { model, messages: hello, max_tokens: 2 });
    expect(vllm.requests.at(-1)!.headers['traceparent']).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(vllm.requests.at(-1)!.headers['x-request-id']).toBe(response.headers.get('x-request-id'));
  });
});

test('another hearth counts, tokenises and renders for this one', async () => {
  const model = 'other/org/fake';
  const direct = async (path: string, body: object) =>
    (await fetch(`${far.baseUrl}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })).json();
  for (const [path, body] of [
    ['/tokenize', { content: 'one two' }],
    ['/detokenize', { tokens: [1, 2] }],
    ['/apply-template', { messages: hello }],
    ['/v1/messages/count_tokens', { messages: hello }],
  ] as const) {
    const { response, body: reply } = await post(path, { model, ...body });
    expect([path, response.status]).toEqual([path, 200]);
    expect(response.headers.get('x-hearth-estimated')).toBeNull();
    expect(reply).toEqual(await direct(path, { model: 'org/fake', ...body }));
  }
});

test('[serving V79] departures of an upstream from its API are counted by their kind', async () => {
  const series = (kind: string) => `hearth_upstream_protocol_violations_total{upstream="odd",kind="${kind}"}`;
  mock.script(stream([chat.head(), chat.text('one'), chat.finish(), chat.text('late')]));
  const response = await fetch(`${server.baseUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'odd/m', messages: hello, stream: true }),
  });
  expect((await response.text()).endsWith('data: [DONE]\n\n')).toBe(true);
  expect(await server.metric(series('surplus'))).toBe(1);
  expect(await server.metric(series('missing-terminator'))).toBe(1);
});

describe.skipIf(noLlama !== null)(`llama.cpp’s own server${noLlama === null ? '' : ` (skipped: ${noLlama})`}`, () => {
  const model = 'llama/smollm2';

  test('answers in both forms and both APIs, counts and tokenises', async () => {
    const question = [{ role: 'user' as const, content: 'What is the capital of France? Answer in one word.' }];
    const openai = new OpenAI({ baseURL: `${server.baseUrl}/v1`, apiKey: 'any', maxRetries: 0 });
    const wish = { model, messages: question, max_tokens: 12, temperature: 0 };
    const whole = await openai.chat.completions.create(wish);
    expect(whole.choices[0]!.message.content).toContain('Paris');
    expect(await openai.chat.completions.stream(wish).finalContent()).toBe(whole.choices[0]!.message.content);
    const { content } = await new Anthropic({ baseURL: server.baseUrl, apiKey: 'any' }).messages.create(wish);
    expect(content).toMatchObject([{ type: 'text', text: expect.stringContaining('Paris') }]);
    expect((await openai.completions.create({ model, prompt: 'One, two, three,', max_tokens: 4, temperature: 0 })).choices[0]!.text).toContain('four');
    expect((await post('/tokenize', { model, content: 'hello world' })).body).toEqual({ tokens: [28120, 905] });
    const { body, response } = await post('/v1/messages/count_tokens', { model, messages: hello });
    expect([body, response.headers.get('x-hearth-estimated')]).toEqual([{ input_tokens: 32 }, null]);
    const long = await post('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'word '.repeat(4_000) }] });
    expect([long.response.status, long.body]).toMatchObject([400, { error: { code: 'context_length_exceeded' } }]);
  }, 120_000);
});
