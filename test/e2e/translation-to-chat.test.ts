import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { chat, chatReply, chunk, data, json, type MockUpstream, startMockUpstream, status, stream } from '../support/mock-upstream.ts';
import { makeUpstream } from '../support/upstream-run.ts';

/** Chat clients in front of an upstream of Anthropic's API and the other way round: both forms of answer, through the real server. */

const CODES = [400, 401, 429, 503, 529];

let mock: MockUpstream;
let http: HttpFixture;
let anthropic: Anthropic;
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

beforeAll(async () => {
  mock = await startMockUpstream();
  // An upstream that was overloaded is left alone for a while: each error gets one of its own.
  const upstreams = ['', ...CODES.map((code) => `-${code}`)].flatMap((suffix) => [
    makeUpstream(mock.url, { name: `claude${suffix}`, kind: 'anthropic', apiKey: () => 'upstream-key-1' }),
    makeUpstream(mock.url, { name: `gpt${suffix}`, kind: 'openai', apiKey: () => 'upstream-key-2' }),
  ]);
  http = await startHttp({}, { gateway: { routing: { upstreams, probeIntervalMs: null } } });
  anthropic = new Anthropic({ baseURL: http.baseUrl, apiKey: 'any', maxRetries: 0 });
});
afterAll(async () => {
  await http?.[Symbol.asyncDispose]();
  await mock?.[Symbol.asyncDispose]();
});

const last = () => mock.requests.at(-1)!;
const SCHEMA = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };

