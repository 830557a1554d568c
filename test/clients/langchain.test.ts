import { AIMessageChunk, HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PARAMETERS, warningsOf } from '../support/client-scenario.ts';
import type { HttpFixture } from '../support/http-fixture.ts';
import { violation } from '../support/json-schema-check.ts';
import { TINY_ENCODER } from '../support/tiny-encoder.ts';
import { startToolServer, TOOL_MODEL } from '../support/tool-model.ts';

let server: HttpFixture;
beforeAll(async () => {
  server = await startToolServer();
});
afterAll(() => server?.[Symbol.asyncDispose]());

const chat = (more: object = {}) =>
  new ChatOpenAI({
    model: TOOL_MODEL,
    apiKey: 'any',
    temperature: 1,
    maxTokens: 2_000,
    maxRetries: 0,
    configuration: { baseURL: `${server.baseUrl}/v1` },
    ...more,
  });
const outputTokens = (message: { usage_metadata?: unknown }): number => (message.usage_metadata as { output_tokens: number }).output_tokens;
const look = tool(async () => 'seen', { name: 'look', description: 'Looks', schema: PARAMETERS });

test('[serving V1] LangChain reads text in JSON and as a stream, with counts and without a warning', async () => {
  const lines = await warningsOf(async () => {
    const model = chat({ temperature: 0, maxTokens: 20 });
    const answer = await model.invoke('hi');
    let gathered: AIMessageChunk | null = null;
    for await (const chunk of await model.stream('hi')) gathered = gathered === null ? chunk : gathered.concat(chunk);
    expect(gathered!.text).toBe(answer.text);
    expect(outputTokens(answer)).toBeGreaterThan(0);
    expect(outputTokens(gathered!)).toBe(outputTokens(answer));
  });
  expect(lines).toEqual([]);
});

test('[store K117] [serving V17] [serving V19] LangChain calls a tool, sends its result, and goes on; a stream of calls adds up', async () => {
  const bound = chat({ modelKwargs: { seed: 1, reasoning_effort: 'none' } }).bindTools([look], { tool_choice: 'required' });
  const first = await bound.invoke([new HumanMessage('hi')]);
  expect(first.tool_calls!.length).toBeGreaterThan(0);
  for (const call of first.tool_calls!) expect([call.name, violation(PARAMETERS, call.args)]).toEqual(['look', null]);
  const results = first.tool_calls!.map((call) => new ToolMessage({ tool_call_id: call.id!, content: 'seen' }));
  const second = await chat({ maxTokens: 10 }).invoke([new HumanMessage('hi'), first, ...results]);
  expect(outputTokens(second)).toBeGreaterThan(0);
  let gathered = new AIMessageChunk('');
  for await (const chunk of await bound.stream([new HumanMessage('hi')])) gathered = gathered.concat(chunk);
  expect(gathered.tool_calls!.map(({ name, args }) => ({ name, args }))).toEqual(first.tool_calls!.map(({ name, args }) => ({ name, args })));
});

test('LangChain gets structured answers, by chat and by Responses', async () => {
  for (const useResponsesApi of [false, true]) {
    const structured = chat({
      useResponsesApi,
      modelKwargs: useResponsesApi ? { seed: 1, reasoning: { effort: 'none' } } : { seed: 1, reasoning_effort: 'none' },
    }).withStructuredOutput(PARAMETERS, { name: 'thing', method: 'jsonSchema', strict: true });
    expect(violation(PARAMETERS, await structured.invoke('hi'))).toBeNull();
  }
});

test('[serving V37] LangChain gets vectors of the dimension of the model, from texts and from token ids', async () => {
  const embeddings = new OpenAIEmbeddings({ model: TINY_ENCODER, apiKey: 'any', configuration: { baseURL: `${server.baseUrl}/v1` } });
  const vectors = await embeddings.embedDocuments(['one', 'two']);
  expect(vectors.map((vector) => vector.length)).toEqual([48, 48]);
});

test('LangChain throws the error with its status', async () => {
  await expect(chat({ model: 'nobody' }).invoke('hi')).rejects.toMatchObject({ status: 404 });
});
