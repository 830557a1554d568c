import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createEmberEngine } from '../../src/engines/index.ts';
import { createStoreModels } from '../../src/gateway/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { violation } from '../support/json-schema-check.ts';
import { makeTempStore, type TempStore } from '../support/temp-store.ts';
import { installTinyModel, TINY_COMMIT, TINY_MODEL } from '../support/tiny-model.ts';

/** Structured answers over HTTP from random weights, which would never keep to anything by themselves. */
let store: TempStore;
let home: string;
let server: HttpFixture;
const model = TINY_MODEL;
const PLAIN = 'hearth-test/no-tools';
/** The token that opens calls; +100 makes the weights want it everywhere. */
const CALL_MARK = 100;
const TEMPLATE =
  "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}{% for tool_call in m.tool_calls or [] %}<tool_call>{{ tool_call.function.name }}{{ tool_call.function.arguments | tojson }}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n{% if enable_thinking %}<think>\n{% endif %}";

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'hearth-structure-'));
  const engine = createEmberEngine({ convertedDirectory: join(home, 'converted') });
  store = await makeTempStore({ runtimeProbe: (facts) => engine.canRun(facts) });
  await installTinyModel(store.root);
  await installTinyModel(store.root, PLAIN);
  await change(model, 'tokenizer_config.json', (config) => ({ ...config, chat_template: TEMPLATE }));
  for (const name of [model, PLAIN]) await change(name, 'config.json', (config) => ({ ...config, max_position_embeddings: 8_192 }));
  await change(model, 'tokenizer.json', (file) => {
    const parts = file as { added_tokens: object[]; model: { vocab: Record<string, number> } };
    const { [`Ġword${CALL_MARK}`]: _, ...vocab } = parts.model.vocab;
    const mark = { id: CALL_MARK, content: '<tool_call>', single_word: false, lstrip: false, rstrip: false, normalized: false, special: false };
    return { ...file, added_tokens: [...parts.added_tokens, mark], model: { ...parts.model, vocab: { ...vocab, '<tool_call>': CALL_MARK } } };
  });
  server = await startHttp({}, { engines: [engine], store: store.store, models: createStoreModels(store.store), gateway: { contextTokens: 8_192 } });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await store?.[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

async function change(name: string, file: string, edit: (content: Record<string, unknown>) => object): Promise<void> {
  const path = join(store.cacheDirectory, `models--${name.replace('/', '--')}`, 'snapshots', TINY_COMMIT, file);
  await writeFile(path, JSON.stringify(edit(JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>)));
}

const messages = [{ role: 'user' as const, content: 'hi' }];
const schema = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 6 }, n: { type: 'integer', minimum: 1, maximum: 9 } },
  required: ['name', 'n'],
  additionalProperties: false,
};
const format = { type: 'json_schema' as const, json_schema: { name: 'x', schema, strict: true } };
const tool = (name: string) => ({ type: 'function' as const, function: { name, description: 'Looks', parameters: schema } });
const tools = [tool('look'), tool('listen')];
type Chat = Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>;
const ask = (more: Chat & Record<string, unknown>) =>
  server.openai.chat.completions.create({ model, messages, temperature: 1, max_tokens: 600, ...more } as OpenAI.ChatCompletionCreateParamsNonStreaming);
const refusal = async (more: Chat & Record<string, unknown>): Promise<unknown> => {
  const error = await ask(more).then(
    () => null,
    (thrown: unknown) => thrown as { status: number; code: string; param: string | null },
  );
  return error === null ? null : { status: error.status, code: error.code, param: error.param };
};
const callsOf = (answer: OpenAI.ChatCompletion) => (answer.choices[0]!.message.tool_calls ?? []) as OpenAI.ChatCompletionMessageFunctionToolCall[];

