import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embedMany, generateText, jsonSchema, type LanguageModel, Output, stepCountIs, streamText, tool } from 'ai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PARAMETERS, warningsOf } from '../support/client-scenario.ts';
import type { HttpFixture } from '../support/http-fixture.ts';
import { violation } from '../support/json-schema-check.ts';
import { TINY_ENCODER } from '../support/tiny-encoder.ts';
import { startToolServer, TOOL_MODEL } from '../support/tool-model.ts';

let server: HttpFixture;
beforeAll(async () => {
  // Greedy where a client says nothing: random weights would think without an end now and then.
  server = await startToolServer({ gateway: { sampling: { temperature: 0 } } });
});
afterAll(() => server?.[Symbol.asyncDispose]());

const compatible = () => createOpenAICompatible({ name: 'hearth', baseURL: `${server.baseUrl}/v1`, includeUsage: true, supportsStructuredOutputs: true });
const openai = () => createOpenAI({ baseURL: `${server.baseUrl}/v1`, apiKey: 'any' });
const anthropic = () => createAnthropic({ baseURL: `${server.baseUrl}/v1`, apiKey: 'any' });
const models: [string, (name?: string) => LanguageModel][] = [
  ['openai-compatible', (name = TOOL_MODEL) => compatible()(name)],
  ['openai, chat', (name = TOOL_MODEL) => openai().chat(name)],
  ['openai, Responses', (name = TOOL_MODEL) => openai().responses(name)],
  ['anthropic', (name = TOOL_MODEL) => anthropic()(name)],
];
const schema = jsonSchema<{ name: string; n: number }>(PARAMETERS);
const quiet = { maxRetries: 0, maxOutputTokens: 2_000 };

describe.each(models)('the Vercel client: %s', (_, model) => {
  test('[serving V1] text in JSON and as a stream, with counts and without a warning', async () => {
    const lines = await warningsOf(async () => {
      const call = { model: model(), prompt: 'hi', ...quiet, maxOutputTokens: 20, temperature: 0 };
      const answer = await generateText(call);
      const stream = streamText(call);
      let text = '';
      for await (const piece of stream.textStream) text += piece;
      expect(text).toBe(answer.text);
      expect(answer.usage.outputTokens).toBeGreaterThan(0);
      expect((await stream.usage).outputTokens).toBe(answer.usage.outputTokens);
      expect([answer.warnings ?? [], (await stream.warnings) ?? []]).toEqual([[], []]);
    });
    expect(lines).toEqual([]);
  });

  test('[store K117] [serving V17] [serving V19] tools are called, their results go back, and the next step answers, in JSON and as a stream', async () => {
    const seen: string[] = [];
    const look = tool({
      description: 'Looks',
      inputSchema: schema,
      execute: async (input) => {
        seen.push(JSON.stringify(input));
        return 'seen';
      },
    });
    const call = {
      model: model(),
      prompt: 'hi',
      ...quiet,
      tools: { look },
      stopWhen: stepCountIs(2),
      // The second step has the result to answer with.
      prepareStep: ({ stepNumber }: { stepNumber: number }) => (stepNumber === 0 ? { toolChoice: 'required' as const } : { toolChoice: 'none' as const }),
    };
    const answer = await generateText(call);
    expect(answer.steps.length).toBe(2);
    expect(answer.steps[0]!.toolResults.length).toBeGreaterThan(0);
    for (const input of seen) expect(violation(PARAMETERS, JSON.parse(input))).toBeNull();
    expect(answer.steps[1]!.usage.inputTokens).toBeGreaterThan(answer.steps[0]!.usage.inputTokens!);
    const stream = streamText(call);
    const kinds = new Set<string>();
    for await (const part of stream.fullStream) {
      if (part.type === 'error') throw part.error;
      kinds.add(part.type);
    }
    expect([kinds.has('tool-call'), kinds.has('tool-result'), (await stream.steps).length]).toEqual([true, true, 2]);
  });

  test('structured answers fit their schema', async () => {
    const { output } = await generateText({ model: model(), prompt: 'hi', ...quiet, output: Output.object({ schema }) });
    expect(violation(PARAMETERS, output)).toBeNull();
  });

  test('errors have status and message', async () => {
    const broken = await generateText({ model: model('nobody'), prompt: 'hi', ...quiet }).catch((error: unknown) => error);
    expect(APICallError.isInstance(broken)).toBe(true);
    expect(broken).toMatchObject({ statusCode: 404, message: expect.stringContaining('nobody') });
  });
});

test('[serving V37] the Vercel client gets vectors of the dimension of the model', async () => {
  const { embeddings } = await embedMany({ model: compatible().embeddingModel(TINY_ENCODER), values: ['one', 'two'], maxRetries: 0 });
  const strict = await embedMany({ model: openai().embeddingModel(TINY_ENCODER), values: ['one', 'two'], maxRetries: 0 });
  expect(embeddings.map((vector) => vector.length)).toEqual([48, 48]);
  expect(strict.embeddings).toEqual(embeddings);
});
