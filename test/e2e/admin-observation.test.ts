import { expect, test } from 'vitest';
import { createEventFeed } from '../../src/telemetry/event-feed.ts';
import { startObserved } from '../support/observed-http.ts';

const model = 'org/fake';
const user = (content: string) => [{ role: 'user' as const, content }];

test('live requests, queue, limits and usage tell what is there, and a request of anybody can be cancelled', async () => {
  await using server = await startObserved({ tokenMs: 20, parallel: 1 });
  const json = async (path: string) => (await (await server.get(`/admin/v1/${path}`)).json()) as Record<string, unknown>;
  await server.openai.chat.completions.create({ model, messages: user('a b c') });
  const stream = await server.openai.chat.completions.create({ model, messages: user('word '.repeat(300)), stream: true });
  await stream[Symbol.asyncIterator]().next();
  const waiting = server.openai.chat.completions.create({ model, messages: user('x') });
  await expect.poll(async () => (await json('queue'))['waiting']).toMatchObject([{ model, priority: 'interactive', sequences: 1 }]);
  const { requests } = (await json('requests')) as { requests: { id: string; phase: string }[] };
  expect(requests).toMatchObject([
    { route: '/v1/chat/completions', phase: 'answering', stream: true, model, upstream: 'fake', key: 'local' },
    { phase: 'waiting', stream: false, model },
  ]);
  expect(await json('limits')).toMatchObject({ memory: { level: 'normal' }, requests: { running: 1, waiting: 1, streams: 1 } });
  const reply = await server.api.request(new Request(`http://hearth/admin/v1/requests/${requests[0]!.id}`, { method: 'DELETE' }));
  expect(await reply.json()).toEqual({ id: requests[0]!.id, cancelled: true });
  expect((await waiting).choices[0]!.message.content).toBe('echo: x');
  await expect.poll(async () => (await json('requests'))['requests']).toEqual([]);
  expect((await json('usage'))['rows']).toMatchObject([
    { key: 'local', model, upstream: 'fake', requests: 3, failed: 1, completion_tokens: expect.any(Number) },
  ]);
  expect((await json('usage?key=nobody'))['rows']).toEqual([]);
  for (const path of ['requests', 'queue', 'limits', 'events', 'usage', 'captures'])
    expect((await fetch(`${server.baseUrl}/admin/v1/${path}`)).status).toBe(401);
});

test('events come in at most ten frames a second with all that happened, a viewer goes on behind its last event, and the ring is bounded', async () => {
  await using server = await startObserved();
  await server.openai.chat.completions.create({ model, messages: user('hidden words') });
  const abort = new AbortController();
  const response = await server.api.request(new Request('http://hearth/admin/v1/events', { headers: { 'last-event-id': '0' }, signal: abort.signal }));
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!text.includes('request-end')) text += (await reader.read()).value ?? '';
  abort.abort();
  expect(text).toMatch(/^: events\n\nid: \d+\ndata: \{/);
  for (const kind of ['model-load-start', 'model-load-end', 'request-end']) expect(text).toContain(`"kind":"${kind}"`);
  expect(text).not.toContain('hidden words');

  const feed = createEventFeed();
  const stop = new AbortController();
  const frames: { events: readonly { id: number }[]; missed: number }[] = [];
  const viewer = (async () => {
    for await (const frame of feed.read(0, stop.signal)) frames.push(frame);
  })();
  const until = performance.now() + 500;
  let told = 0;
  while (performance.now() < until) {
    for (let index = 0; index < 50; index++) feed.listener({ kind: 'fallback', from: 'a', to: 'b', reason: 'x' });
    told += 50;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await new Promise((resolve) => setTimeout(resolve, 150));
  stop.abort();
  await viewer;
  const seen = frames.reduce((sum, { events, missed }) => sum + events.length + missed, 0);
  expect(seen).toBe(told);
  // Ten a second: of half a second, at most seven with the first one and the rest.
  expect(frames.length).toBeLessThanOrEqual(9);
  const late = new AbortController();
  for await (const { events, missed } of feed.read(0, late.signal)) {
    expect(events.length).toBeLessThanOrEqual(1000);
    expect(events.length + missed).toBe(told);
    late.abort();
  }
});
