import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RoutingOptions } from '../../src/gateway/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
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
} from '../support/mock-upstream.ts';
import { makeUpstream } from '../support/upstream-run.ts';

/** A server between a client and two upstreams that are asked one after the other; what each row of docs/spec/serving.md §6.4 becomes. */
let a: MockUpstream;
let b: MockUpstream;
beforeAll(async () => {
  [a, b] = [await startMockUpstream(), await startMockUpstream()];
});
afterAll(async () => {
  await a[Symbol.asyncDispose]();
  await b[Symbol.asyncDispose]();
});

const TIMES = { connectMs: 10_000, firstTokenMs: 1_500, idleMs: 1_500, requestMs: 60_000 };

async function withServer<T>(use: (server: HttpFixture) => Promise<T>, more: Partial<RoutingOptions> = {}): Promise<T> {
  using first = makeUpstream(a.url, { name: 'a', timeouts: TIMES, maxEventBytes: 10_000 });
  using second = makeUpstream(b.url, { name: 'b', timeouts: TIMES, maxEventBytes: 10_000 });
  const routes = { both: { levels: [['a/m'], ['b/m']], balance: 'weighted' as const, fallback: true } };
  const routing: RoutingOptions = { upstreams: [first, second], routes, probeIntervalMs: null, random: () => 0.01, ...more };
  await using server = await startHttp({}, { gateway: { routing } });
  return await use(server);
}

