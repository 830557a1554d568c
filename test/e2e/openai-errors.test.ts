import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EndpointDefinition, ERRORS, type ErrorCode, endpoints, errorReply } from '../../src/contract/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';

const CHAT = '/v1/chat/completions';
const good = { model: 'org/fake', messages: [{ role: 'user', content: 'hi' }] };

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

let server: HttpFixture;
beforeAll(async () => {
  server = await startHttp();
});
afterAll(() => server[Symbol.asyncDispose]());

/** Plain node:http, because fetch does not let us set Host, Origin and others. */
function send(method: string, path: string, headers: Record<string, string>, body?: string | Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ host: '127.0.0.1', port: server.listener.port, method, path, headers, agent: false }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text === '' ? null : JSON.parse(text) });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

const post = (body: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> =>
  send('POST', CHAT, { 'content-type': 'application/json', ...headers }, body);

/** What comes back for these bytes until the server ends the connection. */
const raw = (text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(server.listener.port!, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('end', () => resolve(answer));
    socket.on('error', (error) => (answer === '' ? reject(error) : resolve(answer)));
  });

/** The whole shape of docs/spec/serving.md §2.2, with the status of the error table. */
function expectError(answer: Answer, code: ErrorCode, param?: string): void {
  const { error, request_id } = errorReply.parse(answer.body);
  expect({ code: error.code, status: answer.status }).toEqual({ code, status: ERRORS[code].status });
  if (param !== undefined) expect(error.param).toBe(param);
  expect(request_id).toMatch(/^req_[0-9a-f]{8}-[0-9a-f]{4}-7/);
  expect(answer.headers['x-request-id']).toBe(request_id);
  expect(answer.headers['content-type']).toBe('application/json');
  expect(answer.headers['x-content-type-options']).toBe('nosniff');
}

describe('bodies', () => {
  test('[serving V14] invalid JSON, other types than an object, wrong field types and empty messages are 400 in the OpenAI shape', async () => {
    for (const body of ['', '{', '{"model":', 'nonsense', '"text"', '[]', '[1]', 'null', '42', '{"a":1}}', '{"model":"org/fake",}', '{"n": NaN}']) {
      expectError(await post(body), 'invalid_json');
    }
    const wrong: [object, string][] = [
      [{ messages: good.messages }, 'model'],
      [{ model: 'org/fake' }, 'messages'],
      [{ ...good, messages: [] }, 'messages'],
      [{ ...good, messages: 'hi' }, 'messages'],
      [{ ...good, messages: [{ role: 'king', content: 'hi' }] }, 'messages.0.role'],
      [{ ...good, messages: [{ role: 'user', content: 7 }] }, 'messages.0.content'],
      [{ ...good, messages: [{ role: 'user' }] }, 'messages.0.content'],
      [{ ...good, messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 'messages.0.content.0.text'],
      [{ ...good, model: 5 }, 'model'],
      [{ ...good, model: '' }, 'model'],
      [{ ...good, stream: 'yes' }, 'stream'],
      [{ ...good, max_tokens: '5' }, 'max_tokens'],
      [{ ...good, max_tokens: 0 }, 'max_tokens'],
      [{ ...good, max_tokens: -1 }, 'max_tokens'],
      [{ ...good, max_tokens: 1.5 }, 'max_tokens'],
      [{ ...good, max_completion_tokens: 2 ** 53 }, 'max_completion_tokens'],
      [{ ...good, temperature: 2.1 }, 'temperature'],
      [{ ...good, temperature: '0' }, 'temperature'],
      [{ ...good, top_p: 0 }, 'top_p'],
      [{ ...good, top_k: -1 }, 'top_k'],
      [{ ...good, min_p: 2 }, 'min_p'],
      [{ ...good, presence_penalty: -3 }, 'presence_penalty'],
      [{ ...good, frequency_penalty: 3 }, 'frequency_penalty'],
      [{ ...good, repetition_penalty: 0 }, 'repetition_penalty'],
      [{ ...good, n: 0 }, 'n'],
      [{ ...good, seed: 0.5 }, 'seed'],
      [{ ...good, stop: 5 }, 'stop'],
      [{ ...good, stop: Array(17).fill('x') }, 'stop'],
      [{ ...good, stop: ['x'.repeat(257)] }, 'stop.0'],
      [{ ...good, logit_bias: { x: 1 } }, 'logit_bias'],
      [{ ...good, messages: Array(1025).fill(good.messages[0]) }, 'messages'],
      [{ ...good, stream_options: { include_usage: 1 } }, 'stream_options.include_usage'],
    ];
    for (const [body, param] of wrong) expectError(await post(JSON.stringify(body)), 'invalid_value', param);
    expectError(await post('{"model":"org/fake","messages":[{"role":"user","content":"x"}],"temperature":1e400}'), 'invalid_value', 'temperature');
  });

  test('[security G30] JSON traps are 400: depth, keys, duplicate keys, prototype keys, half surrogates, bytes that are not UTF-8', async () => {
    const traps: (string | Buffer)[] = [
      `{"a":${'{"a":'.repeat(99_999)}1${'}'.repeat(99_999)}}`,
      `[${'{"a":1},'.repeat(999_999)}{"a":1}]`,
      `${'['.repeat(65)}${']'.repeat(65)}`,
      `{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
      JSON.stringify(Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [`k${index}`, 1]))),
      '{"model":"a","model":"b"}',
      '{"mod\\u0065l":"a","model":"b"}',
      '{"__proto__":{"x":1}}',
      '{"x":{"constructor":{"prototype":{"y":1}}}}',
      '{"model":"\\ud800"}',
      Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    ];
    const before = Reflect.ownKeys(Object.prototype);
    for (const trap of traps) expectError(await post(trap), 'invalid_json');
    expect(Reflect.ownKeys(Object.prototype)).toEqual(before);
  });

  test('only JSON is taken, whole or compressed once, up to the limit of its decompressed size', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      expectError(await post(JSON.stringify(good), { 'content-type': type }), 'unsupported_media_type');
    }
    expectError(await send('POST', CHAT, {}, JSON.stringify(good)), 'unsupported_media_type');
    expectError(await post(JSON.stringify(good), { 'content-encoding': 'gzip, gzip' }), 'unsupported_media_type');
    const text = Buffer.from(JSON.stringify(good));
    expect((await post(gzipSync(text), { 'content-encoding': 'gzip' })).status).toBe(200);
    expect((await post(zstdCompressSync(text), { 'content-encoding': 'zstd' })).status).toBe(200);
    expectError(await post(text, { 'content-encoding': 'gzip' }), 'invalid_json');

    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, ' '));
    expect(bomb.byteLength).toBeLessThan(100_000);
    expectError(await post(bomb, { 'content-encoding': 'gzip' }), 'request_too_large');
    expectError(await post(Buffer.alloc(9 * 1024 * 1024, ' ')), 'request_too_large');
  });
});

describe('routes', () => {
  test('[store K105] unknown routes and methods are 404 and 405 in the same shape', async () => {
    for (const path of ['/', '/v1', '/v1/nothing', '/v2/chat/completions', '/v1/chat/completions/', '/.git/config']) {
      expectError(await send('GET', path, {}), 'route_not_found');
    }
    const answer = await send('GET', CHAT, {});
    expectError(answer, 'method_not_allowed');
    expect(answer.headers['allow']).toBe('POST');
    expectError(await send('PUT', '/v1/models', {}), 'method_not_allowed');
    expectError(await send('GET', `/v1/models?${'x'.repeat(9000)}`, {}), 'url_too_long');
    expectError(await send('GET', '/v1/models', { 'x-long': 'x'.repeat(17 * 1024) }), 'headers_too_large');
  });

  test('on loopback inference and health are open, and every other route needs a key, unknown ones too', async () => {
    expect((await send('GET', '/v1/models', {})).status).toBe(200);
    expect((await send('GET', '/health', {})).body).toEqual({ status: 'ok' });
    const guarded: [string, string][] = [
      ['GET', '/admin/v1/version'],
      ['GET', '/admin/v1/status'],
      ['GET', '/admin/v1/models'],
      ['POST', '/admin/v1/models/load'],
      ['POST', '/admin/v1/models/unload'],
      ['GET', '/admin/v1/store'],
      ['GET', '/admin/v1/store/org%2Ffake'],
      ['DELETE', '/admin/v1/store/org%2Ffake'],
      ['POST', '/admin/v1/store/pull'],
      ['GET', '/admin/v1/nothing'],
      ['POST', '/train/v1/jobs'],
    ];
    for (const [method, path] of guarded)
      expectError(await send(method, path, { 'content-type': 'application/json' }, method === 'POST' ? '{}' : undefined), 'invalid_api_key');
    // SDKs send some key; only one that is shaped like ours is checked, and there is none yet.
    expect((await send('GET', '/v1/models', { authorization: 'Bearer sk-anything' })).status).toBe(200);
    expectError(await send('GET', '/v1/models', { authorization: `Bearer hth_${'a'.repeat(12)}_${'b'.repeat(43)}` }), 'invalid_api_key');
    expectError(await send('GET', '/v1/models', { 'x-api-key': 'hth_no' }), 'invalid_api_key');
  });

  test('own routes refuse unknown fields and tell them', async () => {
    const response = await server.api.request(
      new Request('http://hearth/admin/v1/models/load', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'org/fake', contextTokns: 1 }),
      }),
    );
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'invalid_value', param: 'contextTokns' } });
  });
});

describe('Host and Origin', () => {
  test('[security G40] [serving V77] on every route another name is 403, and no, two or malformed names are 400', async () => {
    const { port } = server.listener;
    const declared = (Object.values(endpoints) as EndpointDefinition[]).flatMap(({ method, path, aliases = [] }) =>
      [path, ...aliases].map((each) => ({ method, route: each.replaceAll(/\{\w+\+?\}/g, 'nothing') })),
    );
    expect(declared.length).toBeGreaterThan(90);
    for (const { method, route } of [...declared, { method: 'GET', route: '/nothing' }]) {
      for (const host of [
        `evil.example:${port}`,
        `localhost.:${port}`,
        `10.0.0.1:${port}`,
        `192.168.1.2:${port}`,
        'localhost',
        `localhost:${port}1`,
        `localhost:+${port}`,
      ]) {
        const refused = [await send(method, route, { host }), await send('GET', route, { host, connection: 'upgrade', upgrade: 'websocket' })];
        for (const answer of refused) {
          if (!route.startsWith('/v1/messages')) expectError(answer, 'host_not_allowed');
          else expect([answer.status, JSON.stringify(answer.body)]).toEqual([403, expect.stringContaining('host_not_allowed')]);
        }
      }
      for (const lines of ['', `Host: 127.0.0.1:${port}\r\nHost: 127.0.0.1:${port}\r\n`, 'Host: a b\r\n', 'Host: \r\n', `Host: x@127.0.0.1:${port}\r\n`]) {
        expect(await raw(`${method} ${route} HTTP/1.1\r\n${lines}\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
      }
      expect(await raw(`${method} http://evil.example${route} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
    }
    // The right name, but there are no WebSockets.
    expectError(await send('GET', '/v1/models', { connection: 'upgrade', upgrade: 'websocket' }), 'route_not_found');
  });

  test('a request for another name, or from a page of another site, is 403', async () => {
    const { port } = server.listener;
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`, `[::1]:${port}`]) {
      expect((await send('GET', '/health', { host })).status).toBe(200);
    }
    for (const host of [
      `evil.example:${port}`,
      `localhost.:${port}`,
      `10.0.0.1:${port}`,
      'localhost',
      'localhost:',
      `localhost:0${port}`,
      `localhost:${port! + 1}`,
    ]) {
      expectError(await send('GET', '/health', { host }), 'host_not_allowed');
    }
    for (const origin of ['https://evil.example', 'null', `http://localhost:${port! + 1}`, `https://localhost:${port}`]) {
      expectError(await send('POST', CHAT, { origin, 'content-type': 'application/json' }, JSON.stringify(good)), 'origin_not_allowed');
      expectError(await send('OPTIONS', CHAT, { origin, 'access-control-request-method': 'POST' }), 'origin_not_allowed');
    }
    for (const site of ['cross-site', 'same-site']) expectError(await send('GET', '/health', { 'sec-fetch-site': site }), 'origin_not_allowed');
    const own = await send('GET', '/health', { origin: `http://localhost:${port}` });
    expect(own.headers['access-control-allow-origin']).toBe(`http://localhost:${port}`);
    expect((await send('OPTIONS', CHAT, { origin: `http://localhost:${port}` })).headers['access-control-allow-origin']).toBe(`http://localhost:${port}`);
  });

  test('[security G28] a body over the limit is 413 unread, and what is not one clear HTTP request is 400 and the end of the connection', async () => {
    const port = server.listener.port!;
    const unread = `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n`;
    const refused = /^HTTP\/1\.1 413 .*\r\nconnection: close\r\n.*request_too_large/s;
    expect(await raw(unread)).toMatch(refused);
    const host = `Host: 127.0.0.1:${port}\r\n`;
    // In chunks nobody says how much will come: the answer is there before the end is, and the rest is not read.
    const piece = `100000\r\n${' '.repeat(0x100000)}\r\n`;
    const chunked = `POST ${CHAT} HTTP/1.1\r\n${host}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`;
    expect(await raw(chunked + piece.repeat(9))).toMatch(refused);
    const requests = [
      'GET /health HTTP/1.1\r\n\r\n',
      `GET /health HTTP/1.1\r\n${host}Host: evil\r\n\r\n`,
      'GET /health HTTP/1.1\r\nHost: a b\r\n\r\n',
      `GET http://evil.example/health HTTP/1.1\r\n${host}\r\n`,
      `POST ${CHAT} HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
      `POST ${CHAT} HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: -1\r\n\r\n{}`,
      `POST ${CHAT} HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      `POST ${CHAT} HTTP/1.1\r\n${host}Content-Type: application/json\r\n\r\n`,
      `POST ${CHAT} HTTP/1.1\r\n${host}Content-Type: application/json\r\nTransfer-Encoding: gzip\r\n\r\n`,
      `${chunked}zz\r\n`,
      `${chunked}2;${'x'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`,
      'nonsense\r\n\r\n',
    ];
    for (const request of requests) {
      const answer = await raw(request);
      expect([request.slice(0, 200), answer.slice(0, 13)]).toEqual([request.slice(0, 200), 'HTTP/1.1 400 ']);
      expect(errorReply.parse(JSON.parse(answer.slice(answer.indexOf('{')))).error.type).toBe('invalid_request_error');
    }
  });
});
