import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import Anthropic, { type APIError } from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { anthropicErrorReply, anthropicErrorType, anthropicStatus, type ErrorCode } from '../../src/contract/index.ts';
import { fakeModels, type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { startToolServer, type ToolServer } from '../support/tool-server.ts';

const MESSAGES = '/v1/messages';
const good = { model: 'org/fake', max_tokens: 20, messages: [{ role: 'user', content: 'hi' }] };
const VERSION = { 'anthropic-version': '2023-06-01' };

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

let server: HttpFixture;
let tooled: ToolServer;
beforeAll(async () => {
  server = await startHttp();
  tooled = await startToolServer();
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await tooled?.[Symbol.asyncDispose]();
});

function send(method: string, path: string, headers: Record<string, string>, body?: string | Buffer, to = server): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({ host: '127.0.0.1', port: to.listener.port, method, path, headers, agent: false }, (incoming) => {
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

const post = (body: unknown, path = MESSAGES, to = server): Promise<Answer> =>
  send('POST', path, { 'content-type': 'application/json' }, typeof body === 'string' ? body : JSON.stringify(body), to);

/** The whole shape of docs/spec/serving.md §2.2. */
function expectError(answer: Answer, code: ErrorCode, param?: string): void {
  const { error, request_id } = anthropicErrorReply.parse(answer.body);
  expect({ code: error.details?.error_code, status: answer.status, type: error.type }).toEqual({
    code,
    status: anthropicStatus(code),
    type: anthropicErrorType(code),
  });
  if (param !== undefined) expect(error.details?.['param']).toBe(param);
  expect(Object.keys(answer.body as object).sort()).toEqual(['error', 'request_id', 'type']);
  expect(error.message.length).toBeGreaterThan(10);
  expect(request_id).toMatch(/^req_[0-9a-f]{8}-[0-9a-f]{4}-7/);
  expect(answer.headers['request-id']).toBe(request_id);
  expect(answer.headers['x-request-id']).toBe(request_id);
  expect(answer.headers['content-type']).toBe('application/json');
}

describe('mistakes', () => {
  test('[serving V14] invalid JSON, other types than an object, wrong field types and empty messages are 400 in the Anthropic shape, never 500', async () => {
    for (const path of [MESSAGES, `${MESSAGES}/count_tokens`]) {
      for (const body of ['', '{', '[]', '[1]', 'null', '42', '"text"', '{"model":"a","model":"b"}', '{"max_tokens": NaN}', '{"x":"\\ud800"}'])
        expectError(await post(body, path), 'invalid_json');
    }
    const turn = (content: unknown, role = 'user') => ({ ...good, messages: [{ role, content }] });
    const result = (more: object) => turn([{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'x', ...more }]);
    const wrong: [object, string][] = [
      [{ ...good, model: undefined }, 'model'],
      [{ ...good, model: 5 }, 'model'],
      [{ ...good, model: '' }, 'model'],
      [{ ...good, max_tokens: undefined }, 'max_tokens'],
      [{ ...good, max_tokens: 0 }, 'max_tokens'],
      [{ ...good, max_tokens: '5' }, 'max_tokens'],
      [{ ...good, max_tokens: 1.5 }, 'max_tokens'],
      [{ ...good, max_tokens: 2 ** 53 }, 'max_tokens'],
      [{ ...good, messages: undefined }, 'messages'],
      [{ ...good, messages: [] }, 'messages'],
      [{ ...good, messages: 'hi' }, 'messages'],
      [{ ...good, messages: Array(1025).fill(good.messages[0]) }, 'messages'],
      [{ ...good, messages: [{ role: 'system', content: 'Be kind.' }] }, 'messages'],
      [turn('hi', 'king'), 'messages.0.role'],
      [turn('hi', 'tool'), 'messages.0.role'],
      [{ ...good, messages: [{ role: 'user' }] }, 'messages.0.content'],
      [turn(7), 'messages.0.content'],
      [turn(null), 'messages.0.content'],
      [turn([]), 'messages.0.content'],
      [turn(['hi']), 'messages.0.content.0'],
      [turn([{ text: 'hi' }]), 'messages.0.content.0.type'],
      [turn([{ type: 'text' }]), 'messages.0.content.0.text'],
      [turn([{ type: 'poem', text: 'hi' }]), 'messages.0.content.0.type'],
      [
        turn([
          { type: 'text', text: 'x' },
          { type: 'tool_result', content: 'x' },
        ]),
        'messages.0.content.1.tool_use_id',
      ],
      [result({}), 'messages.0.content.0.tool_use_id'],
      [turn([{ type: 'document' }]), 'messages.0.content.0.source'],
      [{ ...good, system: 5 }, 'system'],
      [{ ...good, system: [{ type: 'image' }] }, 'system.0.type'],
      [{ ...good, stream: 'yes' }, 'stream'],
      [{ ...good, temperature: 1.5 }, 'temperature'],
      [{ ...good, temperature: '0' }, 'temperature'],
      [{ ...good, top_p: 0 }, 'top_p'],
      [{ ...good, top_k: -1 }, 'top_k'],
      [{ ...good, stop_sequences: 'x' }, 'stop_sequences'],
      [{ ...good, stop_sequences: ['a', ''] }, 'stop_sequences.1'],
      [{ ...good, stop_sequences: Array(17).fill('x') }, 'stop_sequences'],
      [{ ...good, metadata: { user_id: 5 } }, 'metadata.user_id'],
      [{ ...good, thinking: true }, 'thinking'],
      [{ ...good, thinking: { type: 'deep' } }, 'thinking.type'],
      [{ ...good, thinking: { type: 'enabled' } }, 'thinking.budget_tokens'],
      [{ ...good, thinking: { type: 'enabled', budget_tokens: -1 } }, 'thinking.budget_tokens'],
      [{ ...good, output_config: { effort: 'huge' } }, 'output_config.effort'],
      [{ ...good, output_config: { format: { type: 'yaml' } } }, 'output_config.format.type'],
      [{ ...good, output_config: { format: { type: 'json_schema' } } }, 'output_config.format.schema'],
      [{ ...good, tools: 'look' }, 'tools'],
      [{ ...good, tools: [{ input_schema: {} }] }, 'tools.0.name'],
      [{ ...good, tools: [{ name: 'look' }] }, 'tools.0.input_schema'],
      [{ ...good, tool_choice: 'auto' }, 'tool_choice'],
      [{ ...good, tool_choice: { type: 'tool' } }, 'tool_choice.name'],
      [{ ...good, tool_choice: { type: 'any' } }, 'tool_choice'],
    ];
    for (const [body, param] of wrong) expectError(await post(body), 'invalid_value', param);
    expectError(await post({ ...good, tools: [{ name: 'look', input_schema: {} }] }), 'unsupported_parameter', 'tools');
    expectError(await post({ ...good, output_config: { format: { type: 'json_schema', schema: {} } } }), 'unsupported_parameter', 'output_config.format');
  });

  test('what a model that takes tools cannot honour is 400 naming the field, before anything is loaded', async () => {
    const ask = (more: object) => post({ ...good, model: tooled.model, ...more }, MESSAGES, tooled.server);
    const schema = { type: 'object', properties: {} };
    expectError(await ask({ tools: [{ name: 'a b', input_schema: schema }] }), 'invalid_value', 'tools.0.name');
    expectError(await ask({ tools: ['x', 'x'].map((name) => ({ name, input_schema: schema })) }), 'invalid_value', 'tools');
    expectError(await ask({ tools: [{ name: 'x', input_schema: schema }], tool_choice: { type: 'tool', name: 'y' } }), 'invalid_value', 'tool_choice');
    expectError(await ask({ tools: [{ name: 'x', strict: true, input_schema: { not: {} } }] }), 'invalid_json_schema', 'tools');
    expectError(
      await ask({ output_config: { format: { type: 'json_schema', schema: { uniqueItems: true } } } }),
      'invalid_json_schema',
      'output_config.format',
    );
    const call = { type: 'tool_use', id: 'toolu_1', name: 'x', input: {} };
    const history = (block: object) => ({ messages: [...good.messages, { role: 'assistant', content: [block] }] });
    expectError(await ask(history({ ...call, id: undefined })), 'invalid_value', 'messages.1.content.0.id');
    expectError(await ask(history({ ...call, name: '' })), 'invalid_value', 'messages.1.content.0.name');
    expectError(await ask(history({ ...call, input: '{}' })), 'invalid_value', 'messages.1.content.0.input');
    expectError(await ask(history({ type: 'thinking' })), 'invalid_value', 'messages.1.content.0.thinking');
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } };
    const shown = (block: object) => ({ messages: [{ role: 'user', content: [{ type: 'text', text: 'see' }, block] }] });
    expectError(await ask(shown(image)), 'capability_mismatch', 'messages.0.content.1');
    const pdf = { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' } };
    expectError(await ask(shown(pdf)), 'capability_mismatch', 'messages.0.content.1');
    expect(tooled.server.starts()).toBe(0);
  });

  test('tools that only servers of that API run are left out and named in a header; forcing one is 400', async () => {
    const search = { type: 'web_search_20250305', name: 'web_search' };
    const look = { name: 'look', input_schema: { type: 'object', properties: {} } };
    for (const stream of [false, true]) {
      const answer = await fetch(`${tooled.server.baseUrl}${MESSAGES}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...good, model: tooled.model, stream, tools: [search, look, { type: 'bash_20250124', name: 'bash' }] }),
      });
      expect(answer.status).toBe(200);
      expect(answer.headers.get('x-hearth-dropped')).toBe('tools.web_search_20250305,tools.bash_20250124');
      await answer.text();
    }
    const forced = await post(
      { ...good, model: tooled.model, tools: [search, look], tool_choice: { type: 'tool', name: 'web_search' } },
      MESSAGES,
      tooled.server,
    );
    expectError(forced, 'invalid_value', 'tool_choice');
  });
});

describe('[serving V34] errors on /v1/messages have the Anthropic shape', () => {
  test('for keys, origins, routes, methods, types, sizes and names', async () => {
    const json = { 'content-type': 'application/json' };
    const body = JSON.stringify(good);
    for (const key of [{ authorization: 'Bearer hth_wrong' }, { 'x-api-key': 'hth_wrong' }]) {
      expectError(await send('POST', MESSAGES, { ...json, ...key }, body), 'invalid_api_key');
      expectError(await send('GET', '/v1/models', { ...VERSION, ...key }), 'invalid_api_key');
    }
    await using locked = await startHttp({}, { listen: { access: { requireKey: true } } });
    expectError(await send('POST', MESSAGES, json, body, locked), 'invalid_api_key');
    expectError(await send('POST', MESSAGES, { ...json, host: 'evil.example' }, body), 'host_not_allowed');
    expectError(await send('POST', MESSAGES, { ...json, origin: 'http://evil.example' }, body), 'origin_not_allowed');
    expectError(await send('GET', MESSAGES, {}), 'method_not_allowed');
    for (const path of ['/v1/messages/', '/v1/messages/nothing', '/v1/messages/batches']) expectError(await send('POST', path, json, body), 'route_not_found');
    expectError(await send('POST', MESSAGES, { 'content-type': 'text/plain' }, body), 'unsupported_media_type');
    expectError(await send('POST', MESSAGES, json, Buffer.alloc(9 * 1024 * 1024, ' ')), 'request_too_large');
    expectError(await post({ ...good, model: 'nobody' }), 'model_not_found', 'model');
    expectError(await post({ ...good, model: 'nobody' }, `${MESSAGES}/count_tokens`), 'model_not_found', 'model');
    expectError(await send('GET', '/v1/models/nobody', VERSION), 'model_not_found');
    expectError(await send('GET', '/v1/models?limit=0', VERSION), 'invalid_value', 'limit');
    expectError(await send('GET', '/v1/models?after_id=nobody', VERSION), 'invalid_value', 'after_id');
    // The other API keeps its own shape.
    for (const answer of [await send('GET', '/v1/models/nobody', {}), await send('POST', '/v1/chat/completions', { ...json, ...VERSION }, '[]')])
      expect(answer.body).toMatchObject({ error: { type: 'invalid_request_error', code: expect.any(String) } });
  });

  test('for overload, as 529 with Retry-After, and for a failing engine; the official client throws its class for each', async () => {
    const ask = (to: HttpFixture, more: object = {}) => to.anthropic.messages.create({ ...good, ...more } as Anthropic.MessageCreateParamsNonStreaming);
    const thrown = async (work: Promise<unknown>): Promise<APIError> => {
      const error = await work.then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(Anthropic.APIError);
      return error as APIError;
    };
    await using busy = await startHttp({ readyAfterMs: 3_000 }, { gateway: { queueWaitMs: 200 } });
    const waited = await thrown(ask(busy));
    expect(waited).toMatchObject({ status: 529, type: 'overloaded_error', requestID: expect.stringMatching(/^req_/), errorCode: 'queue_timeout' });
    expect(waited).toBeInstanceOf(Anthropic.InternalServerError);
    expect(Number(waited.headers!.get('retry-after'))).toBeGreaterThan(0);

    await using stopping = await startHttp();
    await stopping.gateway.close();
    expect(await thrown(ask(stopping))).toMatchObject({ status: 529, type: 'overloaded_error', errorCode: 'draining' });
    expectError(await post(good, `${MESSAGES}/count_tokens`, stopping), 'draining');

    await using broken = await startHttp({ failLoad: 'tensor x is missing' });
    const failed = await thrown(ask(broken));
    expect(failed).toMatchObject({ status: 500, type: 'api_error', errorCode: 'model_load_failed' });
    expect(failed.headers!.get('x-should-retry')).toBe('false');

    const classes: [object, new (...given: never[]) => APIError, number, string][] = [
      [{ max_tokens: 0 }, Anthropic.BadRequestError, 400, 'invalid_request_error'],
      [{ model: 'nobody' }, Anthropic.NotFoundError, 404, 'not_found_error'],
    ];
    for (const [more, kind, status, type] of classes) {
      const error = await thrown(ask(server, more));
      expect(error).toBeInstanceOf(kind);
      expect(error).toMatchObject({ status, type });
    }
    await using locked = await startHttp({}, { listen: { access: { requireKey: true } } });
    expect(await thrown(ask(locked))).toBeInstanceOf(Anthropic.AuthenticationError);
    const origin = new Anthropic({ baseURL: server.baseUrl, apiKey: 'any', maxRetries: 0, defaultHeaders: { 'sec-fetch-site': 'cross-site' } });
    expect(await thrown(origin.messages.create(good as Anthropic.MessageCreateParamsNonStreaming))).toBeInstanceOf(Anthropic.PermissionDeniedError);
  });

  test('the statuses of the table', () => {
    const types: Record<string, [number, string]> = {
      invalid_value: [400, 'invalid_request_error'],
      invalid_api_key: [401, 'authentication_error'],
      permission_denied: [403, 'permission_error'],
      model_not_found: [404, 'not_found_error'],
      locked: [409, 'invalid_request_error'],
      request_too_large: [413, 'request_too_large'],
      unsupported_media_type: [415, 'invalid_request_error'],
      rate_limit_exceeded: [429, 'rate_limit_error'],
      insufficient_quota: [429, 'rate_limit_error'],
      queue_full: [529, 'overloaded_error'],
      memory_budget: [529, 'overloaded_error'],
      breaker_open: [529, 'overloaded_error'],
      insufficient_memory: [507, 'api_error'],
      engine_crashed: [500, 'api_error'],
      not_implemented: [501, 'api_error'],
      upstream_unreachable: [502, 'api_error'],
      upstream_timeout: [504, 'timeout_error'],
    };
    for (const [code, row] of Object.entries(types)) expect([anthropicStatus(code as ErrorCode), anthropicErrorType(code as ErrorCode)], code).toEqual(row);
  });
});

describe('the list of models', () => {
  test('comes in pages for clients of that API, and the official client walks through them', async () => {
    const names = Array.from({ length: 7 }, (_, i) => `org/model-${i}`);
    await using many = await startHttp({}, { models: fakeModels(names) });
    const seen: string[] = [];
    for await (const { id, type } of many.anthropic.models.list({ limit: 3 })) seen.push(`${type} ${id}`);
    expect(seen).toEqual(names.map((id) => `model ${id}`));
    const page = (query: string) => send('GET', `/v1/models?${query}`, VERSION, undefined, many).then(({ body }) => body);
    expect(await page('limit=2')).toMatchObject({ has_more: true, first_id: names[0], last_id: names[1] });
    expect(await page('limit=2&after_id=org/model-4')).toMatchObject({ has_more: false, first_id: names[5], last_id: names[6] });
    expect(await page('limit=2&before_id=org/model-4')).toMatchObject({ has_more: true, first_id: names[2], last_id: names[3] });
    expect(await page('before_id=org/model-0')).toEqual({ data: [], has_more: false, first_id: null, last_id: null });
    expect((await many.openai.models.list()).data).toHaveLength(7);
  });
});