describe('[serving V73] a client of Anthropic’s API in front of a chat upstream', () => {
  const TOOLS = ['weather', 'time'].map((name) => ({ name, description: `tells the ${name}`, input_schema: { ...SCHEMA, type: 'object' as const } }));
  const CALLS = [
    { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
    { id: 'call_2', type: 'function', function: { name: 'time', arguments: '{}' } },
  ];
  const whole = json(chatReply('I look it up.', { reasoning_content: 'Let me think.', tool_calls: CALLS }, 'tool_calls'));
  const streamed = stream([
    chat.head(),
    chunk({ reasoning_content: 'Let me ' }),
    chunk({ reasoning_content: 'think.' }),
    chat.text('I look '),
    chat.text('it up.'),
    chunk({ tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } }] }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: '"Oslo"}' } }] }),
    chunk({ tool_calls: [{ index: 1, id: 'call_2', type: 'function', function: { name: 'time', arguments: '{}' } }] }),
    chat.finish('tool_calls'),
    chat.usage(),
    chat.done,
  ]);
  const ask = { model: 'gpt/m', max_tokens: 500, messages: [{ role: 'user' as const, content: 'Weather and time in Oslo?' }], tools: TOOLS };

  test('text, thinking, parallel calls and cached usage come back, in a stream as in JSON', async () => {
    mock.script(whole);
    const reply = await anthropic.messages.create({ ...ask, thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 4_000 });
    mock.script(streamed);
    const final = await anthropic.messages.stream({ ...ask, thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 4_000 }).finalMessage();
    for (const told of [reply, final]) {
      expect(told.content).toMatchObject([
        { type: 'thinking', thinking: 'Let me think.' },
        { type: 'text', text: 'I look it up.' },
        { type: 'tool_use', name: 'weather', input: { city: 'Oslo' } },
        { type: 'tool_use', name: 'time', input: {} },
      ]);
      expect(new Set(told.content.flatMap((block) => (block.type === 'tool_use' ? [block.id] : []))).size).toBe(2);
      expect([told.stop_reason, told.usage.output_tokens]).toEqual(['tool_use', 4]);
    }
    expect(reply.usage.input_tokens + (reply.usage.cache_read_input_tokens ?? 0)).toBeGreaterThanOrEqual(9);
    mock.script(whole);
    const cached = await anthropic.messages.create({ ...ask, system: [{ type: 'text', text: 'S', cache_control: { type: 'ephemeral' } }] });
    expect(cached.usage).toMatchObject({ input_tokens: 6, cache_read_input_tokens: 3 });
  });

  test('the request says the same in the other API', async () => {
    mock.script(json(chatReply('ok')));
    const image = { type: 'image' as const, source: { type: 'base64' as const, media_type: 'image/png' as const, data: PIXEL } };
    await anthropic.messages.create({
      ...ask,
      system: 'Be brief.',
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'See' }, image] },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'Hm.', signature: 'sig' },
            { type: 'text', text: 'Looking.' },
            { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Oslo' } },
            { type: 'tool_use', id: 'toolu_2', name: 'time', input: {} },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'toolu_1', content: [{ type: 'text', text: 'a map' }, image] },
            { type: 'tool_result', tool_use_id: 'toolu_2', content: 'no clock', is_error: true },
            { type: 'text', text: 'So?' },
          ],
        },
      ],
      tool_choice: { type: 'any', disable_parallel_tool_use: true },
      stop_sequences: ['END'],
      ...({ temperature: 0.5 } as object),
      metadata: { user_id: 'someone' },
    });
    expect(last().path).toBe('/v1/chat/completions');
    expect(last().headers).toMatchObject({ authorization: 'Bearer upstream-key-2' });
    const url = { type: 'image_url', image_url: { url: `data:image/png;base64,${PIXEL}` } };
    expect(last().body).toEqual({
      model: 'up',
      max_completion_tokens: 500,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'text', text: 'See' }, url] },
        {
          role: 'assistant',
          content: 'Looking.',
          reasoning_content: 'Hm.',
          tool_calls: [
            { id: 'toolu_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
            { id: 'toolu_2', type: 'function', function: { name: 'time', arguments: '{}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'toolu_1', content: 'a map' },
        { role: 'tool', tool_call_id: 'toolu_2', content: 'Error: no clock' },
        { role: 'user', content: [{ type: 'text', text: 'Result of the tool call toolu_1:' }, url] },
        { role: 'user', content: 'So?' },
      ],
      stop: ['END'],
      temperature: 0.5,
      tools: TOOLS.map((tool) => ({ type: 'function', function: { name: tool.name, description: tool.description, parameters: tool.input_schema } })),
      tool_choice: 'required',
      parallel_tool_calls: false,
      user: 'someone',
    });
  });

  test('each tool_choice, and a budget of thinking as an effort', async () => {
    mock.script(json(chatReply('ok')));
    const choices = [
      [{ type: 'none' }, 'none'],
      [{ type: 'auto' }, undefined],
      [{ type: 'any' }, 'required'],
      [
        { type: 'tool', name: 'time' },
        { type: 'function', function: { name: 'time' } },
      ],
    ] as const;
    for (const [tool_choice, wire] of choices) {
      await anthropic.messages.create({ ...ask, tool_choice });
      expect(last().body['tool_choice']).toEqual(wire);
    }
    await anthropic.messages.create({ ...ask, max_tokens: 9_000, thinking: { type: 'enabled', budget_tokens: 4_000 } });
    expect(last().body['reasoning_effort']).toBe('medium');
  });

  test('each finish reason, in a stream as in JSON', async () => {
    const reasons = [
      ['stop', null, 'end_turn', null],
      ['stop', 'END', 'stop_sequence', 'END'],
      ['length', null, 'max_tokens', null],
      ['content_filter', null, 'refusal', null],
    ] as const;
    for (const [theirs, stopped, ours, sequence] of reasons) {
      const reply = chatReply('ok', {}, theirs);
      mock.script(json({ ...reply, choices: reply.choices.map((choice) => ({ ...choice, stop_reason: stopped })) }));
      const asked = { ...ask, stop_sequences: ['END'] };
      expect(await anthropic.messages.create(asked)).toMatchObject({ stop_reason: ours, stop_sequence: sequence });
      mock.script(
        stream([chat.text('ok'), data({ choices: [{ index: 0, delta: {}, finish_reason: theirs, stop_reason: stopped }] }), chat.usage(), chat.done]),
      );
      expect(await anthropic.messages.stream(asked).finalMessage()).toMatchObject({ stop_reason: ours, stop_sequence: sequence });
    }
  });

  test('errors come in the shape of the client, before the answer and in it', async () => {
    for (const [code, type] of [
      [400, 'invalid_request_error'],
      [401, 'authentication_error'],
      [429, 'rate_limit_error'],
      [503, 'overloaded_error'],
    ] as const) {
      mock.script(status(code, { error: { message: 'it said so' } }, { 'retry-after': '30' }));
      await expect(anthropic.messages.create({ ...ask, model: `gpt-${code}/m` })).rejects.toMatchObject({
        status: code === 503 ? 529 : code,
        error: { type: 'error', error: { type, message: expect.stringContaining('it said so') } },
      });
    }
    mock.script(stream([chat.text('one'), data({ error: { message: 'it broke', type: 'server_error' } })]));
    const broken = anthropic.messages.stream(ask);
    const heard: string[] = [];
    broken.on('text', (text) => heard.push(text));
    await expect(broken.finalMessage()).rejects.toThrow('it broke');
    expect(heard.join('')).toBe('one');
  });
});
