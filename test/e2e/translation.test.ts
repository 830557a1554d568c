import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { json, type MockUpstream, message, named, startMockUpstream, status, stream } from '../support/mock-upstream.ts';
import { makeUpstream } from '../support/upstream-run.ts';

/** Chat clients in front of an upstream of Anthropic's API and the other way round: both forms of answer, through the real server. */

const CODES = [400, 401, 429, 503, 529];

let mock: MockUpstream;
let http: HttpFixture;
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

beforeAll(async () => {
  mock = await startMockUpstream();
  // An upstream that was overloaded is left alone for a while: each error gets one of its own.
  const upstreams = ['', ...CODES.map((code) => `-${code}`)].flatMap((suffix) => [
    makeUpstream(mock.url, { name: `claude${suffix}`, kind: 'anthropic', apiKey: () => 'upstream-key-1' }),
    makeUpstream(mock.url, { name: `gpt${suffix}`, kind: 'openai', apiKey: () => 'upstream-key-2' }),
  ]);
  http = await startHttp({}, { gateway: { routing: { upstreams, probeIntervalMs: null } } });
});
afterAll(async () => {
  await http?.[Symbol.asyncDispose]();
  await mock?.[Symbol.asyncDispose]();
});

const last = () => mock.requests.at(-1)!;
const SCHEMA = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };

describe('[serving V73] a chat client in front of an upstream of Anthropic’s API', () => {
  const TOOLS = ['weather', 'time'].map((name) => ({ type: 'function' as const, function: { name, description: `tells the ${name}`, parameters: SCHEMA } }));
  const BLOCKS = [
    { type: 'thinking', thinking: 'Let me think.', signature: 'sig' },
    { type: 'text', text: 'I look it up.' },
    { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Oslo' } },
    { type: 'tool_use', id: 'toolu_2', name: 'time', input: {} },
  ];
  const USAGE = { input_tokens: 6, cache_read_input_tokens: 3, cache_creation_input_tokens: 2, output_tokens: 7 };
  const whole = (content: unknown, stop_reason: string, stop_sequence: string | null = null) =>
    json({ id: 'msg_1', type: 'message', role: 'assistant', model: 'up', content, stop_reason, stop_sequence, usage: USAGE });
  const streamed = (stop_reason: string, stop_sequence: string | null = null, full = true) =>
    stream([
      message.start,
      named({ type: 'ping' }),
      ...(full
        ? [
            message.open(0, { type: 'thinking', thinking: '', signature: '' }),
            message.delta(0, { type: 'thinking_delta', thinking: 'Let me ' }),
            message.delta(0, { type: 'thinking_delta', thinking: 'think.' }),
            message.delta(0, { type: 'signature_delta', signature: 'sig' }),
            message.close(0),
          ]
        : []),
      message.open(1, { type: 'text', text: '' }),
      message.delta(1, { type: 'text_delta', text: 'I look ' }),
      message.delta(1, { type: 'text_delta', text: 'it up.' }),
      message.close(1),
      ...(full
        ? [
            message.open(2, { type: 'tool_use', id: 'toolu_1', name: 'weather', input: {} }),
            message.delta(2, { type: 'input_json_delta', partial_json: '{"city":' }),
            message.delta(2, { type: 'input_json_delta', partial_json: '"Oslo"}' }),
            message.close(2),
            message.open(3, { type: 'tool_use', id: 'toolu_2', name: 'time', input: {} }),
            message.close(3),
          ]
        : []),
      message.end(stop_reason, stop_sequence),
      message.stop,
    ]);
  const ask = { model: 'claude/m', messages: [{ role: 'user' as const, content: 'Weather and time in Oslo?' }], tools: TOOLS };

  test('text, thinking, parallel calls and cached usage come back, in a stream as in JSON', async () => {
    mock.script(whole(BLOCKS, 'tool_use'));
    const reply = await http.openai.chat.completions.create(ask);
    expect(reply.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        content: 'I look it up.',
        reasoning_content: 'Let me think.',
        tool_calls: [
          { id: 'toolu_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
          { id: 'toolu_2', type: 'function', function: { name: 'time', arguments: '{}' } },
        ],
      },
    });
    expect(reply.usage).toMatchObject({ prompt_tokens: 11, completion_tokens: 7, total_tokens: 18, prompt_tokens_details: { cached_tokens: 3 } });
    mock.script(streamed('tool_use'));
    const final = await http.openai.chat.completions.stream({ ...ask, stream_options: { include_usage: true } }).finalChatCompletion();
    const { message: told } = final.choices[0]!;
    expect([told.content, told.tool_calls?.map((made) => made.type === 'function' && [made.id, made.function.name, made.function.arguments])]).toEqual([
      'I look it up.',
      [
        ['toolu_1', 'weather', '{"city":"Oslo"}'],
        ['toolu_2', 'time', '{}'],
      ],
    ]);
    expect(final.choices[0]!.finish_reason).toBe('tool_calls');
    expect(final.usage).toMatchObject({ prompt_tokens: 11, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 3 } });
    mock.script(streamed('tool_use'));
    let reasoning = '';
    for await (const part of await http.openai.chat.completions.create({ ...ask, stream: true })) {
      reasoning += (part.choices[0]!.delta as { reasoning_content?: string }).reasoning_content ?? '';
    }
    expect(reasoning).toBe('Let me think.');
  });

  test('the request says the same in the other API', async () => {
    mock.script(whole([{ type: 'text', text: 'ok' }], 'end_turn'));
    const call = (id: string, name: string) => ({ id, type: 'function' as const, function: { name, arguments: '{"city":"Oslo"}' } });
    await http.openai.chat.completions.create({
      model: 'claude/m',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'developer', content: 'Use tools.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'See' },
            { type: 'image_url', image_url: { url: `data:image/png;base64,${PIXEL}` } },
          ],
        },
        { role: 'user', content: 'and tell.' },
        { role: 'assistant', content: 'Looking.', tool_calls: [call('c1', 'weather'), call('c2', 'time')] },
        { role: 'tool', tool_call_id: 'c1', content: 'sun' },
        { role: 'tool', tool_call_id: 'c2', content: 'noon' },
        { role: 'user', content: 'So?' },
      ],
      tools: TOOLS,
      tool_choice: 'required',
      parallel_tool_calls: false,
      stop: ['END'],
      temperature: 1.7,
      top_p: 0.5,
      max_completion_tokens: 99,
      user: 'someone',
    });
    expect(last().path).toBe('/v1/messages');
    expect(last().headers).toMatchObject({ 'x-api-key': 'upstream-key-1', 'anthropic-version': '2023-06-01' });
    expect(last().headers).not.toHaveProperty('authorization');
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } };
    expect(last().body).toEqual({
      model: 'up',
      max_tokens: 99,
      system: [
        { type: 'text', text: 'Be brief.' },
        { type: 'text', text: 'Use tools.' },
      ],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'See' }, image, { type: 'text', text: 'and tell.' }] },
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'Looking.' },
            { type: 'tool_use', id: 'c1', name: 'weather', input: { city: 'Oslo' } },
            { type: 'tool_use', id: 'c2', name: 'time', input: { city: 'Oslo' } },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'c1', content: 'sun' },
            { type: 'tool_result', tool_use_id: 'c2', content: 'noon' },
            { type: 'text', text: 'So?' },
          ],
        },
      ],
      stop_sequences: ['END'],
      temperature: 1,
      top_p: 0.5,
      tools: TOOLS.map(({ function: tool }) => ({ name: tool.name, description: tool.description, input_schema: tool.parameters })),
      tool_choice: { type: 'any', disable_parallel_tool_use: true },
      metadata: { user_id: 'someone' },
    });
  });

  test('each tool_choice, and an effort as a budget of thinking', async () => {
    mock.script(whole([{ type: 'text', text: 'ok' }], 'end_turn'));
    const choices = [
      ['none', { type: 'none' }],
      ['auto', undefined],
      ['required', { type: 'any' }],
      [
        { type: 'function', function: { name: 'time' } },
        { type: 'tool', name: 'time' },
      ],
    ] as const;
    for (const [tool_choice, wire] of choices) {
      await http.openai.chat.completions.create({ ...ask, tool_choice });
      expect(last().body['tool_choice']).toEqual(wire);
    }
    await http.openai.chat.completions.create({ ...ask, reasoning_effort: 'medium', temperature: 0.2 });
    expect(last().body).toMatchObject({ thinking: { type: 'enabled', budget_tokens: 4_096 }, max_tokens: 8_192 });
    expect(last().body).not.toHaveProperty('temperature');
  });

  test('each stop reason, in a stream as in JSON', async () => {
    const reasons = { end_turn: 'stop', stop_sequence: 'stop', max_tokens: 'length', refusal: 'content_filter', pause_turn: 'stop' };
    for (const [theirs, ours] of Object.entries(reasons)) {
      const sequence = theirs === 'stop_sequence' ? 'END' : null;
      mock.script(whole([{ type: 'text', text: 'I look it up.' }], theirs, sequence), streamed(theirs, sequence, false));
      expect((await http.openai.chat.completions.create(ask)).choices[0]!.finish_reason).toBe(ours);
      const finishes: (string | null)[] = [];
      for await (const part of await http.openai.chat.completions.create({ ...ask, stream: true })) finishes.push(part.choices[0]?.finish_reason ?? null);
      expect(finishes.filter(Boolean)).toEqual([ours]);
    }
  });

  test('errors come in the shape of the client, before the answer and in it', async () => {
    const error = (type: string) => ({ type: 'error', error: { type, message: 'it said so' } });
    for (const [code, type, status_] of [
      [400, 'invalid_request_error', 400],
      [401, 'authentication_error', 401],
      [429, 'rate_limit_error', 429],
      [529, 'overloaded_error', 503],
    ] as const) {
      mock.script(status(code, error(type), { 'retry-after': '30' }));
      await expect(http.openai.chat.completions.create({ ...ask, model: `claude-${code}/m` })).rejects.toMatchObject({
        status: status_,
        error: { message: expect.stringContaining('it said so') },
      });
    }
    mock.script(
      stream([
        message.start,
        message.open(0, { type: 'text', text: '' }),
        message.delta(0, { type: 'text_delta', text: 'one' }),
        named({ ...error('overloaded_error') }),
      ]),
    );
    const heard: string[] = [];
    const broken = async () => {
      for await (const part of await http.openai.chat.completions.create({ ...ask, stream: true })) heard.push(part.choices[0]?.delta.content ?? '');
    };
    await expect(broken()).rejects.toMatchObject({ code: 'upstream_overloaded' });
    expect(heard.join('')).toBe('one');
  });

  test('what the other API has no word for is 400 naming the field, and nothing is sent', async () => {
    const count = mock.requests.length;
    const fields = [
      ['n', { n: 2 }],
      ['logprobs', { logprobs: true }],
      ['logit_bias', { logit_bias: { 5: 1 } }],
      ['response_format', { response_format: { type: 'json_object' } }],
    ] as const;
    for (const [param, more] of fields) await expect(http.openai.chat.completions.create({ ...ask, ...more })).rejects.toMatchObject({ status: 400, param });
    expect(mock.requests.length).toBe(count);
  });
});