const post = (server: HttpFixture, model: string, streamed = true, more: RequestInit = {}): Promise<Response> =>
  fetch(`${server.baseUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream: streamed, messages: [{ role: 'user', content: 'hi' }] }),
    ...more,
  });

/** The text of a stream, and how it ended. */
function heard(body: string): { readonly text: string; readonly end: string; readonly finishes: number } {
  const events = body.split('\n\n').filter((event) => event.startsWith('data: '));
  const parsed = events.filter((event) => event !== 'data: [DONE]').map((event) => JSON.parse(event.slice(6)) as Chunk);
  const error = parsed.find((event) => event.error)?.error;
  const choices = parsed.flatMap((event) => event.choices ?? []);
  return {
    text: choices.map(({ delta }) => delta.content ?? '').join(''),
    end: error ? error.code : events.at(-1) === 'data: [DONE]' ? 'done' : 'nothing',
    finishes: choices.filter(({ finish_reason }) => finish_reason).length,
  };
}

interface Chunk {
  readonly error?: { readonly code: string };
  readonly choices?: readonly { readonly delta: { readonly content?: string }; readonly finish_reason: string | null }[];
}

const good = stream(goodChat('from ', 'b'));
const big = chunk({ content: 'x'.repeat(20_000) });
const html = '<html><body>Welcome</body></html>';
/** Fault, its status and code where no target is left, whether another attempt at the same target may happen. */
const BEFORE: readonly (readonly [row: string, answer: MockAnswer, status: number, code: string])[] = [
  ['F1 reset', hangUp, 502, 'upstream_unreachable'],
  ['F3 429', status(429, { error: { message: 'slow' } }, { 'retry-after': '3600' }), 429, 'rate_limit_exceeded'],
  ['F4 500', status(500, { error: { message: 'broken' } }), 500, 'upstream_error'],
  ['F5 503', status(503, { error: { message: 'busy' } }, { 'retry-after': '3600' }), 503, 'upstream_overloaded'],
  ['F6 no first token in time', silent, 504, 'upstream_timeout'],
  ['F7 stall', stream([chat.head(), 'STALL']), 504, 'upstream_timeout'],
  ['F9 truncated', stream([chat.head(), 'CUT']), 502, 'upstream_truncated'],
  ['F9 done without finish', stream([chat.head(), chat.done]), 502, 'upstream_truncated'],
  ['F10 malformed', stream([chat.head(), 'data: {"choices": [\n\n']), 502, 'upstream_malformed'],
  ['F11 empty', stream([]), 502, 'upstream_empty'],
  ['F12 a page', status(200, html), 502, 'upstream_wrong_type'],
  ['F14 an event too large', stream([chat.head(), big]), 502, 'upstream_event_too_large'],
];

describe('[serving V65] a fault before the first content', () => {
  test.each(BEFORE)('[serving V65] %s: the next target answers whole, and with none left the error has its status', async (_, answer, wanted, code) => {
    a.script(answer);
    b.script(good);
    await withServer(async (server) => {
      const response = await post(server, 'both');
      expect(response.status).toBe(200);
      expect(heard(await response.text())).toEqual({ text: 'from b', end: 'done', finishes: 1 });
      expect(response.headers.get('x-hearth-attempts')).toBe(`a=${code},b=ok`);
      expect(response.headers.get('x-hearth-upstream')).toBe('b');
      expect(response.headers.get('x-hearth-model')).toBe('b/m');
    });
    await withServer(
      async (server) => {
        const response = await post(server, 'a/m');
        expect(response.status).toBe(wanted);
        const body = (await response.json()) as { error: { code: string } };
        expect(body.error.code).toBe(code);
        const after = response.headers.get('retry-after');
        if (after === null) expect(response.headers.get('x-should-retry')).toBe('false');
        else expect(Number(after)).toBeGreaterThan(3590);
        expect(response.headers.get('x-hearth-attempts')).toBe(`a=${code}`);
      },
      { maxAttempts: 1 },
    );
  });

  test('[serving V65] F2, [serving V66]: 400, 401, 403, 413 and 422 go out at once, and the upstream with the wrong key is marked', async () => {
    for (const code of [400, 401, 403, 413, 422]) {
      const before = b.requests.length;
      a.script(status(code, { error: { message: `status ${code}` } }));
      await withServer(async (server) => {
        const response = await post(server, 'both');
        expect(response.status).toBe(code);
        expect(await response.text()).toContain(`status ${code}`);
        const [first] = server.gateway.routing.upstreams();
        expect(first!.reason).toEqual(code === 401 || code === 403 ? expect.stringContaining(`status ${code}`) : null);
      });
      expect(b.requests.length).toBe(before);
    }
  });

  test('[serving V65] F6: a slow first token under the limit is waited for, with heartbeats and one call', async () => {
    a.script(stream([chat.head(), 250, ...goodChat('slow').slice(1)]));
    using slow = makeUpstream(a.url, { name: 'a' });
    const routing = { upstreams: [slow], probeIntervalMs: null };
    await using server = await startHttp({}, { gateway: { routing }, api: { heartbeatMs: 50, headerHoldMs: 50 } });
    const before = a.requests.length;
    const body = await (await post(server, 'a/m')).text();
    expect(heard(body)).toMatchObject({ text: 'slow', end: 'done' });
    expect(body.match(/^: /gm)!.length).toBeGreaterThan(1);
    expect(body).toContain(': x-hearth-attempts: a=ok');
    expect(a.requests.length - before).toBe(1);
  });

  test('[serving V65] F8 an error event, F12 JSON in place of a stream, F16 a target that fails as well', async () => {
    b.script(good);
    a.script(stream([data({ error: { message: 'overloaded', type: 'overloaded_error', code: 'overloaded' } })]));
    await withServer(async (server) => expect(heard(await (await post(server, 'both')).text())).toMatchObject({ text: 'from b', end: 'done' }));
    a.script(json(chatReply('in one piece')));
    await withServer(async (server) => expect(heard(await (await post(server, 'both')).text())).toEqual({ text: 'in one piece', end: 'done', finishes: 1 }));
    a.script(hangUp);
    b.script(status(500, { error: { message: 'b is broken' } }));
    await withServer(async (server) => {
      const response = await post(server, 'both');
      // The third attempt goes back to the first of them.
      expect(response.headers.get('x-hearth-attempts')).toMatch(/^a=upstream_unreachable,b=upstream_error,(a|b)=upstream_\w+$/);
      expect([500, 502]).toContain(response.status);
      expect(response.headers.get('x-should-retry')).toBe('false');
    });
  });

  test('[serving V65] JSON answers: a broken one is replaced whole, and one error where none is left', async () => {
    for (const [answer, code] of [
      [json('{"choices": [{"index": 0, "mess'), 'upstream_malformed'],
      [hangUp, 'upstream_unreachable'],
      [status(500, html), 'upstream_error'],
    ] as const) {
      a.script(answer);
      b.script(json(chatReply('from b')));
      await withServer(async (server) => {
        const response = await post(server, 'both', false);
        expect(await response.json()).toMatchObject({ choices: [{ message: { content: 'from b' } }], usage: { total_tokens: 13 } });
        expect(response.headers.get('x-hearth-attempts')).toMatch(
          new RegExp(`^a=${code === 'upstream_malformed' ? 'upstream_(malformed|truncated)' : code},b=ok$`),
        );
      });
    }
  });
});

describe('[serving V65] a fault after the first content', () => {
  const AFTER: readonly (readonly [row: string, steps: readonly Step[], code: string])[] = [
    ['F1 and F9 cut', [chat.head(), chat.text('begun'), 'CUT'], 'upstream_truncated'],
    ['F7 stall', [chat.head(), chat.text('begun'), 'STALL'], 'upstream_timeout'],
    ['F9 [DONE] without finish', [chat.head(), chat.text('begun'), chat.done], 'upstream_truncated'],
    ['F10 malformed', [chat.head(), chat.text('begun'), 'data: {oops\n\n'], 'upstream_malformed'],
    ['F14 an event too large', [chat.head(), chat.text('begun'), big], 'upstream_event_too_large'],
  ];
  test.each(AFTER)('[serving V65] %s: what was sent stays, one error in the stream, no other target, no [DONE]', async (_, steps, code) => {
    a.script(stream(steps));
    b.script(good);
    const before = b.requests.length;
    await withServer(async (server) => {
      const response = await post(server, 'both');
      expect(response.status).toBe(200);
      expect(heard(await response.text())).toEqual({ text: 'begun', end: code, finishes: 0 });
    });
    expect(b.requests.length).toBe(before);
  });

  test('[serving V65] F13: one finish and one [DONE] reach the client, whatever the upstream repeats or leaves out', async () => {
    for (const steps of [
      [chat.head(), chat.text('once'), chat.finish(), chat.finish(), chat.text('more'), chat.usage(), chat.done],
      [chat.head(), chat.text('once'), chat.finish(), chat.usage()],
    ]) {
      a.script(stream(steps));
      await withServer(async (server) => {
        const body = await (await post(server, 'both')).text();
        expect(heard(body)).toEqual({ text: 'once', end: 'done', finishes: 1 });
        expect(body.match(/\[DONE\]/g)).toHaveLength(1);
      });
    }
  });

  test('[serving V65] F17: a client that leaves ends the call to the upstream, and nobody else is asked', async () => {
    const before = b.requests.length;
    a.script(stream([chat.head(), chat.text('begun'), 'STALL']));
    await withServer(async (server) => {
      const gone = new AbortController();
      const response = await post(server, 'both', true, { signal: gone.signal });
      await response.body!.getReader().read();
      const { aborted } = a.requests.at(-1)!;
      gone.abort();
      await aborted;
      await expect.poll(() => server.gateway.routing.upstreams()[0]).toMatchObject({ inFlight: 0, breakers: [{ failuresInRow: 0 }] });
    });
    expect(b.requests.length).toBe(before);
  });
});

describe('Retry-After of an upstream', () => {
  test('[serving V65] F15, [serving V67]: 2 s and a date are waited for when no other target exists, the next target is asked at once where one does', async () => {
    const soon = () => new Date(Math.ceil(Date.now() / 1000) * 1000 + 1000).toUTCString();
    for (const value of ['1', soon()]) {
      a.script(status(429, { error: { message: 'slow' } }, { 'retry-after': value }), stream(goodChat('after ', 'a pause')));
      await withServer(async (server) => {
        const from = a.requests.length;
        const response = await post(server, 'a/m');
        expect(heard(await response.text())).toMatchObject({ text: 'after a pause', end: 'done' });
        expect(response.headers.get('x-hearth-attempts')).toBe('a=rate_limit_exceeded,a=ok');
        expect(a.requests.length - from).toBe(2);
      });
    }
    a.script(status(429, { error: { message: 'slow' } }, { 'retry-after-ms': '60000' }));
    b.script(good);
    await withServer(async (server) => {
      const from = a.requests.length;
      for (let count = 0; count < 3; count += 1) expect(heard(await (await post(server, 'both')).text()).text).toBe('from b');
      // The first request told it; the others did not ask.
      expect(a.requests.length - from).toBe(1);
      const refused = await post(server, 'a/m');
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
    });
  });
});
