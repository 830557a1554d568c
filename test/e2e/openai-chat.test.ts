import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chatChunk, chatReply } from '../../src/contract/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';

const model = 'org/fake';
const user = (content: string) => [{ role: 'user' as const, content }];

/** Raw `data:` values of a stream, [DONE] included. */
async function rawStream(server: HttpFixture, body: object): Promise<string[]> {
  const response = await post(server, { ...body, stream: true });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  return (await response.text())
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice(6));
}

const post = (server: HttpFixture, body: object): Promise<Response> =>
  fetch(`${server.baseUrl}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

describe('POST /v1/chat/completions', () => {
  let server: HttpFixture;
  beforeAll(async () => {
    server = await startHttp({ contextTokens: 256 });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test('[store K97] the official client gets an answer, as JSON, as a raw stream and through its stream helper', async () => {
    const answer = await server.openai.chat.completions.create({ model, messages: user('one two three') });
    expect(answer.choices[0]?.message).toMatchObject({ role: 'assistant', content: 'echo: one two three' });
    expect(answer.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 });
    chatReply.parse(answer);

    let text = '';
    for await (const chunk of await server.openai.chat.completions.create({ model, messages: user('one two three'), stream: true })) {
      text += chunk.choices[0]?.delta.content ?? '';
    }
    expect(text).toBe('echo: one two three');

    const helper = server.openai.chat.completions.stream({ model, messages: user('one two three') });
    expect((await helper.finalChatCompletion()).choices[0]?.message.content).toBe('echo: one two three');
  });

  test('[serving V2] a stream has one id, created and model, the role once, and a finish chunk with an empty delta', async () => {
    const data = await rawStream(server, { model, messages: user('a b c d'), stream_options: { include_usage: true } });
    expect(data.at(-1)).toBe('[DONE]');
    const chunks = data.slice(0, -1).map((text) => chatChunk.strict().parse(JSON.parse(text)));
    for (const field of ['id', 'object', 'created', 'model', 'system_fingerprint'] as const) expect(new Set(chunks.map((chunk) => chunk[field])).size).toBe(1);
    expect(chunks[0]?.object).toBe('chat.completion.chunk');
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: null });
    expect(chunks.filter((chunk) => chunk.choices[0]?.delta.role !== undefined)).toHaveLength(1);
    const finishes = chunks.filter((chunk) => chunk.choices[0]?.finish_reason);
    expect(finishes).toHaveLength(1);
    expect(finishes[0]?.choices[0]).toEqual({ index: 0, delta: {}, finish_reason: 'stop', logprobs: null });
    expect(finishes[0]?.hearth?.timings.first_token_ms).toBeGreaterThan(0);
  });

  test('[serving V3] [store K99] include_usage gives one chunk without choices before [DONE] and usage null elsewhere; without it there is no usage', async () => {
    const withUsage = await rawStream(server, { model, messages: user('a b c'), stream_options: { include_usage: true } });
    const chunks = withUsage.slice(0, -1).map((text) => JSON.parse(text));
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 } });
    for (const chunk of chunks.slice(0, -1)) {
      expect(chunk.usage).toBeNull();
      expect(chunk.choices).toHaveLength(1);
    }
    const without = await rawStream(server, { model, messages: user('a b c') });
    for (const text of without.slice(0, -1)) {
      expect(JSON.parse(text)).not.toHaveProperty('usage');
      expect(JSON.parse(text).choices).toHaveLength(1);
    }
  });

  test('[serving V6] [store K98] stop strings, one or four, also split across tokens, end the text and are never sent', async () => {
    const prompt = 'alpha beta gamma delta';
    const cases: { stop: string | string[]; text: string; stopString: string }[] = [
      { stop: ' gamma', text: 'echo: alpha beta', stopString: ' gamma' },
      { stop: ['nowhere', 'delta', 'gam', 'zzz'], text: 'echo: alpha beta ', stopString: 'gam' },
      // From the middle of one token to the middle of the next one.
      { stop: ['ta ga'], text: 'echo: alpha be', stopString: 'ta ga' },
    ];
    for (const { stop, text, stopString } of cases) {
      const answer = await server.openai.chat.completions.create({ model, messages: user(prompt), stop });
      expect(answer.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: text } });
      expect(chatReply.parse(answer).hearth?.stop_string).toBe(stopString);
      const chunks = (await rawStream(server, { model, messages: user(prompt), stop })).slice(0, -1).map((data) => JSON.parse(data));
      expect(chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join('')).toBe(text);
    }
  });

  test('[serving V12] [store K98] max_tokens and max_completion_tokens both cut the answer with finish_reason length; the second one wins', async () => {
    const messages = user('a b c d e f');
    for (const limit of [{ max_tokens: 3 }, { max_completion_tokens: 3 }, { max_tokens: 5, max_completion_tokens: 3 }]) {
      const answer = await server.openai.chat.completions.create({ model, messages, ...limit });
      expect(answer.choices[0]).toMatchObject({ finish_reason: 'length', message: { content: 'echo: a b' } });
      expect(answer.usage?.completion_tokens).toBe(3);
    }
    // Larger than the room: clipped, never refused.
    const answer = await server.openai.chat.completions.create({ model, messages, max_tokens: 10_000_000 });
    expect(answer.choices[0]?.finish_reason).toBe('stop');
  });

  test('[serving V13] a prompt over the context is 400 context_length_exceeded before any token, in both modes', async () => {
    const messages = user('word '.repeat(300));
    for (const stream of [false, true]) {
      const response = await post(server, { model, messages, stream });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code: 'context_length_exceeded', type: 'invalid_request_error' } });
    }
  });

  test('[serving V15] unknown fields are ignored; developer role, null content and part arrays are taken', async () => {
    const answer = await server.openai.chat.completions.create({
      model,
      messages: [
        { role: 'developer', content: 'be brief' },
        { role: 'user', content: 'first' },
        { role: 'assistant', content: null },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'second ' },
            { type: 'text', text: 'third' },
          ],
        },
      ],
      tools: [],
      stop: [],
      seed: null,
      ...{ no_such_field: { deep: [1, 2] }, user: 'me', metadata: { a: 'b' }, store: true },
    });
    expect(answer.choices[0]?.message.content).toBe('echo: second third');
  });

  test('[serving V9] n=3 yields three indexed choices, in the JSON answer and in the stream', async () => {
    const answer = await server.openai.chat.completions.create({ model, messages: user('x y'), n: 3 });
    expect(answer.choices.map(({ index, message }) => [index, message.content])).toEqual([0, 1, 2].map((index) => [index, 'echo: x y']));
    const chunks = (await rawStream(server, { model, messages: user('x y'), n: 3 })).slice(0, -1).map((data) => JSON.parse(data));
    for (const index of [0, 1, 2]) {
      const own = chunks.filter((chunk) => chunk.choices[0].index === index);
      expect(own.filter((chunk) => chunk.choices[0].delta.role)).toHaveLength(1);
      expect(own.filter((chunk) => chunk.choices[0].finish_reason)).toHaveLength(1);
      expect(own.map((chunk) => chunk.choices[0].delta.content ?? '').join('')).toBe('echo: x y');
    }
  });

  test('fields that the engine cannot honour are 400 and named', async () => {
    const refused: [object, string, string][] = [
      [{ tools: [{ type: 'function', function: { name: 'f' } }] }, 'unsupported_parameter', 'tools'],
      [{ response_format: { type: 'json_schema', json_schema: { name: 'x', schema: {} } } }, 'unsupported_parameter', 'response_format'],
      [{ logprobs: true }, 'unsupported_parameter', 'logprobs'],
      [{ functions: [] }, 'unsupported_parameter', 'functions'],
      [{ n: 5 }, 'invalid_value', 'n'],
      [{ logit_bias: { '5000': 1 } }, 'invalid_value', 'logit_bias'],
      [{ logit_bias: { '1': 101 } }, 'invalid_value', 'logit_bias.1'],
      [{ stop: ['a', ''] }, 'invalid_value', 'stop'],
    ];
    for (const [fields, code, param] of refused) {
      const response = await post(server, { model, messages: user('hi'), ...fields });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code, param, retryable: false } });
    }
  });

  test('[store K100] media for a text model are 400 capability_mismatch naming the part, never left out in silence', async () => {
    const url = 'data:image/png;base64,iVBORw0KGgo=';
    for (const part of [
      { type: 'image_url', image_url: { url } },
      { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } },
      { type: 'audio_url', audio_url: { url } },
      { type: 'video_url', video_url: { url } },
    ]) {
      for (const stream of [false, true]) {
        const messages = [...user('first'), { role: 'user', content: [{ type: 'text', text: 'what is this?' }, part] }];
        const response = await post(server, { model, messages, stream });
        expect(response.status).toBe(400);
        expect(await response.json()).toMatchObject({ error: { code: 'capability_mismatch', param: 'messages.1.content.1' } });
      }
    }
  });

  test('[stack S76] an unknown model, or a path, is 404 in the OpenAI shape', async () => {
    const failure = await server.openai.chat.completions.create({ model: 'nobody/nothing', messages: user('x') }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(OpenAI.NotFoundError);
    expect(failure).toMatchObject({ code: 'model_not_found', type: 'invalid_request_error' });
    for (const path of ['/etc/passwd', './model', '../up']) {
      expect((await post(server, { model: path, messages: user('x') })).status).toBe(404);
    }
  });
});

describe('requests of one model', () => {
  test('run side by side in one child, and none is starved', async () => {
    await using server = await startHttp({ parallel: 4, tokenMs: 5 });
    const prompts = Array.from({ length: 12 }, (_, index) => `canary${index} `.repeat(6).trim());
    const answers = await Promise.all(prompts.map((prompt) => server.openai.chat.completions.create({ model, messages: user(prompt) })));
    expect(answers.map((answer) => answer.choices[0]?.message.content)).toEqual(prompts.map((prompt) => `echo: ${prompt}`));
    const [resident] = server.gateway.snapshot().models;
    expect(resident).toMatchObject({ state: 'ready', inFlight: 0, waiting: 0 });
    const stats = await server.gateway.stats(await server.gateway.resolve(model, AbortSignal.timeout(1000)));
    expect(stats?.batchSizes[4]).toBeGreaterThan(0);
  });
});