describe('formats over HTTP', () => {
  test('[serving V23] a schema is kept in JSON and in streams, which come as the text is generated', async () => {
    const answer = await ask({ response_format: format, seed: 1 });
    expect(violation(schema, JSON.parse(answer.choices[0]!.message.content!))).toBeNull();
    expect(answer.choices[0]!.finish_reason).toBe('stop');
    let text = '';
    let contents = 0;
    let finishes = 0;
    for await (const { choices } of await server.openai.chat.completions.create({
      model,
      messages,
      temperature: 1,
      max_tokens: 600,
      seed: 1,
      stream: true,
      response_format: format,
    })) {
      if (choices[0]?.finish_reason) finishes = contents;
      if (choices[0]?.delta.content) contents++;
      text += choices[0]?.delta.content ?? '';
    }
    expect(JSON.parse(text)).toEqual(JSON.parse(answer.choices[0]!.message.content!));
    expect(finishes).toBeGreaterThan(3);
  });

  test('json_object gives an object, and a grammar its text', async () => {
    for (let seed = 0; seed < 10; seed++) {
      const answer = await ask({ response_format: { type: 'json_object' }, seed });
      if (answer.choices[0]!.finish_reason === 'stop') expect(JSON.parse(answer.choices[0]!.message.content!)).toBeTypeOf('object');
    }
    expect((await ask({ grammar: 'root ::= "a" [0-9]{3}' })).choices[0]!.message.content).toMatch(/^a\d{3}$/);
  });

  test('[security G36] a hostile pattern, a reference in a circle, large schemas and grammars and remote references are refused by their text alone; nothing is fetched', async () => {
    const asked: string[] = [];
    const remote = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.end('{"type":"string"}');
    });
    await new Promise<void>((ready) => remote.listen(0, '127.0.0.1', ready));
    const url = `http://127.0.0.1:${(remote.address() as AddressInfo).port}/s.json`;
    const of = (schema: object): Chat => ({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema: schema as Record<string, unknown> } } });
    const pattern = (source: string): Chat => of({ type: 'string', pattern: source });
    const wrong = { status: 400, code: 'invalid_json_schema', param: 'response_format' };
    for (const reference of [url, 'file:///etc/passwd', 's.json', '//127.0.0.1/s.json'])
      expect(await refusal(of({ $ref: reference })), reference).toEqual(wrong);
    expect(await refusal({ tools: [{ type: 'function', function: { name: 'x', strict: true, parameters: { $ref: url } } }] })).toEqual({
      ...wrong,
      param: 'tools',
    });
    // Without strict the place is left open; nothing is fetched for that either.
    expect((await ask({ tools: [{ type: 'function', function: { name: 'x', parameters: { $ref: url } } }], max_tokens: 2 })).choices).toHaveLength(1);
    // Recursion that leads to a text is taken; in a circle there is none.
    expect(await refusal(of({ $ref: '#' }))).toEqual(wrong);
    expect(await refusal(of({ $defs: { a: { $ref: '#/$defs/b' }, b: { allOf: [{ $ref: '#/$defs/a' }] } }, $ref: '#/$defs/a' }))).toEqual(wrong);
    expect(await refusal(of({ type: 'object', properties: { me: { $ref: '#' } }, required: ['me'] }))).toEqual(wrong);
    expect(await refusal(of({ description: 'x'.repeat(256 * 1024) }))).toEqual(wrong);
    expect(await refusal(of({ description: 'x'.repeat(10 * 1024 * 1024) }))).toMatchObject({ status: 413 });
    let deep: object = { type: 'string' };
    for (let depth = 0; depth < 40; depth += 1) deep = { type: 'array', items: deep };
    expect(await refusal(of(deep))).toEqual(wrong);
    for (const source of [
      '(.{0,400}){0,400}',
      '(a{0,400}){0,400}',
      '(((a*){1,100}){1,100}){1,15}',
      '((){1,10000}){1,10000}',
      '(a)\\1',
      '(?=a)b',
      'a'.repeat(1025),
    ])
      expect((await refusal(pattern(source))) as object, source).toMatchObject({ status: 400 });
    expect(await refusal({ grammar: `root ::= "${'x'.repeat(64 * 1024)}"` })).toMatchObject({ status: 400, code: 'invalid_value', param: 'grammar' });
    const rules = Array.from({ length: 2_049 }, (_, i) => `r${i} ::= "x"`).join('\n');
    expect(await refusal({ grammar: `root ::= r0\n${rules}` })).toMatchObject({ status: 400, code: 'invalid_value', param: 'grammar' });
    // Those that are catastrophic for an engine that tries one way after the other cost this one a walk for each character.
    for (const source of ['^(a+)+$', '^(a|aa)+$', '^(a*)*b$', '^(([a-z])+.)+[A-Z]([a-z])+$']) {
      const answer = await ask({ ...pattern(source), max_tokens: 40 });
      if (answer.choices[0]!.finish_reason === 'stop') expect(JSON.parse(answer.choices[0]!.message.content!)).toMatch(new RegExp(source));
    }
    expect(asked).toEqual([]);
    await new Promise((done) => remote.close(done));
  });

  test('[serving V24] what cannot be enforced is 400 before anything is generated, and a recursive reference works', async () => {
    const bad = (wrong: object): Chat => ({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema: wrong as Record<string, unknown> } } });
    const wrong = { status: 400, code: 'invalid_json_schema', param: 'response_format' };
    expect(await refusal(bad({ type: 'array', uniqueItems: true }))).toEqual(wrong);
    expect(await refusal(bad({ $ref: 'https://example.com/s.json' }))).toEqual(wrong);
    const loose = { type: 'array', items: { type: 'integer', maximum: 9 }, maxItems: 2, uniqueItems: true };
    const tool = (strict?: boolean): Chat => ({
      tools: [
        {
          type: 'function',
          function: { name: 'x', parameters: { type: 'object', properties: { a: loose }, not: {} }, ...(strict === undefined ? {} : { strict }) },
        },
      ],
    });
    expect(await refusal(tool(true))).toEqual({ ...wrong, param: 'tools' });
    // As with the API of the name: a tool that does not say strict takes every schema, and an answer's schema where it says that it is loose.
    for (const strict of [undefined, false]) expect((await ask({ ...tool(strict), max_tokens: 5 })).choices).toHaveLength(1);
    const answered = await ask({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema: loose, strict: false } }, seed: 1, max_tokens: 60 });
    expect(violation({ ...loose, uniqueItems: undefined }, JSON.parse(answered.choices[0]!.message.content!))).toBeNull();
    expect(await refusal({ grammar: 'root ::= x' })).toMatchObject({ status: 400, code: 'invalid_value', param: 'grammar' });
    expect(await refusal({ grammar: 'root ::= "x"', response_format: { type: 'json_object' } })).toMatchObject({ code: 'invalid_value', param: 'grammar' });
    const tree = {
      $defs: { t: { type: 'object', properties: { kids: { type: 'array', items: { $ref: '#/$defs/t' }, maxItems: 1 } }, required: ['kids'] } },
      $ref: '#/$defs/t',
    };
    const answer = await ask({ ...bad(tree), seed: 3 });
    expect(violation(tree, JSON.parse(answer.choices[0]!.message.content!))).toBeNull();
  });
});

