import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';

let server: HttpFixture;
beforeAll(async () => {
  server = await startHttp();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** All that comes back for these bytes until the connection closes. */
const exchange = (bytes: string | Buffer): Promise<string> =>
  new Promise((resolve) => {
    let text = '';
    const socket = connect(server.listener.port!, '127.0.0.1', () => socket.write(bytes));
    socket.setEncoding('utf8').on('data', (piece) => {
      text += piece;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });

const host = () => `Host: 127.0.0.1:${server.listener.port}\r\n`;
const ends = () => `${host()}Connection: close\r\n`;
const JSON_TYPE = 'Content-Type: application/json\r\n';
const chat = (more: object = {}): string => JSON.stringify({ model: 'org/fake', messages: [{ role: 'user', content: 'x' }], ...more });
const get = (path: string, headers = ends()): string => `GET ${path} HTTP/1.1\r\n${headers}\r\n`;
const post = (body: string | Buffer, headers = JSON_TYPE, path = '/v1/chat/completions'): Buffer =>
  Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${ends()}${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`), Buffer.from(body)]);
const chunked = (rest: string, coding = 'chunked'): string =>
  `POST /v1/chat/completions HTTP/1.1\r\n${ends()}${JSON_TYPE}Transfer-Encoding: ${coding}\r\n\r\n${rest}`;

/** What was sent, with the status and the code of the answer; null: an answer that is no error. */
const mistakes: readonly (readonly [string, () => string | Buffer, number, string | null])[] = [
  ['GET in place of POST', () => get('/v1/chat/completions'), 405, 'method_not_allowed'],
  ['a method that HTTP has not', () => get('/v1/models').replace('GET', 'BREW'), 400, 'invalid_value'],
  ['TRACE', () => get('/').replace('GET', 'TRACE'), 404, 'route_not_found'],
  ['CONNECT, as to a proxy', () => 'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n', 405, 'method_not_allowed'],
  ['an upgrade', () => get('/v1/realtime', `${host()}Connection: Upgrade\r\nUpgrade: websocket\r\n`), 404, 'route_not_found'],
  ['POST without a body', () => `POST /v1/chat/completions HTTP/1.1\r\n${ends()}${JSON_TYPE}\r\n`, 400, 'invalid_value'],
  ['an empty body', () => post(''), 400, 'invalid_json'],
  ['what curl -d sends', () => post(chat(), 'Content-Type: application/x-www-form-urlencoded\r\n'), 415, 'unsupported_media_type'],
  ['no content type', () => post(chat(), ''), 415, 'unsupported_media_type'],
  ['a gzip body', () => post(gzipSync(chat()), `${JSON_TYPE}Content-Encoding: gzip\r\n`), 200, null],
  ['a plain body that says gzip', () => post(chat(), `${JSON_TYPE}Content-Encoding: gzip\r\n`), 400, 'invalid_json'],
  ['a header of 40 kB', () => get('/v1/models', `${ends()}X-Long: ${'a'.repeat(40_000)}\r\n`), 431, 'headers_too_large'],
  ['a URL of 9 kB', () => get(`/v1/models?${'a'.repeat(9_000)}`), 414, 'url_too_long'],
  ['HTTP/1.0', () => `GET /v1/models HTTP/1.0\r\n${host()}\r\n`, 200, null],
  ['HTTP/1.0 without Host', () => 'GET /v1/models HTTP/1.0\r\n\r\n', 400, 'invalid_value'],
  ['HTTP/2 without having agreed on it', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid_value'],
  ['https to an http port', () => Buffer.from('16030100a5010000a10303', 'hex'), 400, 'invalid_value'],
  ['no HTTP at all', () => 'hello?\r\n\r\n', 400, 'invalid_value'],
  ['lines that end in LF alone', () => `GET /v1/models HTTP/1.1\n${host().trimEnd()}\n\n`, 400, 'invalid_value'],
  ['another host', () => get('/v1/models', 'Host: evil.example\r\nConnection: close\r\n'), 403, 'host_not_allowed'],
  ['two hosts', () => get('/v1/models', `${host()}${ends()}`), 400, 'invalid_value'],
  ['a proxy request for another server', () => get('http://evil.example/v1/models'), 400, 'invalid_value'],
  ['a chunk with no size', () => chunked('ZZ\r\n{}\r\n0\r\n\r\n'), 400, 'invalid_value'],
  ['a chunk that is longer than it says', () => chunked('2\r\n{}{}{}\r\n0\r\n\r\n'), 400, 'invalid_value'],
  ['chunks and a length', () => chunked('0\r\n\r\n', 'chunked\r\nContent-Length: 2'), 400, 'invalid_value'],
  ['a transfer coding beside chunked', () => chunked('2\r\n{}\r\n0\r\n\r\n', 'gzip, chunked'), 400, 'invalid_value'],
  ['two lengths', () => post('{}', `${JSON_TYPE}Content-Length: 3\r\n`), 400, 'invalid_value'],
  ['an expectation that nobody can meet', () => post(chat(), `${JSON_TYPE}Expect: the-moon\r\n`), 417, 'expectation_failed'],
  ['the same of another API', () => post(chat(), `${JSON_TYPE}Expect: the-moon\r\n`, '/v1/messages'), 417, 'expectation_failed'],
  [
    'the same with another host',
    () => post(chat(), `${JSON_TYPE}Expect: the-moon\r\n`).toString().replace('127.0.0.1', 'evil.example'),
    403,
    'host_not_allowed',
  ],
  ['NaN', () => post('{"model":"org/fake","temperature":NaN,"messages":[]}'), 400, 'invalid_json'],
  ['a number too large', () => post(chat().replace('{', '{"temperature":1e999,')), 400, 'invalid_value'],
  ['a key twice', () => post(chat().replace('{', '{"model":"x",')), 400, 'invalid_json'],
  ['100,000 levels', () => post('{"a":'.repeat(100_000) + 1 + '}'.repeat(100_000)), 400, 'invalid_json'],
  ['a comma too many', () => post('{"model":"org/fake",}'), 400, 'invalid_json'],
  ['single quotes', () => post("{'model':'org/fake'}"), 400, 'invalid_json'],
  ['an array', () => post('[]'), 400, 'invalid_json'],
  ['UTF-16', () => post(Buffer.from(chat(), 'utf16le')), 400, 'invalid_json'],
  ['bytes that are no UTF-8', () => post(Buffer.from('7b22fffe223a317d', 'hex')), 400, 'invalid_json'],
  ['a field that nobody knows', () => post(chat({ frobnicate: 1 })), 200, null],
  ['no messages', () => post('{"model":"org/fake"}'), 400, 'invalid_value'],
  ['a number as text', () => post(chat({ max_tokens: '4' })), 400, 'invalid_value'],
  ['a model that is a path', () => post(chat({ model: '/etc/passwd' })), 404, 'model_not_found'],
  ['a step up', () => get('/v1/../admin/v1/status'), 400, 'invalid_value'],
  ['an operator’s route without a key', () => get('/admin/v1/status'), 401, 'invalid_api_key'],
];

test.for(mistakes)('%s is answered once, clearly, and the next request is served', async ([, bytes, status, code]) => {
  const text = await exchange(bytes());
  expect(text).toMatch(/^HTTP\/1\.1 \d{3} /);
  expect(text.match(/HTTP\/1\.1 \d{3} /g)).toHaveLength(1);
  const [head = '', ...rest] = text.split('\r\n\r\n');
  expect([Number(head.slice(9, 12)), head]).toEqual([status, head]);
  if (code !== null) {
    const body = rest.join('\r\n\r\n');
    const told = JSON.parse(body.slice(body.indexOf('{'), body.lastIndexOf('}') + 1)) as { error: Record<string, unknown>; request_id: string };
    expect(told.error['code'] ?? (told.error['details'] as Record<string, unknown>)['error_code']).toBe(code);
    expect((told.error['message'] as string).length).toBeGreaterThan(15);
    expect(told.request_id).toMatch(/^req_/);
    expect(head.toLowerCase()).toContain(`x-request-id: ${told.request_id}`);
  }
  expect((await fetch(`${server.baseUrl}/health`)).status).toBe(200);
});

test.for([
  ['/chat/completions', '/v1/chat/completions'],
  ['/v1/v1/chat/completions', '/v1/chat/completions'],
  ['//v1/chat/completions', '/v1/chat/completions'],
  ['/v1/models/', '/v1/models'],
  ['/v1/health', '/health'],
])('%s is told where it is: %s', async ([sent, meant]) => {
  expect(await exchange(get(sent!))).toContain(` ${meant}:`);
});

test('several requests at once are answered in their order', async () => {
  const text = await exchange(get('/health', host()) + get('/nothing', host()) + post(chat(), JSON_TYPE).toString());
  expect([...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status)).toEqual(['200', '404', '200']);
});

test('who waits for 100 Continue gets it when the body is wanted, and an answer without it where it is not', async () => {
  const waiting = (path: string, length: number, host = ends()) =>
    `POST ${path} HTTP/1.1\r\n${host}${JSON_TYPE}Expect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;
  const asked = await exchange(waiting('/v1/chat/completions', chat().length) + chat());
  expect([...asked.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status)).toEqual(['100', '200']);
  const kept = host();
  for (const [head, status] of [
    [waiting('/v1/nothing', 100, kept), 404],
    [waiting('/v1/chat/completions', 99_999_999, kept), 413],
    [waiting('/v1/chat/completions', 10, 'Host: evil.example\r\n'), 403],
  ] as const) {
    const text = await exchange(head);
    expect([text.slice(9, 12), text.match(/HTTP\/1\.1/g)?.length]).toEqual([String(status), 1]);
    expect(text.toLowerCase()).toContain('connection: close');
  }
});
