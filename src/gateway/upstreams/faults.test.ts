import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  chat,
  chatReply,
  chunk,
  data,
  goodChat,
  hangUp,
  json,
  type MockAnswer,
  type MockUpstream,
  type Step,
  silent,
  startMockUpstream,
  status,
  stream,
} from '../../../test/support/mock-upstream.ts';
import { call, hear, makeUpstream, raw } from '../../../test/support/upstream-run.ts';
import type { UpstreamCall } from '../upstream.ts';

let mock: MockUpstream;
beforeAll(async () => {
  mock = await startMockUpstream();
});
afterAll(() => mock[Symbol.asyncDispose]());

const QUICK = { connectMs: 5_000, firstTokenMs: 1_000, idleMs: 1_000, requestMs: 30_000 };
const PASS = raw('openai-chat', '/v1/chat/completions', '{"model":"up","stream":true,"messages":[{"role":"user","content":"x"}]}');

/** Both ways through: decoded, and as bytes. */
const WAYS: readonly (readonly [string, Partial<UpstreamCall>])[] = [
  ['decoded', {}],
  ['as bytes', PASS],
];

const faultBefore = async (answer: MockAnswer, more: Partial<UpstreamCall> = {}) => {
  mock.script(answer);
  using upstream = makeUpstream(mock.url, { timeouts: QUICK, maxEventBytes: 10_000 });
  return await upstream.send(call(more)).then(
    () => 'answered',
    (error: { code: string; fallback: boolean; countsForBreaker: boolean; retryAfterMs?: number; status?: number }) => error,
  );
};
const heardAfter = async (steps: readonly Step[], more: Partial<UpstreamCall> = {}) => {
  mock.script(stream(steps));
  using upstream = makeUpstream(mock.url, { timeouts: QUICK, maxEventBytes: 10_000 });
  return await hear(upstream, more);
};

