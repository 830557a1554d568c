import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { completionReply } from '../../src/contract/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';

const model = 'org/fake';
let server: HttpFixture;
beforeAll(async () => {
  server = await startHttp();
});
afterAll(() => server[Symbol.asyncDispose]());

const post = async (path: string, body: object): Promise<{ status: number; body: unknown }> => {
  const response = await fetch(`${server.baseUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
};

describe('POST /v1/completions', () => {
  test('continues one prompt, several prompts, token ids and arrays of them, with an index each', async () => {
    const one = await server.openai.completions.create({ model, prompt: 'a b' });
    expect(one).toMatchObject({ object: 'text_completion', choices: [{ index: 0, text: 'echo: a b', finish_reason: 'stop' }] });
    completionReply.parse(one);
    const several = await server.openai.completions.create({ model, prompt: ['a', 'b c'], n: 2 });
    expect(several.choices.map(({ index, text }) => [index, text])).toEqual([
      [0, 'echo: a'],
      [1, 'echo: a'],
      [2, 'echo: b c'],
      [3, 'echo: b c'],
    ]);
    expect(several.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 2 * 2 + 2 * 3 });
    expect((await server.openai.completions.create({ model, prompt: [104, 105] })).choices[0]?.text).toBe('echo:  104 105');
    expect((await server.openai.completions.create({ model, prompt: [[1], [2, 3]] })).choices.map(({ text }) => text)).toEqual(['echo:  1', 'echo:  2 3']);
  });

  test('streams text_completion chunks under the same rules of finish, usage and [DONE]', async () => {
    const chunks: OpenAI.Completion[] = [];
    const stream = await server.openai.completions.create({ model, prompt: ['a b', 'c'], stream: true, stream_options: { include_usage: true } });
    for await (const chunk of stream) chunks.push(chunk);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    const textOf = (index: number) => chunks.flatMap(({ choices }) => choices.filter((choice) => choice.index === index).map(({ text }) => text)).join('');
    expect([textOf(0), textOf(1)]).toEqual(['echo: a b', 'echo: c']);
    expect(chunks.flatMap(({ choices }) => choices).filter(({ finish_reason }) => finish_reason !== null)).toHaveLength(2);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 5 } });
  });

  test('echo puts the prompt before the text, for token ids too', async () => {
    expect((await server.openai.completions.create({ model, prompt: 'a b', echo: true })).choices[0]?.text).toBe('a becho: a b');
    expect((await server.openai.completions.create({ model, prompt: [104, 105], echo: true })).choices[0]?.text).toBe('hiecho:  104 105');
    let streamed = '';
    for await (const chunk of await server.openai.completions.create({ model, prompt: 'a b', echo: true, stream: true }))
      streamed += chunk.choices[0]?.text ?? '';
    expect(streamed).toBe('a becho: a b');
  });

  test('what it cannot do is 400 and named', async () => {
    for (const [fields, param] of [
      [{ suffix: 'end' }, 'suffix'],
      [{ logprobs: 2 }, 'logprobs'],
      [{ best_of: 3 }, 'best_of'],
    ] as const) {
      expect(await post('/v1/completions', { model, prompt: 'x', ...fields })).toMatchObject({ status: 400, body: { error: { param } } });
    }
    for (const prompt of [[], [[]], [-1], [1.5], 5, ['a', 5]]) {
      expect((await post('/v1/completions', { model, prompt })).status).toBe(400);
    }
  });
});

describe('tokenize, detokenize, apply-template', () => {
  test('take the field names of both families, under both paths', async () => {
    for (const path of ['/tokenize', '/v1/tokenize']) {
      expect(await post(path, { model, content: 'hi' })).toEqual({ status: 200, body: { tokens: [104, 105], count: 2, max_model_len: 2048 } });
    }
    expect((await post('/tokenize', { model, content: 'hi', with_pieces: true })).body).toMatchObject({
      tokens: [
        { id: 104, piece: 'h' },
        { id: 105, piece: 'i' },
      ],
    });
    expect((await post('/tokenize', { model, prompt: 'hi', return_token_strs: true })).body).toMatchObject({ tokens: [104, 105], token_strs: ['h', 'i'] });
    expect((await post('/tokenize', { model, messages: [{ role: 'user', content: 'hi' }] })).body).toMatchObject({ count: 2 });
    expect((await post('/tokenize', { model })).status).toBe(400);
    expect((await post('/detokenize', { model, tokens: [104, 105] })).body).toEqual({ content: 'hi', prompt: 'hi' });
    expect((await post('/v1/apply-template', { model, messages: [{ role: 'developer', content: 'x' }] })).body).toEqual({ prompt: 'system: x\n' });
  });
});
