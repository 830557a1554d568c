import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { chat, chatReply, goodChat, goodMessage, json, type MockUpstream, message, named, startMockUpstream, stream } from '../support/mock-upstream.ts';
import { makeUpstream } from '../support/upstream-run.ts';

/** Client and upstream of the same API: what comes goes on as it is, through the real server. */

let mock: MockUpstream;
let http: HttpFixture;
const violations: string[] = [];
const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

beforeAll(async () => {
  mock = await startMockUpstream();
  const onViolation = (kind: string) => violations.push(kind);
  const timeouts = { idleMs: 1_500, firstTokenMs: 5_000 };
  const upstreams = [
    makeUpstream(mock.url, { name: 'claude', kind: 'anthropic', apiKey: () => 'upstream-key-1', onViolation, timeouts }),
    makeUpstream(mock.url, { name: 'gpt', kind: 'openai', apiKey: () => 'upstream-key-2', sessionHeaders: ['x-my-session'], onViolation, timeouts }),
  ];
  http = await startHttp({}, { gateway: { routing: { upstreams, probeIntervalMs: null } } });
});
afterAll(async () => {
  await http?.[Symbol.asyncDispose]();
  await mock?.[Symbol.asyncDispose]();
});

const last = () => mock.requests.at(-1)!;
const post = async (path: string, body: string, headers: Record<string, string> = {}) => {
  const response = await fetch(`${http.baseUrl}${path}`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });
  return { response, bytes: Buffer.from(await response.arrayBuffer()) };
};

/** Spaces, escapes, unknown fields, numbers as they are written: nothing of it may change. */
const chatBody = (model: string, more: string) =>
  `{ "zz_unknown": {"a": [1.50, 1e3, -0.0], "model": "inner"},\n\t"model" : "${model}", "messages":[{"role":"user","content":"Gr\\u00fc\\u00dfe \\ud83c\\udf0d 世界","x_beta":true}]  ,"store":false${more}, "top_k": 7 }  `;
const messageBody = (model: string, more: string) =>
  `{"model":"${model}","max_tokens":  50,"context_management":{"edits":[]},"betas_of_tomorrow":[{"type":"x"}],"messages":[{"role":"user","content":[{"type":"text","text":"caf\\u00e9","cache_control":{"type":"ephemeral"}}]}]${more}}`;