describe('tools over HTTP', () => {
  test('[serving V19] none, auto, required and a named tool each do what they say', async () => {
    const none = await ask({ tools, tool_choice: 'none', logit_bias: { [CALL_MARK]: 100 }, max_tokens: 40 });
    expect(callsOf(none)).toEqual([]);
    expect(none.choices[0]!.message.content).not.toContain('<tool_call>');
    const auto = await ask({ tools, logit_bias: { [CALL_MARK]: 100 }, parallel_tool_calls: false, seed: 2, reasoning_effort: 'none' });
    expect(callsOf(auto)).toHaveLength(1);
    expect(violation(schema, JSON.parse(callsOf(auto)[0]!.function.arguments))).toBeNull();
    const free = await ask({ tools, seed: 2, max_tokens: 20 });
    expect(callsOf(free)).toEqual([]);
    expect(free.choices[0]!.message.content!.length).toBeGreaterThan(0);
    for (let seed = 0; seed < 5; seed++) {
      const required = await ask({ tools, reasoning_effort: 'none', tool_choice: 'required', seed, max_tokens: 2_000 });
      expect(callsOf(required).length).toBeGreaterThan(0);
      const named = await ask({ tools, reasoning_effort: 'none', tool_choice: { type: 'function', function: { name: 'listen' } }, seed });
      expect(callsOf(named).map((call) => call.function.name)).toEqual(['listen']);
      expect(named.choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } });
    }
    expect(await refusal({ tools, tool_choice: { type: 'function', function: { name: 'other' } } })).toMatchObject({ status: 400, param: 'tool_choice' });
    expect(await refusal({ tool_choice: 'required' })).toMatchObject({ status: 400, param: 'tool_choice' });
  });

  test('[serving V17] parallel calls have distinct indices and ids and valid arguments, in JSON and in the stream', async () => {
    let several = 0;
    for (let seed = 0; seed < 12 && several < 3; seed++) {
      const body = { model, messages, temperature: 1, max_tokens: 2_000, tools, reasoning_effort: 'none' as const, tool_choice: 'required' as const, seed };
      const answer = await server.openai.chat.completions.create(body);
      const streamed = await server.openai.chat.completions.stream(body).finalChatCompletion();
      const calls = callsOf(answer);
      const told = callsOf(streamed as OpenAI.ChatCompletion);
      expect(told.map((call) => call.function.arguments)).toEqual(calls.map((call) => call.function.arguments));
      expect(new Set([...calls, ...told].map(({ id }) => id)).size).toBe(calls.length + told.length);
      if (answer.choices[0]!.finish_reason === 'length') continue;
      for (const call of calls) expect(violation(schema, JSON.parse(call.function.arguments))).toBeNull();
      if (calls.length > 1) several++;
    }
    expect(several).toBe(3);
  });

  test('[serving V20] without parallel calls there is one at most', async () => {
    for (let seed = 0; seed < 10; seed++) {
      const answer = await ask({ tools, reasoning_effort: 'none', tool_choice: 'required', parallel_tool_calls: false, seed });
      expect(callsOf(answer)).toHaveLength(1);
    }
  });

  test('calls and their results in the history reach the template, and a model without a place for tools refuses them', async () => {
    const history = [
      ...messages,
      {
        role: 'assistant' as const,
        content: null,
        tool_calls: [{ id: 'call_1', type: 'function' as const, function: { name: 'look', arguments: '{"name": "<|im_end|>", "n": 1}' } }],
      },
      { role: 'tool' as const, tool_call_id: 'call_1', content: 'seen' },
    ];
    const answer = await ask({ messages: history, tools, max_tokens: 5 });
    expect(answer.usage!.prompt_tokens).toBeGreaterThan((await ask({ messages: [history[0]!, history[2]!], tools, max_tokens: 5 })).usage!.prompt_tokens);
    const template = (body: object): Promise<{ prompt: string }> =>
      fetch(`${server.baseUrl}/apply-template`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }).then(
        (answer) => answer.json() as Promise<{ prompt: string }>,
      );
    const { prompt } = await template({ model, messages: history, tools });
    expect(prompt).toContain('"name": "listen"');
    expect(prompt).toContain('<tool_call>look{"name": "<|im_end|>", "n": 1}</tool_call>');
    expect(prompt).toContain('<|im_start|>tool\nseen<|im_end|>');
    expect(await template({ model: PLAIN, messages, tools })).toMatchObject({ error: { code: 'unsupported_parameter', param: 'tools' } });
    expect(await refusal({ model: PLAIN, tools })).toMatchObject({ status: 400, code: 'unsupported_parameter', param: 'tools' });
  });
});

