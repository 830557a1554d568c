import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ResponseReply } from '../../src/contract/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { violation } from '../support/json-schema-check.ts';
import { accumulate, eventViolation, type NamedEvent, readEvents, responseViolation } from '../support/responses-check.ts';
import { createSeeingEngine } from '../support/seeing-engine.ts';
import { dataUrl, png } from '../support/tiny-pictures.ts';
import { CALL_MARK, startToolServer, TOOL_MODEL } from '../support/tool-model.ts';

let tools: HttpFixture;
let seeing: HttpFixture;
beforeAll(async () => {
  tools = await startToolServer();
  seeing = await startHttp({}, { engines: [createSeeingEngine()] });
});
afterAll(async () => {
  await tools?.[Symbol.asyncDispose]();
  await seeing?.[Symbol.asyncDispose]();
});

const fake = 'org/fake';
const model = TOOL_MODEL;
const post = (server: HttpFixture, body: object, path = '/v1/responses'): Promise<Response> =>
  fetch(`${server.baseUrl}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
const ask = async (server: HttpFixture, body: object): Promise<ResponseReply> => {
  const response = await post(server, body);
  const reply = (await response.json()) as ResponseReply;
  expect([response.status, responseViolation(reply)], JSON.stringify(reply)).toEqual([200, null]);
  return reply;
};
const stream = async (server: HttpFixture, body: object): Promise<{ events: NamedEvent[]; last: ResponseReply }> => {
  const response = await post(server, { ...body, stream: true });
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  const { events, done } = readEvents(await response.text());
  expect(events.map(eventViolation).filter((found) => found !== null)).toEqual([]);
  expect(done).toBe(true);
  return { events, last: events.at(-1)!.data['response'] as ResponseReply };
};
const refusal = async (server: HttpFixture, body: object): Promise<unknown> => {
  const response = await post(server, body);
  const { error } = (await response.json()) as { error: { code: string; param: string | null } };
  return [response.status, error?.code, error?.param];
};
const textOf = (reply: ResponseReply): string => reply.output.flatMap((item) => (item.type === 'message' ? item.content.map(({ text }) => text) : [])).join('');
const callsOf = (reply: ResponseReply) => reply.output.filter((item) => item.type === 'function_call');

const parameters = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 6 }, n: { type: 'integer', minimum: 1, maximum: 9 } },
  required: ['name', 'n'],
  additionalProperties: false,
};
const look = { type: 'function', name: 'look', description: 'Looks', parameters, strict: true };
const listen = { ...look, name: 'listen' };
const format = { type: 'json_schema', name: 'thing', schema: parameters, strict: true };
const plain = { model, input: 'hi', temperature: 1, max_output_tokens: 600 };

describe('[serving V35] objects and events fit the published schema', () => {
  test('text, stream, instructions, roles and parts', async () => {
    const reply = await ask(seeing, { model: fake, input: 'hello there', metadata: { a: 'b' }, user: 'me', include: ['web_search_call.results'] });
    expect(reply).toMatchObject({
      status: 'completed',
      model: fake,
      metadata: { a: 'b' },
      user: 'me',
      usage: { input_tokens: 2, output_tokens: 3, total_tokens: 5 },
    });
    expect([textOf(reply), reply.id.slice(0, 5), reply.output[0]!.id.slice(0, 4)]).toEqual(['echo: hello there', 'resp_', 'msg_']);
    const input = [
      { role: 'developer', content: 'be kind' },
      {
        type: 'message',
        role: 'user',
        content: [
          { type: 'input_text', text: 'one ' },
          { type: 'input_text', text: 'two' },
        ],
      },
    ];
    const { events, last } = await stream(seeing, { model: fake, input, instructions: 'short' });
    expect([textOf(last), last.instructions]).toEqual(['echo: one two', 'short']);
    expect(events.map(({ data }) => data.type).filter((type) => !type.endsWith('.delta'))).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
  });

  test('the instructions stand in front of all, as a system message', async () => {
    const count = async (body: object) =>
      ((await (await post(tools, { model, ...body }, '/v1/responses/input_tokens')).json()) as { input_tokens: number }).input_tokens;
    const asInstructions = await count({ instructions: 'abc', input: 'hi' });
    expect(asInstructions).toBe(
      await count({
        input: [
          { role: 'system', content: 'abc' },
          { role: 'user', content: 'hi' },
        ],
      }),
    );
    expect(asInstructions).toBeGreaterThan(await count({ input: 'hi' }));
    // The count is that of the answer to the same body.
    for (const body of [{ input: 'hi' }, { input: 'hi', instructions: 'abc', tools: [look, listen] }, { input: 'hi', reasoning: { effort: 'low' } }]) {
      const reply = await ask(tools, { model, ...body, max_output_tokens: 1 });
      expect(reply.usage!.input_tokens).toBe(await count(body));
    }
  });

  test('images reach the engine as bytes', async () => {
    const picture = png(3, 2);
    const input = [
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'what ' },
          { type: 'input_image', detail: 'auto', image_url: dataUrl(picture) },
        ],
      },
    ];
    expect(textOf(await ask(seeing, { model: fake, input }))).toBe(`echo: what [image/png ${picture.length}]`);
    expect(textOf((await stream(seeing, { model: fake, input })).last)).toContain('image/png');
    expect(await refusal(tools, { model, input })).toEqual([400, 'capability_mismatch', 'input.0.content.1']);
  });

  test('function calls, in JSON and streams, alone and several', async () => {
    const forced = { ...plain, tools: [look, listen], tool_choice: 'required', reasoning: { effort: 'none' }, max_output_tokens: 2_000 };
    let several = 0;
    for (let seed = 0; seed < 12 && several < 2; seed++) {
      const reply = await ask(tools, { ...forced, seed });
      const { last } = await stream(tools, { ...forced, seed });
      expect(callsOf(last).map((call) => call.arguments)).toEqual(callsOf(reply).map((call) => call.arguments));
      const calls = [...callsOf(reply), ...callsOf(last)];
      expect(new Set(calls.flatMap((call) => [call.id, call.call_id])).size).toBe(calls.length * 2);
      for (const call of calls) expect([call.id.slice(0, 3), call.call_id.slice(0, 5)]).toEqual(['fc_', 'call_']);
      if (reply.status === 'completed') for (const call of calls) expect(violation(parameters, JSON.parse(call.arguments))).toBeNull();
      if (callsOf(reply).length > 1) several++;
    }
    expect(several).toBe(2);
    const named = await ask(tools, { ...forced, tool_choice: { type: 'function', name: 'listen' }, seed: 1 });
    expect(callsOf(named).map(({ name }) => name)).toEqual(['listen']);
    const allowed = { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'look' }] };
    const among = await ask(tools, { ...forced, tool_choice: allowed, parallel_tool_calls: false, seed: 1 });
    expect(callsOf(among).map(({ name }) => name)).toEqual(['look']);
    expect(callsOf(await ask(tools, { ...forced, tool_choice: 'none', logit_bias: { [CALL_MARK]: 100 }, max_output_tokens: 20 }))).toEqual([]);
  });

  test('a conversation goes on from a stored answer, by its items, and by references to them', async () => {
    const first = await ask(seeing, { model: fake, input: 'one', instructions: 'not carried over' });
    const second = await ask(seeing, { model: fake, input: 'two', previous_response_id: first.id });
    expect([textOf(second), second.previous_response_id, second.instructions]).toEqual(['echo: two', first.id, null]);
    const counted = async (body: object) =>
      ((await (await post(tools, { model, ...body }, '/v1/responses/input_tokens')).json()) as { input_tokens: number }).input_tokens;
    const short = { model, temperature: 0, max_output_tokens: 12, reasoning: { effort: 'none' }, tools: [look] };
    const call = await ask(tools, { ...short, input: 'look', instructions: 'never again', tool_choice: 'required', max_output_tokens: 600, seed: 3 });
    const [made] = callsOf(call);
    const output = { type: 'function_call_output', call_id: made!.call_id, output: 'seen' };
    const byId = await counted({ input: [output], previous_response_id: call.id, tools: [look] });
    const byItems = await counted({ input: [{ role: 'user', content: 'look' }, ...call.output, output], tools: [look] });
    const byReference = await counted({
      input: [{ role: 'user', content: 'look' }, ...call.output.map(({ id }) => ({ type: 'item_reference', id })), output],
      tools: [look],
    });
    expect([byId, byReference]).toEqual([byItems, byItems]);
    await ask(tools, { ...short, input: [output], previous_response_id: call.id });
    expect(await refusal(tools, { model, input: [{ type: 'item_reference', id: 'fc_gone' }] })).toEqual([400, 'invalid_value', 'input.0.id']);
    expect(await refusal(seeing, { model: fake, input: 'x', previous_response_id: 'resp_unknown' })).toEqual([
      400,
      'previous_response_not_found',
      'previous_response_id',
    ]);
  });

  test('a stored answer is given again until it is deleted; store:false keeps nothing', async () => {
    const kept = await seeing.openai.responses.create({ model: fake, input: 'one' });
    expect((await seeing.openai.responses.retrieve(kept.id)).output_text).toBe('echo: one');
    const dropped = await seeing.openai.responses.create({ model: fake, input: 'one', store: false });
    await expect(seeing.openai.responses.retrieve(dropped.id)).rejects.toMatchObject({ status: 404, code: 'response_not_found' });
    expect(await refusal(seeing, { model: fake, input: 'x', previous_response_id: dropped.id })).toEqual([
      400,
      'previous_response_not_found',
      'previous_response_id',
    ]);
    expect(await seeing.openai.responses.delete(kept.id)).toMatchObject({ id: kept.id, object: 'response.deleted', deleted: true });
    await expect(seeing.openai.responses.retrieve(kept.id)).rejects.toMatchObject({ status: 404 });
    await expect(seeing.openai.responses.delete(kept.id)).rejects.toMatchObject({ status: 404 });
  });
});

describe('what is refused, and what is dropped with a word', () => {
  test('fields that cannot be honoured are named; tools that a provider runs are dropped', async () => {
    const cases: [object, string][] = [
      [{ background: true }, 'background'],
      [{ conversation: 'conv_1' }, 'conversation'],
      [{ truncation: 'auto' }, 'truncation'],
      [{ prompt: { id: 'p' } }, 'prompt'],
      [{ tools: [{ type: 'web_search' }], tool_choice: { type: 'web_search' } }, 'tool_choice'],
      [{ tools: [{ type: 'web_search' }, look], tool_choice: { type: 'function', name: 'other' } }, 'tool_choice'],
      [{ tools: [{ type: 'web_search' }, { ...look, name: 'bad name' }] }, 'tools.1.name'],
      [{ text: { format: { type: 'json_schema', name: 'x' } } }, 'text.format.schema'],
      [{ text: { format: { type: 'json_schema', name: 'x', schema: { not: {} } } } }, 'text.format'],
      [{ reasoning: { effort: 'huge' } }, 'reasoning.effort'],
      [{ input: [{ role: 'nobody', content: 'x' }] }, 'input.0.role'],
      [{ input: [{ type: 'web_search_call', id: 'ws_1' }] }, 'input.0.type'],
      [{ input: [] }, 'input'],
      [{ input: undefined }, 'input'],
      [{ max_output_tokens: 0 }, 'max_output_tokens'],
    ];
    for (const [more, param] of cases)
      expect([param, (await refusal(tools, { ...plain, ...more })) as unknown]).toEqual([param, [400, expect.any(String), param]]);
    const response = await post(tools, { ...plain, max_output_tokens: 5, tools: [{ type: 'web_search' }, { type: 'file_search' }, look] });
    expect(response.headers.get('x-hearth-dropped')).toBe('tools.web_search,tools.file_search');
    expect(((await response.json()) as ResponseReply).tools).toEqual([look]);
    const streamed = await post(tools, { ...plain, max_output_tokens: 5, stream: true, tools: [{ type: 'web_search' }] });
    expect(streamed.headers.get('x-hearth-dropped')).toBe('tools.web_search');
    await streamed.text();
  });
});

describe('streams and limits', () => {
  test('[serving V36] numbers are contiguous and the final object equals what the deltas add up to', async () => {
    const bodies = [
      { model, input: 'hi', temperature: 1, max_output_tokens: 60 },
      { ...plain, tools: [look, listen], tool_choice: 'required', reasoning: { effort: 'none' } },
      { ...plain, chat_template_kwargs: { enable_thinking: true }, reasoning: { effort: 'minimal' }, max_output_tokens: 800 },
      { ...plain, text: { format } },
      { ...plain, include: ['message.output_text.logprobs'], top_logprobs: 2, max_output_tokens: 30 },
    ];
    for (const body of bodies)
      for (let seed = 1; seed <= 4; seed++) {
        const { events, last } = await stream(tools, { ...body, seed });
        expect(events.map(({ data }) => data.sequence_number)).toEqual(events.map((_, i) => i));
        const withoutLogprobs = (items: readonly object[]) =>
          JSON.parse(JSON.stringify(items, (key, value: unknown) => (key === 'logprobs' ? [] : value))) as object[];
        expect(withoutLogprobs(accumulate(events))).toEqual(withoutLogprobs(last.output));
      }
  });

  test('[serving V5] the text of a stream equals that of the JSON answer at temperature 0', async () => {
    for (const input of ['hi', 'what is it', 'The quick brown fox']) {
      const body = { model, input, temperature: 0, max_output_tokens: 60 };
      expect(textOf((await stream(tools, body)).last)).toBe(textOf(await ask(tools, body)));
    }
  });

  test('[serving V12] max_output_tokens cuts the answer, which is incomplete then', async () => {
    const cut = await ask(seeing, { model: fake, input: 'a b c d e f', max_output_tokens: 3 });
    expect(cut).toMatchObject({ status: 'incomplete', completed_at: null, incomplete_details: { reason: 'max_output_tokens' }, usage: { output_tokens: 3 } });
    expect(cut.output[0]!.status).toBe('incomplete');
    const { events } = await stream(seeing, { model: fake, input: 'a b c d e f', max_output_tokens: 3 });
    expect(events.at(-1)!.data.type).toBe('response.incomplete');
  });

  test('[serving V23] [serving V25] a structured stream comes while it is generated, and a limit inside the document leaves it as it stands', async () => {
    const { events, last } = await stream(tools, { ...plain, seed: 1, text: { format } });
    expect(violation(parameters, JSON.parse(textOf(last)))).toBeNull();
    expect(events.filter(({ data }) => data.type === 'response.output_text.delta').length).toBeGreaterThan(3);
    const whole = textOf(last);
    const cut = await ask(tools, { ...plain, seed: 1, text: { format }, max_output_tokens: 5 });
    expect([cut.status, cut.incomplete_details?.reason]).toEqual(['incomplete', 'max_output_tokens']);
    expect(whole.startsWith(textOf(cut))).toBe(true);
    expect(() => JSON.parse(textOf(cut)) as unknown).toThrow();
  });

  test('[serving V26] reasoning is an item of its own and never in a message; its budget is kept', async () => {
    const body = {
      ...plain,
      seed: 5,
      max_output_tokens: 800,
      chat_template_kwargs: { enable_thinking: true },
      reasoning: { effort: 'minimal', summary: 'auto' },
    };
    const reply = await ask(tools, body);
    const [thought] = reply.output;
    expect(thought).toMatchObject({ type: 'reasoning', id: expect.stringMatching(/^rs_/) });
    expect(thought!.type === 'reasoning' && thought!.summary[0]!.text.length).toBeGreaterThan(20);
    expect(JSON.stringify(reply.output)).not.toContain('</think>');
    expect(reply.usage!.output_tokens_details.reasoning_tokens).toBeGreaterThan(0);
    expect(reply.usage!.output_tokens_details.reasoning_tokens).toBeLessThanOrEqual(512 + '\n</think>'.length);
    const { last } = await stream(tools, body);
    expect(textOf(last)).toBe(textOf(reply));
  });

  test('[serving V22] through this API a schema is kept in 1,000 of 1,000 answers, half of them behind a reasoning part', async () => {
    const tiny = { type: 'object', properties: { n: { type: 'integer', minimum: 1, maximum: 99 } }, required: ['n'], additionalProperties: false };
    let complete = 0;
    const one = async (seed: number): Promise<void> => {
      const thinking = seed % 2 === 0 ? { chat_template_kwargs: { enable_thinking: true }, logit_bias: { '0': 0 } } : { reasoning: { effort: 'none' } };
      const budget = seed % 2 === 0 ? { reasoning: { effort: 'minimal' }, max_output_tokens: 272 } : { max_output_tokens: 60 };
      const reply = await ask(tools, {
        model,
        input: 'hi',
        temperature: 1,
        seed,
        store: false,
        ...thinking,
        ...budget,
        text: { format: { ...format, schema: tiny } },
      });
      expect(reply.status).toBe('completed');
      expect(violation(tiny, JSON.parse(textOf(reply))), textOf(reply)).toBeNull();
      complete += 1;
    };
    for (let seed = 0; seed < 1_000; seed += 4) await Promise.all([0, 1, 2, 3].map((more) => one(seed + more)));
    expect(complete).toBe(1_000);
  }, 300_000);
});

describe('faults', () => {
  test('[serving V44] a failure before the first token is a real HTTP status', async () => {
    await using broken = await startHttp({ failLoad: 'tensor x is missing' });
    const response = await post(broken, { model: fake, input: 'hi', stream: true });
    expect([response.status, response.headers.get('x-should-retry')]).toEqual([500, 'false']);
    expect(await response.json()).toMatchObject({ error: { code: 'model_load_failed', type: 'server_error' }, request_id: expect.stringMatching(/^req_/) });
  });

  test('[serving V43] a crash in mid-stream is an error event and a failed response, without [DONE]; the official client throws', async () => {
    await using server = await startHttp({ dieAfterTokens: 4 });
    const response = await post(server, { model: fake, input: 'a b c d e', stream: true });
    expect(response.status).toBe(200);
    const { events, done } = readEvents(await response.text());
    expect(done).toBe(false);
    expect(events.map(eventViolation).filter((found) => found !== null)).toEqual([]);
    expect(events.map(({ data }) => data.sequence_number)).toEqual(events.map((_, i) => i));
    expect(events.at(-2)!.data).toMatchObject({ type: 'error', code: 'engine_crashed', param: null });
    expect(events.at(-1)!.data).toMatchObject({ type: 'response.failed', response: { status: 'failed', error: { code: 'server_error' } } });
    expect(events.some(({ data }) => data.type === 'response.completed')).toBe(false);
    const read = async () => {
      for await (const _ of await server.openai.responses.create({ model: fake, input: 'a b c d e', stream: true })) {
        // Only the end matters.
      }
    };
    await expect(read()).rejects.toThrow();
  });

  test('a quiet stream has comments in the interval of the heartbeat, before its first event and after it', async () => {
    await using server = await startHttp({ tokenMs: 300 }, { api: { headerHoldMs: 20, heartbeatMs: 40 } });
    const text = await (await post(server, { model: fake, input: 'a b', stream: true })).text();
    expect(text.startsWith(': prefill 2/2\n\n')).toBe(true);
    expect(
      text
        .slice(text.indexOf('response.output_text.delta'))
        .split('\n\n')
        .filter((frame) => frame.startsWith(':')).length,
    ).toBeGreaterThan(2);
    const seen: string[] = [];
    for await (const event of await server.openai.responses.create({ model: fake, input: 'a b', stream: true })) seen.push(event.type);
    expect(seen.at(-1)).toBe('response.completed');
  });

  test('[serving V42] a client that leaves frees its place within a second', async () => {
    // An answer of fifty seconds.
    await using server = await startHttp({ tokenMs: 100 });
    const abort = new AbortController();
    const running = (await server.openai.responses.create(
      { model: fake, input: 'word '.repeat(500), stream: true },
      { signal: abort.signal },
    )) as AsyncIterable<OpenAI.Responses.ResponseStreamEvent>;
    for await (const event of running) if (event.type === 'response.output_text.delta') abort.abort();
    await expect.poll(() => server.gateway.snapshot().models[0]?.inFlight, { timeout: 20_000, interval: 10 }).toBe(0);
  });
});