describe('before the first content a fault is thrown with what it means', () => {
  const TRY_ANOTHER = { fallback: true, countsForBreaker: true };
  const STAY = { fallback: false, countsForBreaker: false };
  const rows: readonly (readonly [string, MockAnswer, object])[] = [
    ['F1 the connection is reset', hangUp, { code: 'upstream_unreachable', ...TRY_ANOTHER }],
    ['F2 401', status(401, { error: { message: 'bad key' } }), { code: 'upstream_unauthorized', misconfigured: true, ...STAY }],
    ['F2 403', status(403, { error: 'no' }), { code: 'permission_denied', misconfigured: true, ...STAY }],
    ['F2 400', status(400, { error: { message: 'bad field', param: 'top_k' } }), { code: 'invalid_value', details: { param: 'top_k' }, ...STAY }],
    ['F2 400 of the context', status(400, { error: { message: 'long', code: 'context_length_exceeded' } }), { code: 'context_length_exceeded', ...STAY }],
    ['F2 413', status(413, { detail: 'large' }), { code: 'request_too_large', ...STAY }],
    ['F2 422', status(422, { detail: [{ loc: ['body'], msg: 'x' }] }), { code: 'upstream_refused', ...STAY }],
    [
      'F3 429',
      status(429, { error: { message: 'slow' } }, { 'retry-after': '7' }),
      { code: 'rate_limit_exceeded', fallback: true, countsForBreaker: false, retryAfterMs: 7_000 },
    ],
    ['F3 429 of the budget', status(429, { error: { message: 'pay', code: 'insufficient_quota' } }), { code: 'insufficient_quota', fallback: true }],
    [
      'F4 500',
      status(500, { error: { message: 'it exploded' } }),
      { code: 'upstream_error', status: 500, message: expect.stringContaining('it exploded'), ...TRY_ANOTHER },
    ],
    ['F5 502', status(502, '<html>'), { code: 'upstream_unreachable', status: 502, ...TRY_ANOTHER }],
    [
      'F5 503',
      status(503, { message: 'loading', status: 503 }, { 'retry-after': '3' }),
      { code: 'upstream_overloaded', status: 503, retryAfterMs: 3_000, ...TRY_ANOTHER },
    ],
    ['F5 504', status(504, ''), { code: 'upstream_timeout', status: 504, ...TRY_ANOTHER }],
    [
      'F5 529',
      status(529, { type: 'error', error: { type: 'overloaded_error', message: 'busy' } }),
      { code: 'upstream_overloaded', status: 529, ...TRY_ANOTHER },
    ],
    ['408', status(408, ''), { code: 'upstream_timeout', ...TRY_ANOTHER }],
    [
      '404 of a model',
      status(404, { error: { message: 'no such model', code: 'model_not_found' } }),
      { code: 'model_not_found', fallback: true, countsForBreaker: false },
    ],
    ['F6 no head at all', silent, { code: 'upstream_timeout', ...TRY_ANOTHER }],
    ['F6 comments and empty deltas only', stream([chat.head(), ': still here\n\n', 'STALL']), { code: 'upstream_timeout', ...TRY_ANOTHER }],
    [
      'F8 an error event that may pass',
      stream([data({ error: { message: 'busy', type: 'overloaded_error' } })]),
      { code: 'upstream_overloaded', ...TRY_ANOTHER },
    ],
    [
      'F8 an error event of the request',
      stream([chat.head(), 'event: error\n', data({ error: { message: 'bad', type: 'invalid_request_error' } })]),
      { code: 'invalid_value', ...STAY },
    ],
    ['F9 an end without a finish', stream([chat.head()]), { code: 'upstream_truncated', ...TRY_ANOTHER }],
    ['F9 [DONE] without a finish', stream([chat.head(), chat.done]), { code: 'upstream_truncated', ...TRY_ANOTHER }],
    ['F9 the connection breaks', stream([chat.head(), 'CUT']), { code: 'upstream_truncated', ...TRY_ANOTHER }],
    ['F10 an event that is no JSON', stream(['data: {"choices":[}\n\n', ...goodChat('x')]), { code: 'upstream_malformed', ...TRY_ANOTHER }],
    ['F10 an event of the wrong shape', stream([data({ choices: [{ index: 0, delta: { content: 7 } }] })]), { code: 'upstream_malformed', ...TRY_ANOTHER }],
    [
      'F10 bytes that are no UTF-8',
      stream([Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xc3, 0x28, 0x0a, 0x0a])]),
      { code: 'upstream_malformed', ...TRY_ANOTHER },
    ],
    ['F11 an empty stream', stream([]), { code: 'upstream_empty', ...TRY_ANOTHER }],
    ['F11 [DONE] alone', stream([chat.done]), { code: 'upstream_empty', ...TRY_ANOTHER }],
    ['F12 a page', stream(['<html>'], { type: 'text/html' }), { code: 'upstream_wrong_type', ...TRY_ANOTHER }],
    ['F12 an error as JSON with 200', json({ error: { message: 'quota', code: 'rate_limit_exceeded' } }), { code: 'rate_limit_exceeded', fallback: true }],
    ['F14 an event over the limit', stream([`data: ${'x'.repeat(20_000)}`, 'STALL']), { code: 'upstream_event_too_large', ...TRY_ANOTHER }],
    ['a redirect', status(302, '', { location: 'http://127.0.0.1/' }), { code: 'upstream_wrong_type', ...TRY_ANOTHER }],
  ];
  for (const [way, more] of WAYS)
    for (const [title, answer, fault] of rows) test(`${title}, ${way}`, async () => expect(await faultBefore(answer, more)).toMatchObject(fault));

  test('F1 nothing listens, and a name that is none', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    for (const url of [`http://127.0.0.1:${port}`, 'http://nowhere.invalid']) {
      using upstream = makeUpstream(url);
      await expect(upstream.send(call())).rejects.toMatchObject({ code: 'upstream_unreachable', ...TRY_ANOTHER });
    }
    using secure = makeUpstream(mock.url.replace('http:', 'https:'));
    await expect(secure.send(call())).rejects.toMatchObject({ code: 'upstream_unreachable' });
  });

  test('an upstream that accepts and never answers TLS is cut by the connect limit', async () => {
    const mute = createServer(() => {});
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    using upstream = makeUpstream(`https://127.0.0.1:${(mute.address() as AddressInfo).port}`, { timeouts: { connectMs: 100 } });
    await expect(upstream.send(call())).rejects.toMatchObject({ code: 'upstream_timeout', fallback: true });
    mute.close();
  });

  test('no message and no detail of a fault holds the key', async () => {
    const key = 'secret-key-0123456789';
    mock.script(status(401, { error: { message: `no such key: ${key}`, code: key } }));
    using upstream = makeUpstream(mock.url, { apiKey: () => key });
    const error = await upstream.send(call()).catch((thrown: unknown) => thrown);
    expect(mock.requests.at(-1)?.headers['authorization']).toBe(`Bearer ${key}`);
    expect(JSON.stringify(error) + String(error)).not.toContain(key);
  });
});