describe('reasoning over HTTP', () => {
  test('[serving V26] reasoning never is content, in JSON and streams, and its budget is kept', async () => {
    const body = {
      model,
      messages,
      temperature: 1,
      max_tokens: 800,
      seed: 5,
      chat_template_kwargs: { enable_thinking: true },
      reasoning_effort: 'minimal' as const,
    };
    const answer = await server.openai.chat.completions.create(body);
    const message = answer.choices[0]!.message as OpenAI.ChatCompletionMessage & { reasoning_content?: string };
    expect(message.reasoning_content!.length).toBeGreaterThan(20);
    expect(message.reasoning_content! + message.content).not.toContain('</think>');
    expect(answer.usage!.completion_tokens_details!.reasoning_tokens).toBeLessThanOrEqual(512 + '\n</think>'.length);
    let [content, reasoning] = ['', ''];
    for await (const { choices } of await server.openai.chat.completions.create({ ...body, stream: true })) {
      const delta = choices[0]?.delta as { content?: string | null; reasoning_content?: string };
      content += delta?.content ?? '';
      reasoning += delta?.reasoning_content ?? '';
    }
    expect([content, reasoning]).toEqual([message.content, message.reasoning_content]);
    const both = await server.openai.chat.completions.create({ ...body, response_format: format });
    expect(violation(schema, JSON.parse(both.choices[0]!.message.content!))).toBeNull();
    expect(await refusal({ reasoning_effort: 'huge' as 'low' })).toMatchObject({ status: 400, param: 'reasoning_effort' });
  });
});