const ROUTES = [
  { path: '/v1/chat/completions', name: 'gpt', body: chatBody, reply: chatReply('Grüße'), events: goodChat('Grüße ', '🌍') },
  {
    path: '/v1/messages',
    name: 'claude',
    body: messageBody,
    reply: {
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model: 'up',
      content: [{ type: 'text', text: 'x' }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: { input_tokens: 3, output_tokens: 2 },
      new_field: 1,
    },
    events: [message.start, named({ type: 'ping' }), ...goodMessage('Grüße ', '🌍').slice(1)],
  },
] as const;

describe('[serving V72] requests and answers go through byte for byte', () => {
  for (const { path, name, body, reply, events } of ROUTES) {
    test(`${path}, JSON: only the name of the model is another one`, async () => {
      const text = JSON.stringify(reply, null, 1);
      mock.script(json(text));
      const { response, bytes } = await post(path, body(`${name}/m`, ''));
      expect(response.status).toBe(200);
      expect(last().sha256).toBe(sha256(body('up', '')));
      expect(sha256(bytes)).toBe(sha256(text));
      expect(response.headers.get('x-hearth-upstream')).toBe(name);
      expect(response.headers.get('x-hearth-attempts')).toBe(`${name}=ok`);
    });

    test(`${path}, stream, whatever the packets are`, async () => {
      for (const splitEvery of [1, 7, 1_000_000]) {
        mock.script(stream(events, { splitEvery }));
        const { response, bytes } = await post(path, body(`${name}/m`, ',"stream":true'));
        expect(response.headers.get('content-type')).toContain('text/event-stream');
        expect(last().sha256).toBe(sha256(body('up', ',"stream":true')));
        expect(sha256(bytes)).toBe(sha256(events.join('')));
      }
    });
  }

  test('headers: betas, sessions and traces go on; the client’s key, cookies and what belongs to a connection do not; rate limits come back', async () => {
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const headers = {
      authorization: 'Bearer client-key',
      cookie: 'a=b',
      'anthropic-beta': 'one-2025,two',
      'anthropic-version': '2024-01-01',
      'openai-beta': 'x',
      traceparent: trace,
      'x-my-session': 's1',
      'x-hearth-session': 's2',
      'x-other': 'no',
    };
    mock.script(
      json(JSON.stringify(ROUTES[1].reply), {
        'anthropic-ratelimit-requests-remaining': '9',
        'x-ratelimit-limit-tokens': '5',
        'set-cookie': 'c=d',
        server: 'x',
      }),
    );
    const { response } = await post('/v1/messages', messageBody('claude/m', ''), headers);
    expect(last().headers).toMatchObject({
      'x-api-key': 'upstream-key-1',
      'anthropic-beta': 'one-2025,two',
      'anthropic-version': '2024-01-01',
      traceparent: trace,
      'x-hearth-session': 's2',
    });
    for (const name of ['authorization', 'cookie', 'x-other', 'x-my-session']) expect(last().headers).not.toHaveProperty(name);
    expect(response.headers.get('anthropic-ratelimit-requests-remaining')).toBe('9');
    expect(response.headers.get('x-ratelimit-limit-tokens')).toBe('5');
    expect(response.headers.get('set-cookie')).toBeNull();
    mock.script(json(chatReply('x')));
    await post('/v1/chat/completions', chatBody('gpt/m', ''), headers);
    expect(last().headers).toMatchObject({ authorization: 'Bearer upstream-key-2', 'openai-beta': 'x', 'x-my-session': 's1' });
  });
});

test('a stream that breaks off ends in the error of the client’s API, and without its terminator', async () => {
  mock.script(stream([chat.head(), chat.text('one'), 'CUT']));
  const openai = (await post('/v1/chat/completions', chatBody('gpt/m', ',"stream":true'))).bytes.toString();
  expect(openai.startsWith(chat.head() + chat.text('one'))).toBe(true);
  expect(openai).toContain('"code":"upstream_truncated"');
  expect(openai).not.toContain('[DONE]');
  mock.script(stream([...goodMessage('one').slice(0, 3), 'STALL']));
  const anthropic = (await post('/v1/messages', messageBody('claude/m', ',"stream":true'))).bytes.toString();
  expect(anthropic.startsWith(goodMessage('one').slice(0, 3).join(''))).toBe(true);
  expect(anthropic).toContain('event: error\n');
  expect(anthropic).not.toContain('message_stop');
});

test('what is surplus is left out, and a missing terminator is supplied', async () => {
  violations.length = 0;
  const [head, ...rest] = goodMessage('one');
  mock.script(stream([head!, ...rest.slice(0, -1), message.delta(0, { type: 'text_delta', text: 'late' }), message.end('max_tokens')]));
  const { bytes } = await post('/v1/messages', messageBody('claude/m', ',"stream":true'));
  expect(bytes.toString()).toBe(goodMessage('one').join(''));
  expect(violations).toEqual(['surplus', 'surplus', 'missing-terminator']);
});

test('vectors and scores of an upstream go through, with what they used', async () => {
  const vectors = {
    object: 'list',
    data: [{ object: 'embedding', index: 0, embedding: [0.1, 0.2] }],
    model: 'up',
    usage: { prompt_tokens: 3, total_tokens: 3 },
  };
  const scores = { model: 'up', results: [{ index: 1, relevance_score: 0.9 }], usage: { total_tokens: 5 } };
  for (const [path, body, reply] of [
    ['/v1/embeddings', '{"model":"gpt/m","input":["x"], "encoding_format":"float","beta":1}', vectors],
    ['/v1/rerank', '{"model":"gpt/m","query":"q","documents":["a","b"],"beta":1}', scores],
  ] as const) {
    mock.script(json(JSON.stringify(reply, null, 2)));
    const { response, bytes } = await post(path, body);
    expect([response.status, sha256(bytes)]).toEqual([200, sha256(JSON.stringify(reply, null, 2))]);
    expect([last().path, last().sha256]).toEqual([path, sha256(body.replace('gpt/m', 'up'))]);
    const { response: refused } = await post(path, body.replace('gpt/m', 'claude/m'));
    expect(refused.status).toBe(400);
  }
});
