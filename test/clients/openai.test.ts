import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PARAMETERS, warningsOf } from '../support/client-scenario.ts';
import type { HttpFixture } from '../support/http-fixture.ts';
import { violation } from '../support/json-schema-check.ts';
import { TINY_ENCODER } from '../support/tiny-encoder.ts';
import { startToolServer, TOOL_MODEL } from '../support/tool-model.ts';

let server: HttpFixture;
let openai: OpenAI;
beforeAll(async () => {
  server = await startToolServer();
  openai = server.openai;
});
afterAll(() => server?.[Symbol.asyncDispose]());

const model = TOOL_MODEL;
const messages = [{ role: 'user' as const, content: 'hi' }];
const chat = { model, messages, temperature: 1, max_tokens: 2_000, seed: 1, reasoning_effort: 'none' as const };
const tool = (name: string) => ({ type: 'function' as const, function: { name, description: 'Looks', parameters: PARAMETERS } });
const tools = [tool('look'), tool('listen')];

describe('openai for JavaScript', () => {
  test('[serving V1] text in JSON and by the helper that gathers a stream, without a warning', async () => {
    const warnings = await warningsOf(async () => {
      const body = { ...chat, max_tokens: 20 };
      const answer = await openai.chat.completions.create(body);
      const gathered = await openai.chat.completions.stream(body).finalChatCompletion();
      expect(gathered.choices[0]!.message.content).toBe(answer.choices[0]!.message.content);
      const response = await openai.responses.create({ model, input: 'hi', max_output_tokens: 20, temperature: 0 });
      const streamed = await openai.responses.stream({ model, input: 'hi', max_output_tokens: 20, temperature: 0 }).finalResponse();
      expect(streamed.output_text).toBe(response.output_text);
      expect(response.output_text.length).toBeGreaterThan(0);
    });
    expect(warnings).toEqual([]);
  });

  test('[store K117] [serving V17] [serving V18] [serving V19] [serving V20] a tool is called, its result comes back, and the answer goes on, in both APIs', async () => {
    const first = await openai.chat.completions.create({ ...chat, tools, tool_choice: 'required', parallel_tool_calls: false });
    const message = first.choices[0]!.message;
    expect([first.choices[0]!.finish_reason, message.tool_calls?.length]).toEqual(['tool_calls', 1]);
    const call = message.tool_calls![0] as OpenAI.ChatCompletionMessageFunctionToolCall;
    expect(violation(PARAMETERS, JSON.parse(call.function.arguments))).toBeNull();
    const second = await openai.chat.completions.create({
      ...chat,
      max_tokens: 10,
      tools,
      messages: [...messages, message, { role: 'tool', tool_call_id: call.id, content: 'seen' }],
    });
    expect(second.usage!.prompt_tokens).toBeGreaterThan(first.usage!.prompt_tokens);
    // Long arguments come in several deltas, and the helper joins them.
    const long = { ...PARAMETERS, properties: { ...PARAMETERS.properties, name: { type: 'string', minLength: 200, maxLength: 240 } } };
    let deltas = 0;
    const runner = openai.chat.completions.stream({
      ...chat,
      tools: [{ type: 'function', function: { name: 'look', parameters: long, strict: true } }],
      tool_choice: { type: 'function', function: { name: 'look' } },
    });
    runner.on('chunk', (chunk) => {
      if (chunk.choices[0]?.delta.tool_calls?.[0]?.function?.arguments) deltas += 1;
    });
    const gathered = (await runner.finalChatCompletion()).choices[0]!.message.tool_calls![0] as OpenAI.ChatCompletionMessageFunctionToolCall;
    expect([gathered.function.name, violation(long, JSON.parse(gathered.function.arguments))]).toEqual(['look', null]);
    expect(deltas).toBeGreaterThan(1);
    const none = await openai.chat.completions.create({ ...chat, max_tokens: 20, tools, tool_choice: 'none' });
    expect(none.choices[0]!.message.tool_calls).toBeUndefined();

    const flat = { type: 'function' as const, name: 'look', parameters: PARAMETERS, strict: true };
    const asked = await openai.responses.create({
      model,
      input: 'hi',
      tools: [flat],
      tool_choice: 'required',
      parallel_tool_calls: false,
      reasoning: { effort: 'none' },
    });
    const made = asked.output.find((item) => item.type === 'function_call')!;
    const answered = await openai.responses.create({
      model,
      previous_response_id: asked.id,
      input: [{ type: 'function_call_output', call_id: made.call_id, output: 'seen' }],
      tools: [flat],
      max_output_tokens: 10,
    });
    expect(answered.usage!.input_tokens).toBeGreaterThan(asked.usage!.input_tokens);
  });

  test('structured answers are parsed, in both APIs', async () => {
    const response_format = { type: 'json_schema' as const, json_schema: { name: 'thing', schema: PARAMETERS, strict: true } };
    const parsed = await openai.chat.completions.parse({ ...chat, response_format });
    expect(violation(PARAMETERS, parsed.choices[0]!.message.parsed)).toBeNull();
    const response = await openai.responses.parse({
      model,
      input: 'hi',
      reasoning: { effort: 'none' },
      text: { format: { type: 'json_schema', name: 'thing', schema: PARAMETERS, strict: true } },
    });
    expect(violation(PARAMETERS, response.output_parsed)).toBeNull();
  });

  test('[serving V37] the default call for embeddings gives vectors of the dimension of the model, bit for bit those of float', async () => {
    const byDefault = await openai.embeddings.create({ model: TINY_ENCODER, input: ['one', 'two'] });
    const floats = await openai.embeddings.create({ model: TINY_ENCODER, input: ['one', 'two'], encoding_format: 'float' });
    expect(byDefault.data.map(({ embedding }) => embedding.length)).toEqual([48, 48]);
    expect(byDefault.data.map(({ embedding }) => [...Float32Array.from(embedding)])).toEqual(
      floats.data.map(({ embedding }) => [...Float32Array.from(embedding)]),
    );
  });

  test('errors are those of the client, with status, code and field', async () => {
    const wrong = await openai.chat.completions.create({ ...chat, model: 'nobody' }).catch((error: unknown) => error);
    expect(wrong).toBeInstanceOf(OpenAI.NotFoundError);
    const bad = await openai.responses.create({ model, input: 'hi', truncation: 'auto' }).catch((error: unknown) => error);
    expect(bad).toBeInstanceOf(OpenAI.BadRequestError);
    expect(bad).toMatchObject({ status: 400, code: 'unsupported_parameter', param: 'truncation', requestID: expect.stringMatching(/^req_/) });
  });
});
