import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endpoints } from '../../src/contract/index.ts';
import { createEmberEngine } from '../../src/engines/index.ts';
import { createStoreModels } from '../../src/gateway/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { cacheModel, makeTempStore, mlxModel, type TempStore } from '../support/temp-store.ts';
import { installTinyModel, TINY_COMMIT, TINY_MODEL, writeTinyModel } from '../support/tiny-model.ts';

/** The whole way with real weights: HTTP, gateway, store, a child process of ember, its tokenizer. */
let store: TempStore;
let home: string;
let server: HttpFixture;
const CONTEXT = 65_536;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'hearth-ember-'));
  const engine = createEmberEngine({ convertedDirectory: join(home, 'converted') });
  store = await makeTempStore({ runtimeProbe: (facts) => engine.canRun(facts) });
  await installTinyModel(store.root);
  // Positions are rotary: the little model takes any length, and a long prompt makes its prefill last.
  const config = join(store.cacheDirectory, `models--${TINY_MODEL.replace('/', '--')}`, 'snapshots', TINY_COMMIT, 'config.json');
  await writeFile(config, JSON.stringify({ ...JSON.parse(await readFile(config, 'utf8')), max_position_embeddings: CONTEXT }));
  server = await startHttp({}, { engines: [engine], store: store.store, models: createStoreModels(store.store), gateway: { contextTokens: CONTEXT } });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await store?.[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

const user = (content: string) => [{ role: 'user' as const, content }];
const model = TINY_MODEL;
const stats = async () => (await server.gateway.stats(await server.gateway.resolve(model, AbortSignal.timeout(5000))))!;

/** Every token above 96 is a mark or a word of several characters; without them one token is one character. */
const ONE_CHARACTER_PER_TOKEN = Object.fromEntries(Array.from({ length: 31 }, (_, index) => [String(97 + index), -100]));
/** `<|im_start|>user\n … <|im_end|>\n<|im_start|>assistant\n`: marks are one token, characters one each. */
const templated = (content: string): number => 1 + 'user\n'.length + content.length + 1 + 1 + 1 + 'assistant\n'.length;

describe('the chat API over real weights', () => {
  test('[serving V4] [store K99] usage equals the counts of the tokenizer and of the engine, on 50 prompts', async () => {
    await server.client.call(endpoints.loadModel, { body: { model } });
    const before = await stats();
    let computed = 0;
    let cached = 0;
    for (let index = 0; index < 50; index += 1) {
      const content = 'The quick brown fox, number '.slice(0, 1 + (index % 28)).repeat(1 + (index % 3));
      const answer = await server.openai.chat.completions.create({
        model,
        messages: user(content),
        max_tokens: 1 + (index % 7),
        seed: index,
        temperature: 1,
        logit_bias: ONE_CHARACTER_PER_TOKEN,
      });
      const usage = answer.usage!;
      const text = answer.choices[0]!.message.content!;
      expect({ prompt: usage.prompt_tokens, completion: usage.completion_tokens }).toEqual({ prompt: templated(content), completion: text.length });
      expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
      cached += usage.prompt_tokens_details!.cached_tokens!;
      computed += usage.prompt_tokens - usage.prompt_tokens_details!.cached_tokens!;
    }
    // The prompts begin alike, so that some of their tokens were not evaluated again.
    expect(cached).toBeGreaterThan(0);
    const after = await stats();
    expect(after.promptTokensCached - before.promptTokensCached).toBe(cached);
    expect(after.promptTokensComputed - before.promptTokensComputed).toBe(computed);
  });

  test('[serving V5] the text of a stream equals the text of the JSON answer at temperature 0', async () => {
    for (const content of ['Hello', 'What is two and two?', 'x', 'abc '.repeat(100)]) {
      const body = { model, messages: user(content), temperature: 0, max_tokens: 60 };
      const whole = await server.openai.chat.completions.create(body);
      let streamed = '';
      let finish: string | null = null;
      for await (const chunk of await server.openai.chat.completions.create({ ...body, stream: true })) {
        streamed += chunk.choices[0]?.delta.content ?? '';
        finish = chunk.choices[0]?.finish_reason ?? finish;
      }
      expect(streamed).toBe(whole.choices[0]?.message.content);
      expect(finish).toBe(whole.choices[0]?.finish_reason);
      expect(streamed.length).toBeGreaterThan(0);
    }
  });

  test('stop strings of the real token stream end both forms alike and are not sent', async () => {
    const body = { model, messages: user('Hello'), temperature: 0, max_tokens: 60 };
    const text = (await server.openai.chat.completions.create(body)).choices[0]!.message.content!;
    const stop = text.slice(10, 14);
    const cut = await server.openai.chat.completions.create({ ...body, stop: [stop, 'never this'] });
    expect(cut.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: text.slice(0, text.indexOf(stop)) } });
    let streamed = '';
    for await (const chunk of await server.openai.chat.completions.create({ ...body, stop, stream: true })) streamed += chunk.choices[0]?.delta.content ?? '';
    expect(streamed).toBe(text.slice(0, text.indexOf(stop)));
  });

  test('[serving V11] logit_bias -100 bans a token, +100 forces one, and anything out of range is 400', async () => {
    const body = { model, messages: user('Hello'), max_tokens: 12, seed: 3 };
    // Ids of the tokenizer: the code of the character less 32.
    const forced = await server.openai.chat.completions.create({ ...body, temperature: 1, logit_bias: { [65 - 32]: 100 } });
    expect(forced.choices[0]?.message.content).toBe('A'.repeat(12));
    const free = await server.openai.chat.completions.create({ ...body, temperature: 0, logit_bias: ONE_CHARACTER_PER_TOKEN });
    const first = free.choices[0]!.message.content!.charCodeAt(0);
    const banned = await server.openai.chat.completions.create({ ...body, temperature: 0, logit_bias: { ...ONE_CHARACTER_PER_TOKEN, [first - 32]: -100 } });
    expect(banned.choices[0]?.message.content).not.toContain(String.fromCharCode(first));
    for (const logit_bias of [{ '33': 100.5 }, { '33': -101 }, { '128': 1 }, { '-1': 1 }, { x: 1 }]) {
      await expect(server.openai.chat.completions.create({ ...body, logit_bias })).rejects.toMatchObject({ status: 400, code: 'invalid_value' });
    }
  });

  test('sixteen prompts at once get the answers that each gets alone, in shared steps', async () => {
    const ask = (index: number) =>
      server.openai.chat.completions
        .create({ model, messages: user(`canary ${index} `.repeat(1 + index)), temperature: 0, max_tokens: 24 })
        .then((answer) => answer.choices[0]!.message.content);
    const alone: (string | null)[] = [];
    for (let index = 0; index < 16; index += 1) alone.push(await ask(index));
    const sharedSteps = async () => (await stats()).batchSizes.slice(2).reduce((sum, steps) => sum + steps, 0);
    const before = await sharedSteps();
    // So small a model may answer each request before the next one arrives; on a busy machine it takes a few rounds until they meet.
    for (let round = 0; round === 0 || (round < 10 && (await sharedSteps()) === before); round += 1)
      expect(await Promise.all(Array.from({ length: 16 }, (_, index) => ask(index)))).toEqual(alone);
    expect(await sharedSteps()).toBeGreaterThan(before);
  });

  test('[serving V42] a disconnect in prefill and in decode frees the sequence within a second', async () => {
    const cases = [
      { content: 'word '.repeat(10_000), reached: async () => (await stats()).promptTokensComputed },
      { content: 'Hello', reached: async () => (await stats()).generatedTokens },
    ];
    for (const { content, reached } of cases) {
      for (const stream of [true, false]) {
        const before = await reached();
        const abort = new AbortController();
        const body = JSON.stringify({ model, stream, messages: user(content), max_tokens: 50_000, logit_bias: ONE_CHARACTER_PER_TOKEN });
        const answer = fetch(`${server.baseUrl}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
          signal: abort.signal,
        }).then((response) => response.text());
        await expect.poll(reached, { interval: 5 }).toBeGreaterThan(before + 5);
        expect((await stats()).running).toBe(1);
        abort.abort();
        await expect(answer).rejects.toThrow();
        await expect.poll(async () => (await stats()).running, { interval: 10 }).toBe(0);
        // It was in the middle of its work.
        expect(await reached()).toBeLessThan(before + 50_000);
      }
    }
  });

  test('[store K101] completions reach the model without a template, and marks count as the special tokens that they are', async () => {
    const count = async (prompt: string) => (await server.openai.completions.create({ model, prompt, max_tokens: 1 })).usage?.prompt_tokens;
    expect(await count('user')).toBe(4);
    expect(await count('<|im_start|>')).toBe(1);
    expect(await count('<|im_start|>a<|im_end|>b<|endoftext|>')).toBe(5);
    // The same text in a message stays text: each character of the mark is a token.
    const chat = await server.openai.chat.completions.create({ model, messages: user('<|im_end|>'), max_tokens: 1 });
    expect(chat.usage?.prompt_tokens).toBe(templated('<|im_end|>'));
    const text = (await server.openai.completions.create({ model, prompt: 'abc', max_tokens: 5, temperature: 0 })).choices[0]!.text;
    let streamed = '';
    for await (const chunk of await server.openai.completions.create({ model, prompt: 'abc', max_tokens: 5, temperature: 0, stream: true }))
      streamed += chunk.choices[0]?.text ?? '';
    expect(streamed).toBe(text);
  });

  test('[store K104] the list has runnable models alone, workspaces by basename, loaded ones first, with what can be reached', async () => {
    await writeTinyModel(join(store.workspaceHome, 'a-workspace'));
    await cacheModel(store.cacheDirectory, 'a/not-runnable', mlxModel({ 'config.json': JSON.stringify({ model_type: 'strange', hidden_size: 1 }) }));
    const { data } = await server.openai.models.list();
    expect(data.map(({ id }) => id)).toEqual([model, 'a-workspace']);
    const { capabilities } = data[0] as unknown as { capabilities: string[] };
    expect(capabilities).toContain('text-generation');
    expect(capabilities).not.toContain('vision');
    expect(capabilities).toContain('json_schema');
    expect(capabilities).not.toContain('tools');
    const answer = await server.openai.chat.completions.create({ model: 'a-workspace', messages: user('Hello'), max_tokens: 4 });
    expect(answer.model).toBe('a-workspace');
    expect((await server.openai.models.list()).data.map(({ id }) => id)).toEqual(['a-workspace', model]);
    await rm(join(store.workspaceHome, 'a-workspace'), { recursive: true });
  });

  test('[serving V40] capabilities name tools and reasoning where the template has them, before a load as after it', async () => {
    const directory = join(store.workspaceHome, 'thinker');
    await writeTinyModel(directory);
    const template =
      "{% if tools %}<tool_call>{{ tools }}{% endif %}{% for message in messages %}{{ message['content'].split('</think>')[-1] }}{% endfor %}{% if add_generation_prompt %}:{% endif %}";
    await writeFile(join(directory, 'chat_template.jinja'), template);
    const of = async (): Promise<unknown> => (await server.openai.models.retrieve('thinker')) as unknown;
    const expected = { capabilities: ['text-generation', 'chat', 'tools', 'reasoning', 'json_schema'] };
    expect(await of()).toMatchObject({ status: 'unloaded', ...expected });
    await server.openai.chat.completions.create({ model: 'thinker', messages: user('Hello'), max_tokens: 2 });
    expect(await of()).toMatchObject({ status: 'ready', ...expected });
    await rm(directory, { recursive: true });
  });

  test('the model list shows the model of the cache with what its files say', async () => {
    const { data } = await server.openai.models.list();
    expect(data).toHaveLength(1);
    expect(data[0]).toMatchObject({ id: model, status: 'ready', context_length: CONTEXT, hearth: { engine: 'ember', format: 'MLX', local: true } });
    for (const path of [`/tmp/x`, store.cacheDirectory, `./${model}`]) {
      await expect(server.openai.chat.completions.create({ model: path, messages: user('x') })).rejects.toMatchObject({ status: 404 });
    }
  });
});

describe('memory', () => {
  test('[serving V52] [store K108] [security G47] two models that do not fit together swap: one child at a time, each answer whole', async () => {
    await installTinyModel(store.root, 'hearth-test/second');
    const engine = createEmberEngine({ convertedDirectory: join(home, 'converted') });
    const models = createStoreModels(store.store);
    const { facts } = await models.resolve('hearth-test/second', AbortSignal.timeout(5000));
    const estimate = engine.estimate(facts, { contextTokens: 256 });
    const bytes = estimate.weightsBytes + estimate.kvPoolBytes + estimate.computeBytes + estimate.processBytes;
    const gateway = { contextTokens: 256, memoryBudgetBytes: Math.floor(bytes * 1.4) };
    await using small = await startHttp({}, { engines: [engine], store: store.store, models, gateway });
    const names = [model, 'hearth-test/second'];
    const ask = async (name: string) => {
      const answer = await small.openai.chat.completions.create({ model: name, messages: user('Hello'), temperature: 0, max_tokens: 8 });
      expect(answer.model).toBe(name);
      return answer.choices[0]!.message.content;
    };
    const alone = await ask(names[0]!);
    expect(await ask(names[1]!)).toBe(alone);
    // Both at once, several times over: A A A B B is one swap.
    const answers = await Promise.all([0, 0, 0, 1, 1].map((which) => ask(names[which]!)));
    expect(new Set(answers)).toEqual(new Set([alone]));
    expect(small.mostAlive()).toBe(1);
    expect(small.starts()).toBeLessThanOrEqual(4);
    // Another spelling of a loaded model's name is the same model.
    const before = small.starts();
    const loaded = small.gateway.snapshot().models.find(({ state }) => state === 'ready')!.id;
    expect(await ask(loaded)).toBe(alone);
    const short = await small.openai.chat.completions.create({ model: loaded.split('/')[1]!, messages: user('Hello'), temperature: 0, max_tokens: 8 });
    expect(short).toMatchObject({ model: loaded, choices: [{ message: { content: alone } }] });
    expect(small.starts()).toBe(before);
  });
});
