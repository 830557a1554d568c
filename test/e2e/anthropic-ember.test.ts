import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { countTokensRequest } from '../../src/contract/index.ts';
import { decodePrompt } from '../../src/gateway/index.ts';
import { parseEvents, violationOf } from '../support/anthropic-stream-check.ts';
import type { HttpFixture } from '../support/http-fixture.ts';
import { violation } from '../support/json-schema-check.ts';
import { startToolServer, type ToolServer } from '../support/tool-server.ts';

/** The Anthropic API over real (random) weights, by its official client. */
let fixture: ToolServer;
let server: HttpFixture;
let model: string;

beforeAll(async () => {
  fixture = await startToolServer();
  ({ server, model } = fixture);
});
afterAll(() => fixture?.[Symbol.asyncDispose]());

/** Newer models of that API have no temperature, and no seed: here they are taken. */
type Body = Anthropic.MessageCreateParamsNonStreaming & { temperature?: number; seed?: number };
const schema = {
  type: 'object' as const,
  properties: { name: { type: 'string', maxLength: 6 }, n: { type: 'integer', minimum: 1, maximum: 9 } },
  required: ['name', 'n'],
  additionalProperties: false,
};
/** Keeps random weights from ending an answer. */
const ENDLESS = { type: 'string', minLength: 2_000 };
const tools = ['look', 'listen'].map((name) => ({ name, description: 'Looks', input_schema: schema }));
const body = (more: Partial<Body> = {}): Body => ({ model, max_tokens: 60, temperature: 0, messages: [{ role: 'user', content: 'Hello' }], ...more });
const asStream = (more: Partial<Body> = {}) => server.anthropic.messages.stream(body(more)).finalMessage();
const post = (more: object, path = '/v1/messages') =>
  fetch(`${server.baseUrl}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...body(), ...more }) });

/** Without what is drawn anew for each answer, and without counts of the cache, which the first request fills. */
const comparable = (message: object): unknown =>
  JSON.parse(JSON.stringify(message, (key, value) => (['id', 'parsed_output', '_request_id', 'usage'].includes(key) ? undefined : value)));
const both = async (more: Partial<Body> = {}): Promise<Anthropic.Message> => {
  const whole = await server.anthropic.messages.create(body(more));
  const streamed = await asStream(more);
  expect(comparable(streamed)).toEqual(comparable(whole));
  expect(streamed.usage.output_tokens).toBe(whole.usage.output_tokens);
  return whole;
};
/** Random weights say much or nothing: the first seed whose answer is as wanted, in both forms. */
async function found(more: Partial<Body>, wanted: (answer: Anthropic.Message) => boolean): Promise<Anthropic.Message> {
  for (let seed = 0; seed < 60; seed += 1) {
    const asked = { ...more, temperature: 1, seed };
    if (wanted(await server.anthropic.messages.create(body(asked)))) return await both(asked);
  }
  throw new Error('no seed gave such an answer');
}
const thinks = ({ content }: Anthropic.Message): boolean => content[0]?.type === 'thinking' && content[0].thinking.length > 20 && content[1]?.type === 'text';
const textOf = (message: Anthropic.Message): string => message.content.map((block) => (block.type === 'text' ? block.text : '')).join('');

describe('answers', () => {
  test('[serving V28] the final message of the official stream equals the JSON answer for text, thinking and two tools', async () => {
    const text = await both();
    expect(text).toMatchObject({ type: 'message', role: 'assistant', model, stop_sequence: null, usage: { output_tokens_details: { thinking_tokens: 0 } } });
    expect(text.content).toMatchObject([{ type: 'text' }]);
    const thinking = await found({ thinking: { type: 'enabled', budget_tokens: 100 }, max_tokens: 400 }, thinks);
    expect(thinking.content.map(({ type }) => type)).toEqual(['thinking', 'text']);
    const [thought] = thinking.content as [Anthropic.ThinkingBlock];
    expect(thought.signature).toMatch(/^[A-Za-z0-9+/]{43}=$/);
    expect(thought.thinking.length).toBeGreaterThan(20);

    const callsOf = ({ content }: Anthropic.Message) => content.filter((block) => block.type === 'tool_use');
    const calling = await found(
      { tools, tool_choice: { type: 'any' }, max_tokens: 2_000 },
      (answer) => callsOf(answer).length > 1 && answer.stop_reason === 'tool_use',
    );
    const calls = callsOf(calling);
    expect(calls.length).toBeGreaterThan(1);
    for (const call of calls) {
      expect(call.id).toMatch(/^toolu_[A-Za-z0-9]{24}$/);
      expect(violation(schema, call.input)).toBeNull();
    }
    expect(new Set(calls.map(({ id }) => id)).size).toBe(calls.length);
  });

  test('[serving V5] the text of a stream equals the text of the JSON answer at temperature 0, through the Anthropic API', async () => {
    for (const content of ['Hello', 'What is two and two?', 'x', 'abc '.repeat(100)]) {
      const whole = await both({ messages: [{ role: 'user', content }] });
      expect(textOf(whole).length).toBeGreaterThan(0);
    }
  });

  test('[serving V29] real streams keep the order of events and the indices', async () => {
    const wishes: object[] = [
      {},
      { thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 400 },
      { thinking: { type: 'adaptive' }, max_tokens: 30, temperature: 1 },
      { tools, tool_choice: { type: 'any' }, max_tokens: 700, temperature: 1 },
      { tools, tool_choice: { type: 'tool', name: 'listen' }, max_tokens: 20, temperature: 1 },
      { tools, thinking: { type: 'enabled', budget_tokens: 100 }, tool_choice: { type: 'any' }, max_tokens: 900, temperature: 1 },
      { output_config: { format: { type: 'json_schema', schema } }, temperature: 1 },
      { stop_sequences: ['e', 'a', ' '], temperature: 1 },
      { max_tokens: 1 },
    ];
    for (let round = 0; round < 4; round += 1) {
      for (const wish of wishes) {
        const response = await post({ ...wish, stream: true });
        expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
        expect(violationOf(parseEvents(await response.text())), JSON.stringify(wish)).toBeNull();
      }
    }
  });

  test('[serving V30] stop_reason is right for max_tokens, stop_sequence and tool_use in both modes', async () => {
    expect(await both({ max_tokens: 5 })).toMatchObject({ stop_reason: 'max_tokens', stop_sequence: null, usage: { output_tokens: 5 } });
    const text = textOf(await both());
    const stop = text.slice(10, 14);
    expect(await both({ stop_sequences: ['never this', stop] })).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: stop });
    const named = await both({ tools, tool_choice: { type: 'tool', name: 'listen' }, max_tokens: 500 });
    expect(named).toMatchObject({ stop_reason: 'tool_use', stop_sequence: null, content: [{ type: 'tool_use', name: 'listen' }] });
    // A limit inside of a call stays a limit, and both forms hold what was complete.
    expect(await both({ tools, tool_choice: { type: 'tool', name: 'listen' }, max_tokens: 12 })).toMatchObject({ stop_reason: 'max_tokens' });
    const closed = await both({ output_config: { format: { type: 'json_schema', schema } }, max_tokens: 200 });
    expect(closed).toMatchObject({ stop_reason: 'end_turn', stop_sequence: null });
    expect(violation(schema, JSON.parse(textOf(closed)))).toBeNull();
  });

  test('[serving V6] stop sequences, one, four, and split across tokens, never reach the client, in stream and JSON', async () => {
    const text = textOf(await both());
    // One character is one token, so that every longer string is split across some.
    for (const stops of [[text.slice(3, 4)], [text.slice(20, 31)], ['never', 'ever', text.slice(8, 12), 'again'], [text.slice(5, 7), text.slice(30, 33)]]) {
      const found = stops.filter((stop) => text.includes(stop)).sort((a, b) => text.indexOf(a) + a.length - (text.indexOf(b) + b.length))[0]!;
      const answer = await both({ stop_sequences: stops });
      expect(textOf(answer)).toBe(text.slice(0, text.indexOf(found)));
      expect(answer.stop_sequence).toBe(found);
      for (const stop of stops) expect(textOf(answer)).not.toContain(stop);
    }
  });

  test('[serving V23] structured streams come as they are generated, text and arguments alike', async () => {
    const wishes = [{ output_config: { format: { type: 'json_schema', schema } } }, { tools, tool_choice: { type: 'tool', name: 'look' } }];
    for (const wish of wishes) {
      const events = parseEvents(await (await post({ ...wish, max_tokens: 300, stream: true })).text());
      const deltas = events.filter(({ event }) => event === 'content_block_delta');
      expect(deltas.length).toBeGreaterThan(3);
    }
    const stream = server.anthropic.messages.stream(body({ tools, tool_choice: { type: 'tool', name: 'look' }, max_tokens: 300 }));
    let pieces = 0;
    stream.on('inputJson', () => (pieces += 1));
    await stream.finalMessage();
    expect(pieces).toBeGreaterThan(3);
  });

  test('[serving V26] thinking never is text, its budget is kept, and there is none unless it was asked for', async () => {
    for (const budget of [0, 30, 100]) {
      const answer = await both({ thinking: { type: 'enabled', budget_tokens: budget }, max_tokens: 700 });
      expect(answer.usage.output_tokens_details!.thinking_tokens).toBeLessThanOrEqual(budget + '\n</think>\n\n'.length);
      expect(JSON.stringify(answer.content)).not.toMatch(/<\/?think>/);
    }
    for (const thinking of [undefined, { type: 'disabled' as const }]) {
      const plain = await both(thinking === undefined ? {} : { thinking });
      expect(plain.content.map(({ type }) => type)).toEqual(['text']);
    }
    const shown = await found({ thinking: { type: 'enabled', budget_tokens: 100 }, max_tokens: 700 }, thinks);
    expect(shown.usage.output_tokens_details!.thinking_tokens).toBeGreaterThan(20);
    const hides = ({ content }: Anthropic.Message) => content[0]?.type === 'thinking';
    const hidden = await found({ thinking: { type: 'adaptive', display: 'omitted' }, output_config: { effort: 'low' }, max_tokens: 400 }, hides);
    expect(hidden.content[0]).toMatchObject({ type: 'thinking', thinking: '', signature: expect.stringMatching(/.{40}/) });
  });

  test('[serving V13] a prompt over the context is 400 before any token', async () => {
    for (const stream of [true, false]) {
      const response = await post({ stream, messages: [{ role: 'user', content: 'word '.repeat(4_000) }] });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({
        type: 'error',
        error: { type: 'invalid_request_error', details: { error_code: 'context_length_exceeded' } },
      });
    }
  });

  test('[serving V42] a disconnect frees the sequence within a second, in prefill and decode', async () => {
    const stats = async () => (await server.gateway.stats(await server.gateway.resolve(model, AbortSignal.timeout(5_000))))!;
    const cases = [
      { content: 'word '.repeat(3_000), reached: async () => (await stats()).promptTokensComputed, least: 5 },
      { content: 'Hello', reached: async () => (await stats()).generatedTokens, least: 5 },
    ];
    for (const { content, reached, least } of cases) {
      for (const stream of [true, false]) {
        // On a busy machine the answer may be whole before this process sees how far it is: then another is asked for.
        for (let cut = false, tries = 0; !cut; tries += 1) {
          expect(tries).toBeLessThan(10);
          const before = await reached();
          const abort = new AbortController();
          const answer = server.anthropic.messages.create(
            {
              ...body({
                max_tokens: 14_000,
                output_config: { format: { type: 'json_schema', schema: ENDLESS } },
                messages: [{ role: 'user', content: `${tries}${stream}${content}` }],
              }),
              stream,
            },
            { signal: abort.signal, timeout: 60_000 },
          );
          const ended = (async () => {
            const result = await answer;
            if (Symbol.asyncIterator in result) for await (const _ of result);
          })().catch(() => {});
          await expect.poll(reached, { interval: 5 }).toBeGreaterThan(before + least);
          const { running, generatedTokens } = await stats();
          abort.abort();
          await ended;
          cut = running === 1;
          await expect.poll(async () => (await stats()).running, { interval: 10 }).toBe(0);
          // It was in the middle of its work.
          if (cut) expect((await stats()).generatedTokens).toBeLessThan(generatedTokens + 7_000);
        }
      }
    }
  });
});

describe('requests', () => {
  const image = { type: 'image' as const, source: { type: 'base64' as const, media_type: 'image/png' as const, data: 'iVBORw0KGgo=' } };
  const rendered = async (asked: object): Promise<string> => {
    const resolved = await server.gateway.resolve(model, AbortSignal.timeout(5_000));
    const prompt = decodePrompt(countTokensRequest.parse({ model, ...asked }), await server.gateway.target(resolved));
    return await server.gateway.withSession(resolved, AbortSignal.timeout(5_000), (session) => session.applyTemplate(prompt.messages));
  };
  const call = (id: string, name: string, input: object) => ({ type: 'tool_use' as const, id, name, input });
  const result = (id: string, content: unknown, more = {}) => ({ type: 'tool_result', tool_use_id: id, content, ...more });

  test('[serving V31] results of tools reach the template: text, blocks and failures in their order, before the text of the turn; images are 400 here', async () => {
    const messages = [
      { role: 'user', content: 'Look, then listen.' },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'Both.', signature: 'whatever' },
          { type: 'text', text: 'I look.' },
          call('toolu_1', 'look', { name: '<|im_end|>', n: 1 }),
          call('toolu_2', 'listen', { name: 'b', n: 2 }),
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'And now?' },
          result('toolu_1', [
            { type: 'text', text: 'a tree' },
            { type: 'text', text: 'a <house>' },
          ]),
          result('toolu_2', 'no microphone', { is_error: true, cache_control: { type: 'ephemeral' } }),
        ],
      },
    ];
    expect(await rendered({ messages, tools })).toBe(
      '<|im_start|>user\nLook, then listen.<|im_end|>\n' +
        '<|im_start|>assistant\n<think>\nBoth.\n</think>\nI look.<tool_call>look{"name": "<|im_end|>", "n": 1}</tool_call><tool_call>listen{"name": "b", "n": 2}</tool_call><|im_end|>\n' +
        '<|im_start|>tool\na tree\na <house><|im_end|>\n<|im_start|>tool\nError: no microphone<|im_end|>\n' +
        '<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n',
    );
    expect((await server.anthropic.messages.create(body({ messages: messages as Anthropic.MessageParam[], tools }))).content.length).toBeGreaterThan(0);
    const seen = [messages[0], messages[1], { role: 'user', content: [result('toolu_1', [image]), result('toolu_2', '')] }];
    const response = await post({ messages: seen, tools });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { type: 'invalid_request_error', details: { error_code: 'capability_mismatch', param: 'messages.2.content.0.content.0' } },
    });
  });

  test('system blocks, system turns, neighbours of one role and documents become turns that templates take, and what changes with each request is left out', async () => {
    expect(
      await rendered({
        system: [
          { type: 'text', text: 'x-anthropic-billing-header: cc_version=1; cch=abcde' },
          { type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } },
          { type: 'text', text: 'Be short.' },
        ],
        messages: [
          { role: 'system', content: 'Speak English.' },
          { role: 'user', content: 'One' },
          { role: 'user', content: [{ type: 'document', title: 'Notes', source: { type: 'text', media_type: 'text/plain', data: 'Two' } }] },
          { role: 'assistant', content: 'A' },
          {
            role: 'assistant',
            content: [
              { type: 'redacted_thinking', data: 'zzz' },
              { type: 'text', text: 'B' },
            ],
          },
          { role: 'system', content: [{ type: 'text', text: 'It is late.' }] },
          { role: 'user', content: 'Three' },
        ],
      }),
    ).toBe(
      '<|im_start|>system\nBe kind.\nBe short.\nSpeak English.<|im_end|>\n<|im_start|>user\nOne\nNotes\nTwo<|im_end|>\n<|im_start|>assistant\nA\nB<|im_end|>\n' +
        '<|im_start|>user\n<system-reminder>\nIt is late.\n</system-reminder>\nThree<|im_end|>\n<|im_start|>assistant\n',
    );
  });

  test('[serving V32] count_tokens equals the input tokens of message_start for the same body', async () => {
    const conversation: Anthropic.MessageParam[] = [
      { role: 'user', content: 'Look' },
      { role: 'assistant', content: [call('toolu_1', 'look', { name: 'a', n: 1 })] },
      {
        role: 'user',
        content: [result('toolu_1', 'tree') as Anthropic.ToolResultBlockParam, { type: 'text', text: 'ok', cache_control: { type: 'ephemeral' } }],
      },
    ];
    const bodies: Partial<Body>[] = [
      {},
      { system: 'Be kind.' },
      { system: [{ type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } }] },
      { tools },
      { tools, tool_choice: { type: 'none' } },
      { thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 2000 },
      { thinking: { type: 'adaptive' } },
      { output_config: { format: { type: 'json_schema', schema } } },
      { tools, messages: conversation },
    ];
    for (const more of bodies) {
      const { max_tokens: _, temperature: __, ...counted } = body(more);
      const { input_tokens: count } = await server.anthropic.messages.countTokens(counted);
      for (const repeat of [0, 1]) {
        let told = 0;
        let last: Anthropic.MessageDeltaUsage | null = null;
        for await (const event of await server.anthropic.messages.create({ ...body(more), stream: true })) {
          if (event.type === 'message_delta') last = event.usage;
          if (event.type !== 'message_start') continue;
          const { input_tokens, cache_read_input_tokens: read, cache_creation_input_tokens: created } = event.message.usage;
          told = input_tokens + read! + created!;
          // Known tokens are told apart only where the body marks what is to be cached.
          const marked = JSON.stringify(more).includes('cache_control');
          if (repeat === 1) expect(read! > 0).toBe(marked);
        }
        expect(told, JSON.stringify(more)).toBe(count);
        expect(last!.input_tokens! + last!.cache_read_input_tokens! + last!.cache_creation_input_tokens!).toBe(count);
      }
    }
  });

  test('tools as coding agents have them are taken: what of a schema cannot be enforced is left to the model, and tools may be added on the way', async () => {
    const properties = { n: { type: 'integer', exclusiveMinimum: 0, minimum: 1, maximum: 9 }, url: { type: 'string', format: 'uri', maxLength: 6 } };
    const open = { name: 'fetch', input_schema: { $schema: 'x', type: 'object', properties, required: ['n', 'url'], additionalProperties: false } };
    const asked = { tools: [open], tool_choice: { type: 'tool', name: 'fetch' }, max_tokens: 300 };
    const answer = (await (await post(asked)).json()) as Anthropic.Message;
    expect(answer).toMatchObject({
      stop_reason: 'tool_use',
      content: [{ type: 'tool_use', name: 'fetch', input: { n: expect.any(Number), url: expect.any(String) } }],
    });
    expect((await post({ ...asked, tools: [{ ...open, strict: true }] })).status).toBe(400);
    const text = { type: 'string', maxLength: 256 };
    const texts = { a: text, b: text, c: { ...text, maxLength: 524_288 } };
    const many = Array.from({ length: 20 }, (_, i) => ({ name: `tool_${i}`, input_schema: { type: 'object', properties: texts } }));
    expect((await post({ tools: many, max_tokens: 5 })).status).toBe(200);
    const addition = {
      type: 'tool_addition',
      tool: { type: 'tool_definition', definition: { name: 'later', input_schema: { type: 'object', properties: {} } } },
    };
    const messages = [
      { role: 'user', content: 'Hello' },
      { role: 'system', content: [addition, { type: 'text', text: 'Use it.' }] },
    ];
    const added = await post({ messages, tools: [open], tool_choice: { type: 'tool', name: 'later' }, max_tokens: 100 });
    expect(await added.json()).toMatchObject({ content: [{ type: 'tool_use', name: 'later', input: {} }] });
  });

  test('a model of the list answers under the names of the other API, with its headers', async () => {
    const list = await server.anthropic.models.list();
    expect(list.data).toEqual([
      { type: 'model', id: model, display_name: 'tiny-llama', created_at: expect.stringMatching(/^20.*Z$/), max_input_tokens: 16_384 },
    ]);
    expect(await server.anthropic.models.retrieve(model)).toMatchObject({ type: 'model', id: model });
    const { response, request_id } = await server.anthropic.messages.create(body({ max_tokens: 1 })).withResponse();
    expect(request_id).toMatch(/^req_/);
    expect(response.headers.get('x-request-id')).toBe(request_id);
    expect(response.headers.get('x-hearth-model')).toBe(model);
    await expect(server.anthropic.models.retrieve('nobody')).rejects.toThrow(Anthropic.NotFoundError);
  });
});