describe('log probabilities and bias over HTTP', () => {
  const parts = (list: { token: string; bytes: number[] | null }[]): string[] => [
    list.map(({ token }) => token).join(''),
    Buffer.from(list.flatMap(({ bytes }) => bytes!)).toString(),
  ];

  test('[serving V10] tokens join to the text, with bytes and as many likely ones as asked, in JSON, streams and completions', async () => {
    const short = { model, messages, temperature: 1, max_tokens: 60, seed: 4, logprobs: true, stop: ['e'] };
    const body = { ...short, top_logprobs: 3 };
    const answer = await server.openai.chat.completions.create(body);
    const { content } = answer.choices[0]!.logprobs!;
    const text = answer.choices[0]!.message.content!;
    expect(text.length).toBeGreaterThan(3);
    expect(parts(content!)).toEqual([text, text]);
    for (const { top_logprobs, logprob } of content!) {
      expect(top_logprobs).toHaveLength(3);
      expect(logprob).toBeLessThanOrEqual(top_logprobs[0]!.logprob);
      for (const other of top_logprobs) expect(other.bytes).toBeInstanceOf(Array);
    }
    const streamed: OpenAI.ChatCompletionTokenLogprob[] = [];
    for await (const { choices } of await server.openai.chat.completions.create({ ...body, stream: true })) {
      const list = choices[0]?.logprobs?.content ?? [];
      expect(list.map(({ token }) => token).join('')).toBe(choices[0]?.delta.content ?? '');
      streamed.push(...list);
    }
    expect(streamed).toEqual(content);
    const none = await server.openai.chat.completions.create({ ...short, max_tokens: 3 });
    expect(none.choices[0]!.logprobs!.content!.every(({ top_logprobs }) => top_logprobs.length === 0)).toBe(true);
    const legacy = await server.openai.completions.create({ model, prompt: 'hi', temperature: 1, max_tokens: 12, seed: 2, logprobs: 2 });
    const lists = legacy.choices[0]!.logprobs!;
    expect(lists.tokens!.join('')).toBe(legacy.choices[0]!.text);
    expect(lists.text_offset!.map((at, i) => legacy.choices[0]!.text.slice(at, at + lists.tokens![i]!.length))).toEqual(lists.tokens);
    expect(lists.top_logprobs!.every((top) => Object.keys(top).length === 2)).toBe(true);
    expect(await refusal({ top_logprobs: 2 })).toMatchObject({ status: 400, param: 'top_logprobs' });
    expect(await refusal({ logprobs: true, top_logprobs: 21 })).toMatchObject({ status: 400, param: 'top_logprobs' });
  });

  test('[serving V11] a bias of −100 bans a token, +100 forces it, and anything else is 400', async () => {
    const bias = (value: number) => ({ max_tokens: 30, logit_bias: Object.fromEntries([33, 34, 35].map((id) => [id, value])), seed: 9 });
    const forced = (await ask({ max_tokens: 8, logit_bias: { 33: 100 }, top_p: 0.9 })).choices[0]!.message.content!;
    expect(forced).toMatch(/^(.)\1{7}$/);
    for (const temperature of [0, 1, 2]) {
      const banned = (await ask({ ...bias(-100), temperature })).choices[0]!.message.content!;
      expect(banned).not.toMatch(/[ABC]/);
    }
    for (const logit_bias of [{ 33: 101 }, { 33: -100.5 }, { 128: 1 }, { '-1': 1 }, { x: 1 }, { '1.5': 1 }])
      expect(await refusal({ logit_bias: logit_bias as Record<string, number> }), JSON.stringify(logit_bias)).toMatchObject({
        status: 400,
        param: expect.stringContaining('logit_bias'),
      });
  });
});
