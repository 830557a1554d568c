import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { GREEDY, type RunningEngine, startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import type { GenerateRequest } from '../../contract/index.ts';
import { createEmberEngine } from './ember-engine.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const engine = createEmberEngine({ convertedDirectory: join(home.path, 'converted') });
const OPTIONS = { contextTokens: 4_096, activations: 'f32', threads: 1, parallelSequences: 16, batchTokens: 64 };
const { facts } = makeGoldenModel(join(home.path, 'model'), { config: { max_position_embeddings: 4_096 } });

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX';
/** Prompts of many lengths, some with a common beginning; some with a bias, a penalty, a stop string or a seed of their own. */
const MIXED: readonly Partial<GenerateRequest>[] = Array.from({ length: 16 }, (_, i) => ({
  prompt: `${'the same beginning '.repeat(i % 3)}${'word '.repeat(i * 3)}${i}`,
  maxTokens: 8 + i,
  ...(i % 4 === 1 ? { sampling: { ...GREEDY, repetitionPenalty: 1.3 } } : {}),
  ...(i % 4 === 2 ? { sampling: { ...GREEDY, logitBias: { [60 + i]: 3 } } } : {}),
  ...(i % 4 === 3 ? { stop: ['zz', 'q'] } : {}),
  ...(i % 5 === 0 ? { cacheSalt: 'common' } : {}),
}));

const textOf = async (running: RunningEngine, request: Partial<GenerateRequest>): Promise<string> => (await running.ask(request)).texts.join('|');

async function solos(running: RunningEngine, requests: readonly Partial<GenerateRequest>[]): Promise<string[]> {
  const texts: string[] = [];
  for (const request of requests) texts.push(await textOf(running, request));
  return texts;
}

describe('many requests at once', () => {
  test('[serving V47] 16 mixed prompts give what each gives alone, and in 10,000 requests no answer holds the canary of another', {
    timeout: 300_000,
  }, async () => {
    await using running = await startEngine(engine, facts, OPTIONS);
    const alone = await solos(running, MIXED);
    expect(await Promise.all(MIXED.map((request) => textOf(running, request)))).toEqual(alone);

    // Each kind of request can only say its own word: it is its prompt, and all other tokens are out of reach.
    const words = await running.session.tokenize({ text: LETTERS, addSpecial: false, parseSpecial: false });
    const canaries = words.map((id, i) => ({
      tokens: new Array<number>(1 + (i % 7)).fill(id),
      maxTokens: 1 + (i % 4),
      sampling: { ...GREEDY, logitBias: { [id]: 100 } },
    }));
    const expected = await solos(running, canaries);
    expect(expected).toEqual(canaries.map(({ maxTokens }, i) => LETTERS[i]!.repeat(maxTokens)));
    const before = (await running.session.stats()).batchSizes;
    let asked = 0;
    const wrong: string[] = [];
    const asker = async (): Promise<void> => {
      while (asked < 10_000) {
        const kind = (asked++ * 17) % 50;
        const text = await textOf(running, canaries[kind]!);
        if (text !== expected[kind]) wrong.push(`${kind}: ${text}`);
      }
    };
    await Promise.all(Array.from({ length: 32 }, asker));
    expect(wrong).toEqual([]);
    const after = (await running.session.stats()).batchSizes;
    expect(after.slice(8).reduce((sum, count, i) => sum + count - (before[i + 8] ?? 0), 0)).toBeGreaterThan(100);
  });

  test('[serving V8] a seed gives its text again at batch 1, and seeded requests run in one batch', async () => {
    await using running = await startEngine(engine, facts, OPTIONS);
    const seeded = Array.from({ length: 6 }, (_, i) => ({ maxTokens: 60, sampling: { ...GREEDY, temperature: 1.1, seed: 1_000 + i } }));
    const alone = await solos(running, seeded);
    expect(await solos(running, seeded)).toEqual(alone);
    expect(new Set(alone).size).toBe(6);
    // On a busy machine an answer may be over before the next request arrives.
    const batched = async () => (await running.session.stats()).batchSizes.slice(2).reduce((sum, count) => sum + count, 0);
    for (let turn = 0; turn < 50 && (await batched()) === 0; turn++) {
      const together = await Promise.all(seeded.map((request) => textOf(running, request)));
      expect(together).toEqual(alone);
    }
    const guide = readFileSync(join(import.meta.dirname, '../../../docs/guide/serving.md'), 'utf8');
    expect(guide).toContain('## What a batch may change');
    expect(await batched()).toBeGreaterThan(0);
  });

  test('[serving V50] a prompt that another tenant left evaluated costs as many tokens as a new one, and says so', async () => {
    await using running = await startEngine(engine, facts, OPTIONS);
    const tokens = Array.from({ length: 700 }, (_, i) => 60 + ((i * 7) % 90));
    const ask = async (cacheSalt: string) => {
      const before = await running.session.stats();
      const answer = await running.ask({ tokens, maxTokens: 4, cacheSalt });
      const after = await running.session.stats();
      return {
        start: answer.events[0],
        // How many there are, and where, goes by the time that pieces take.
        totals: answer.events.filter((event) => event.kind === 'prefill-progress').every(({ totalTokens }) => totalTokens === 700),
        usage: answer.usage,
        computed: after.promptTokensComputed - before.promptTokensComputed,
        cached: after.promptTokensCached - before.promptTokensCached,
      };
    };
    const fresh = await ask('one');
    expect(fresh).toMatchObject({ computed: 700, cached: 0, usage: { cachedTokens: 0 } });
    // Its own tenant has a hit; another sees what the first saw, however warm the cache of the first is.
    expect(await ask('one')).toMatchObject({ computed: 28, cached: 672 });
    for (const other of ['two', 'three', 'ones', 'on', 'one ']) expect(await ask(other)).toEqual(fresh);
    expect(await ask('two')).toMatchObject({ cached: 672 });
  });

  test('[serving V49] a prefix hit leaves 28 of 8,000 tokens to be computed before the first token, with the same output', async () => {
    await using running = await startEngine(engine, makeGoldenModel(join(home.path, 'long'), { config: { max_position_embeddings: 8_192 } }).facts, {
      ...OPTIONS,
      contextTokens: 16_384,
      batchTokens: 256,
    });
    const tokens = Array.from({ length: 8_000 }, (_, i) => 60 + ((i * i) % 89));
    const ask = async () => {
      const before = await running.session.stats();
      const answer = await running.ask({ tokens, maxTokens: 16, cacheSalt: 'one' });
      return { text: answer.text, computed: (await running.session.stats()).promptTokensComputed - before.promptTokensComputed };
    };
    const first = await ask();
    const second = await ask();
    expect(first.computed).toBe(8_000);
    expect(second.computed).toBeLessThanOrEqual(32);
    expect(second.text).toBe(first.text);
  });

  test('[engines E16] the first prefill after a load has the chunk that the measured rate allows, and none is above the largest', async () => {
    await using running = await startEngine(engine, facts, OPTIONS);
    const answer = await running.ask({ tokens: new Array<number>(400).fill(70), maxTokens: 1 });
    const done = answer.events.flatMap((event) => (event.kind === 'prefill-progress' ? [event.doneTokens] : []));
    const chunks = done.map((tokens, i) => tokens - (done[i - 1] ?? 0));
    // Without a measurement it would be 32.
    expect(chunks[0]).toBeGreaterThan(32);
    expect(Math.max(...chunks)).toBeLessThanOrEqual(64);
  });
});
