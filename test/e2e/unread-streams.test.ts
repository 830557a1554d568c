import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endpoints } from '../../src/contract/index.ts';
import { createEmberEngine } from '../../src/engines/index.ts';
import { createStoreModels } from '../../src/gateway/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { makeTempStore, type TempStore } from '../support/temp-store.ts';
import { installTinyModel, TINY_COMMIT, TINY_MODEL } from '../support/tiny-model.ts';

/** Streams whose readers take nothing: the answer waits where it is made (docs/spec/serving.md §6.6), and can be told what to do meanwhile. */
let store: TempStore;
let home: string;
let server: HttpFixture;
const model = TINY_MODEL;
const THINKING = 'hearth-test/tiny-thinker';

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'hearth-unread-'));
  const engine = createEmberEngine({ convertedDirectory: join(home, 'converted') });
  store = await makeTempStore({ runtimeProbe: (facts) => engine.canRun(facts) });
  for (const name of [model, THINKING]) {
    await installTinyModel(store.root, name);
    const snapshot = join(store.cacheDirectory, `models--${name.replace('/', '--')}`, 'snapshots', TINY_COMMIT);
    const config = join(snapshot, 'config.json');
    await writeFile(config, JSON.stringify({ ...JSON.parse(await readFile(config, 'utf8')), max_position_embeddings: 32_768 }));
    if (name !== THINKING) continue;
    const tokenizer = join(snapshot, 'tokenizer_config.json');
    const { chat_template: template, ...rest } = JSON.parse(await readFile(tokenizer, 'utf8')) as { chat_template: string };
    await writeFile(tokenizer, JSON.stringify({ ...rest, chat_template: template.replace('assistant\n', 'assistant\n<think>\n') }));
  }
  server = await startHttp(
    {},
    {
      engines: [engine],
      store: store.store,
      models: createStoreModels(store.store),
      gateway: { contextTokens: 32_768 },
      api: { slowClientTimeoutMs: 600_000 },
    },
  );
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await store?.[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

/** Marks and words of the vocabulary are banned: one token is one character, and no answer ends early. */
const bias = Object.fromEntries(Array.from({ length: 31 }, (_, index) => [String(97 + index), -100]));
const bodyOf = (name: string, maxTokens: number) => ({
  model: name,
  messages: [{ role: 'user' as const, content: 'hello' }],
  temperature: 0,
  max_tokens: maxTokens,
  logit_bias: bias,
});
/** A stream in this process, without a network that takes some of it: nothing is read until somebody reads. */
const unread = async (name: string, maxTokens: number): Promise<Response> =>
  await server.api.request(
    new Request('http://hearth/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...bodyOf(name, maxTokens), stream: true }),
    }),
  );
const chunksOf = (text: string) =>
  text
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)) as { choices: { delta: { content?: string; reasoning_content?: string }; finish_reason: string | null }[] });
const generated = async (name: string): Promise<number> =>
  (await server.gateway.stats(await server.gateway.resolve(name, AbortSignal.timeout(5000))))!.generatedTokens;

describe('a stream that nobody reads', () => {
  test('[serving V45] is no longer generated once its buffers are full, while others are; read later, it is whole', async () => {
    const asked = 6000;
    const whole = await server.openai.chat.completions.create(bodyOf(model, asked));
    const start = await generated(model);
    const stalled = await unread(model, asked);
    const beside = 50;
    let others = 0;
    /** Tokens that the unread stream got while another request was answered from beginning to end. */
    const meanwhile = async (): Promise<number> => {
      const before = await generated(model);
      const answer = await server.openai.chat.completions.create(bodyOf(model, beside));
      expect(answer.usage!.completion_tokens).toBe(beside);
      others += beside;
      return (await generated(model)) - before - beside;
    };
    while ((await meanwhile()) > 0);
    const made = (await generated(model)) - start - others;
    // 256 KiB of events of some 200 bytes, and what the engine may be ahead.
    expect(made).toBeGreaterThan(256);
    expect(made).toBeLessThan(asked / 2);
    expect([await meanwhile(), await meanwhile()]).toEqual([0, 0]);

    const chunks = chunksOf(await stalled.text());
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(whole.choices[0]!.message.content);
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe('length');
    expect(await generated(model)).toBe(start + others + asked);
  }, 120_000);

  test('that goes away unread leaves its place', async () => {
    const response = await unread(model, 6000);
    await response.body!.cancel();
    await expect.poll(async () => (await server.gateway.stats(await server.gateway.resolve(model, AbortSignal.timeout(5000))))!.running).toBe(0);
  });
});

describe('POST requests/{id}/end-reasoning', () => {
  const end = (id: string) => server.client.call(endpoints.endReasoning, { params: { id } });

  test('closes the reasoning part of a request that runs, and its answer follows', async () => {
    const asked = 6000;
    const whole = await server.openai.chat.completions.create(bodyOf(THINKING, asked));
    // Left alone, this model reasons until it has no tokens left.
    expect(whole.choices[0]!.message.content ?? '').toBe('');
    const response = await unread(THINKING, asked);
    const id = response.headers.get('x-request-id')!;
    // It waits for its reader in the middle of its reasoning.
    expect(await end(id)).toEqual({ id, ended: true });
    expect(await end(id)).toEqual({ id, ended: false });
    const chunks = chunksOf(await response.text());
    const told = (key: 'content' | 'reasoning_content') => chunks.map((chunk) => chunk.choices[0]?.delta[key] ?? '').join('');
    const { reasoning_content: alone } = whole.choices[0]!.message as { reasoning_content?: string };
    expect(alone!.startsWith(told('reasoning_content').trimEnd())).toBe(true);
    expect(told('reasoning_content').length).toBeGreaterThan(0);
    expect(told('reasoning_content')).not.toContain('</think>');
    expect(told('content').length).toBeGreaterThan(asked / 2);
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe('length');
  }, 120_000);

  test('of a request that does not reason ends nothing; one that nobody knows is 404', async () => {
    const response = await unread(model, 6000);
    const id = response.headers.get('x-request-id')!;
    expect(await end(id)).toEqual({ id, ended: false });
    await response.body!.cancel();
    await expect(end('req_nobody')).rejects.toMatchObject({ code: 'request_not_found' });
    await expect(server.client.call(endpoints.cancelAnyRequest, { params: { id: 'req_nobody' } })).rejects.toMatchObject({ code: 'request_not_found' });
  });
});
