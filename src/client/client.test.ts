import { describe, expect, test } from 'vitest';
import { endpoints } from '../contract/index.ts';
import { createClient } from './client.ts';
import { ClientError } from './client-error.ts';
import { readServerSentEvents } from './sse-reader.ts';

const chunk = (content: string) => ({
  id: 'x',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta: { content }, finish_reason: null, logprobs: null }],
});

/** A client over a server that answers with this. */
const clientOf = (answer: (request: Request) => Response | Promise<Response>) =>
  createClient({ baseUrl: 'http://127.0.0.1:9', fetch: async (request) => answer(request) });

const stream = (text: string) => new Response(text, { headers: { 'content-type': 'text/event-stream; charset=utf-8' } });
const ask = { body: { model: 'm', messages: [{ role: 'user' as const, content: 'x' }], stream: true } };

const failureOf = async (work: () => Promise<unknown>): Promise<ClientError> => {
  const error = await work().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ClientError);
  return error as ClientError;
};

const drain = async (client: ReturnType<typeof clientOf>): Promise<string> => {
  let text = '';
  for await (const event of client.stream(endpoints.chatCompletions, ask)) text += event.choices[0]?.delta.content ?? '';
  return text;
};

describe('the client', () => {
  test('fills path and query, and sends a body only where there is one', async () => {
    const seen: string[] = [];
    const client = clientOf(async (request) => {
      seen.push(`${request.method} ${request.url} ${await request.text()} ${request.headers.get('content-type')}`);
      return Response.json({ model: 'm', download_status: 'success', message: 'x', action: 'deleted' });
    });
    await client.call(endpoints.storeRemove, { params: { ref: 'org/name@main' }, query: { force: 'true' } });
    await client.call(endpoints.unloadModel, { body: { model: 'm' } }).catch(() => {});
    expect(seen).toEqual([
      'DELETE http://127.0.0.1:9/admin/v1/store/org%2Fname%40main?force=true  null',
      'POST http://127.0.0.1:9/admin/v1/models/unload {"model":"m"} application/json',
    ]);
  });

  test('an error answer becomes an error with code, hint, exit code and details', async () => {
    const body = {
      error: { message: 'several', type: 'invalid_request_error', param: 'model', code: 'ambiguous_match', retryable: false, details: { matches: ['a', 'b'] } },
      request_id: 'req_1',
    };
    const client = clientOf(() => Response.json(body, { status: 400 }));
    const error = await failureOf(() => client.call(endpoints.listModels, {}));
    expect(error).toMatchObject({
      code: 'ambiguous_match',
      message: 'several',
      status: 400,
      exitCode: 1,
      param: 'model',
      requestId: 'req_1',
      retryable: false,
      details: { matches: ['a', 'b'] },
    });
    expect(error.hint).not.toBe('');
  });

  test('answers of another server, wrong shapes and no answer at all are errors too', async () => {
    expect((await failureOf(() => clientOf(() => new Response('<html>', { status: 502 })).call(endpoints.health, {}))).status).toBe(502);
    expect((await failureOf(() => clientOf(() => Response.json({ status: 7 })).call(endpoints.health, {}))).code).toBe('internal_error');
    expect((await failureOf(() => clientOf(() => new Response('{"sta')).call(endpoints.health, {}))).code).toBe('internal_error');
    const refused = clientOf(() => Promise.reject(new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED 127.0.0.1:9') })));
    const error = await failureOf(() => refused.call(endpoints.health, {}));
    expect(error).toMatchObject({ code: 'server_unreachable', retryable: true });
    expect(error.message).toContain('ECONNREFUSED');
  });

  test('a stream ends at [DONE]; an error inside it, or an end without [DONE], is thrown after what came before', async () => {
    expect(
      await drain(clientOf(() => stream(`: hold\n\ndata: ${JSON.stringify(chunk('a'))}\n\ndata: ${JSON.stringify(chunk('b'))}\n\ndata: [DONE]\n\n`))),
    ).toBe('ab');
    const told = { error: { message: 'it crashed', type: 'server_error', param: null, code: 'engine_crashed', retryable: true }, request_id: 'req_2' };
    const broken = clientOf(() => stream(`data: ${JSON.stringify(chunk('a'))}\n\ndata: ${JSON.stringify(told)}\n\n`));
    expect(await failureOf(() => drain(broken))).toMatchObject({ code: 'engine_crashed', message: 'it crashed', requestId: 'req_2' });
    expect((await failureOf(() => drain(clientOf(() => stream(`data: ${JSON.stringify(chunk('a'))}\n\n`))))).code).toBe('engine_crashed');
    expect((await failureOf(() => drain(clientOf(() => stream('data: {"half\n\n'))))).code).toBe('internal_error');
    expect((await failureOf(() => drain(clientOf(() => Response.json({}))))).code).toBe('internal_error');
  });

  test('an abort is told as cancelled', async () => {
    const abort = new AbortController();
    const client = clientOf((request) => new Promise((_, reject) => request.signal.addEventListener('abort', () => reject(request.signal.reason))));
    const call = failureOf(() => client.call(endpoints.health, {}, { signal: abort.signal }));
    abort.abort();
    expect((await call).code).toBe('cancelled');
  });
});

async function collect(body: ReadableStream<Uint8Array>, maxEventChars?: number): Promise<string[]> {
  const events: string[] = [];
  for await (const event of readServerSentEvents(body, maxEventChars)) events.push(event);
  return events;
}

describe('the event stream reader', () => {
  test('gives the same events however the bytes are split, with LF, CRLF and CR', async () => {
    const text = '\uFEFFdata: one\n\n: comment\nevent: x\ndata:two\ndata: lines 😀\n\nid: 5\ndata: last\n\n';
    for (const ending of ['\n', '\r\n', '\r']) {
      const bytes = new TextEncoder().encode(text.replaceAll('\n', ending));
      for (let size = 1; size <= bytes.length; size += 1) {
        const pieces: Uint8Array[] = [];
        for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
        const events = await collect(ReadableStream.from(pieces));
        expect(events).toEqual(['one', 'two\nlines 😀', 'last']);
      }
    }
  });

  test('an event without end is refused before it fills the memory', async () => {
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode(`data: ${'x'.repeat(1000)}\n`)),
    });
    await expect(collect(endless, 10_000)).rejects.toThrow(RangeError);
  });
});