describe('behind the first content the text stays, and one fault ends the answer', () => {
  const rows: readonly (readonly [string, readonly Step[], string])[] = [
    ['F1 the connection breaks', [chat.head(), chat.text('one'), 'CUT'], 'upstream_truncated'],
    ['F7 it stalls, with comments', [chat.head(), chat.text('one'), ': here\n\n', 50, ': here\n\n', 50, ': here\n\n', 'STALL'], 'upstream_timeout'],
    ['F8 an error event', [chat.head(), chat.text('one'), data({ error: { message: 'it broke', type: 'server_error' } })], 'upstream_error'],
    ['F9 no finish', [chat.head(), chat.text('one')], 'upstream_truncated'],
    ['F9 no finish but [DONE]', [chat.head(), chat.text('one'), chat.done], 'upstream_truncated'],
    ['F9 half an event', [chat.head(), chat.text('one'), 'data: {"choi'], 'upstream_truncated'],
    ['F10 no JSON', [chat.head(), chat.text('one'), 'data: {broken}\n\n', chat.text('never')], 'upstream_malformed'],
    ['F14 too large', [chat.head(), chat.text('one'), chat.text('y'.repeat(20_000))], 'upstream_event_too_large'],
  ];
  for (const [title, steps, code] of rows) {
    test(`${title}, decoded`, async () => {
      const { text, broken, events } = await heardAfter(steps);
      expect([text, broken]).toEqual(['one', code]);
      expect(events.filter(({ kind }) => kind === 'error')).toHaveLength(1);
      expect(events.some(({ kind }) => kind === 'end')).toBe(false);
    });
    test(`${title}, as bytes`, async () => {
      const { bytes, broken } = await heardAfter(steps, PASS);
      expect(broken).toBe(code);
      expect(bytes.toString().replaceAll(/: here\n\n/g, '')).toBe(chat.head() + chat.text('one'));
    });
  }

  test('F13 one finish for each choice, no content behind it, one [DONE]; what was left out is counted', async () => {
    const seen: string[] = [];
    const steps = [
      chat.head(),
      chat.text('one'),
      chat.finish(),
      chat.finish('length'),
      chat.text('late'),
      chat.usage(),
      chat.done,
      chat.text('later'),
      chat.done,
    ];
    for (const [, more] of WAYS) {
      mock.script(stream(steps));
      using upstream = makeUpstream(mock.url, { onViolation: (kind) => seen.push(kind) });
      const { text, bytes, events, broken, kind } = await hear(upstream, more);
      expect(broken).toBeNull();
      if (kind === 'bytes') expect(bytes.toString()).toBe([chat.head(), chat.text('one'), chat.finish(), chat.usage(), chat.done].join(''));
      else {
        expect(text).toBe('one');
        expect(events.filter((event) => event.kind === 'finish')).toEqual([{ kind: 'finish', choice: 0, reason: 'stop' }]);
      }
    }
    expect(seen).toEqual(['surplus', 'surplus', 'surplus', 'surplus']);
  });

  test('F13 a missing [DONE] is supplied, also when the connection breaks or stalls behind the finish', async () => {
    for (const end of [[], ['CUT'], ['STALL']] as const) {
      expect((await heardAfter([...goodChat('one').slice(0, -1), ...end], PASS)).bytes.toString()).toBe(goodChat('one').join(''));
      const { text, broken, events } = await heardAfter([...goodChat('one').slice(0, -1), ...end]);
      expect([text, broken, events.at(-1)?.kind]).toEqual(['one', null, 'end']);
    }
  });

  test('a chunk with one finished and one open choice keeps the open one', async () => {
    const both = data({
      id: 'c1',
      choices: [
        { index: 0, delta: { content: 'late' } },
        { index: 1, delta: { content: 'two' } },
      ],
    });
    const steps = [chat.text('one'), chat.finish(), both, chat.finish('stop', 1), chat.done];
    const { bytes } = await heardAfter(steps, raw('openai-chat', '/v1/chat/completions', '{"model":"up","n":2}'));
    expect(bytes.toString()).toBe(
      [chat.text('one'), chat.finish(), data({ id: 'c1', choices: [{ index: 1, delta: { content: 'two' } }] }), chat.finish('stop', 1), chat.done].join(''),
    );
  });
});

describe('forms', () => {
  test('F12 a JSON completion for a stream is streamed, a stream for a JSON request is folded', async () => {
    mock.script(json(chatReply('whole')), stream(goodChat('in ', 'parts')));
    using upstream = makeUpstream(mock.url);
    for (const more of [
      { stream: true, ...PASS },
      { stream: false, ...PASS },
    ]) {
      const { kind, events } = await hear(upstream, more);
      expect([kind, events.map((event) => event.kind).filter((each) => each !== 'text-delta')]).toEqual(['events', ['start', 'finish', 'usage', 'end']]);
    }
  });

  test('JSON answers are whole and checked before they are given out', async () => {
    const cases: readonly (readonly [MockAnswer, string])[] = [
      [json('{"choices":[{"index":0,"mess'), 'upstream_malformed'],
      [json({ choices: [{ index: 0, message: { role: 'assistant', content: 'x' } }] }), 'upstream_truncated'],
      [json({ choices: [] }), 'upstream_empty'],
      [json({ choices: [{ index: 0, finish_reason: 'stop' }] }), 'upstream_malformed'],
      [json({ error: 'no' }), 'upstream_error'],
      [json([1]), 'upstream_malformed'],
      [
        (response) => void response.writeHead(200, { 'content-type': 'application/json', 'content-length': '500' }).write('{"a":', () => response.destroy()),
        'upstream_truncated',
      ],
      [(response) => void response.writeHead(200, { 'content-type': 'application/json' }).write('{"a":'), 'upstream_timeout'],
    ];
    for (const [, more] of WAYS) {
      for (const [answer, code] of cases) expect(await faultBefore(answer, { ...more, stream: false })).toMatchObject({ code, fallback: true });
    }
  });

  test('a finish without a token is an answer', async () => {
    const { events } = await heardAfter([chat.head(), chat.finish(), chat.done]);
    expect(events.map(({ kind }) => kind)).toEqual(['start', 'finish', 'usage', 'end']);
  });

  test('any packet split gives the same answer', async () => {
    for (const splitEvery of [1, 3, 17]) {
      for (const [, more] of WAYS) {
        mock.script(stream(goodChat('Grüße ', '🌍'), { splitEvery }));
        using upstream = makeUpstream(mock.url);
        const { kind, text, bytes } = await hear(upstream, more);
        expect(kind === 'events' ? text : bytes.toString()).toBe(kind === 'events' ? 'Grüße 🌍' : goodChat('Grüße ', '🌍').join(''));
      }
    }
  });

  test('the whole call has its limit too, however lively the stream is', async () => {
    mock.script(async (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const timer = setInterval(() => response.write(chunk({ content: 'x' })), 10);
      response.on('close', () => clearInterval(timer));
    });
    using upstream = makeUpstream(mock.url, { timeouts: { ...QUICK, requestMs: 800 } });
    expect(await hear(upstream)).toMatchObject({ broken: 'upstream_timeout' });
  });
});

test('the connection to the upstream is closed when the client goes away, before and behind the first content', async () => {
  using upstream = makeUpstream(mock.url);
  for (const [steps, streamed] of [
    [['STALL'], true],
    [[chat.head(), chat.text('one'), 'STALL'], true],
    [['STALL'], false],
  ] as const) {
    const client = new AbortController();
    mock.script(stream(steps));
    const count = mock.requests.length;
    const heard = hear(upstream, { signal: client.signal, stream: streamed }).catch((error: unknown) => error);
    await expect.poll(() => mock.requests.length).toBe(count + 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    client.abort(new Error('gone'));
    await heard;
    await mock.requests.at(-1)!.aborted;
  }
});

test('a connection is kept for the next request', async () => {
  const fresh = await startMockUpstream();
  fresh.script(stream(goodChat('x')));
  using upstream = makeUpstream(fresh.url);
  for (let i = 0; i < 4; i += 1) {
    expect((await hear(upstream, i % 2 === 0 ? {} : PASS)).broken).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(fresh.connections).toBe(1);
  await fresh[Symbol.asyncDispose]();
});
