import { describe, expect, test, vi } from 'vitest';
import { runStepLoop } from '../../../../test/support/step-loop-run.ts';
import { PAGE_TOKENS } from '../../../ember/index.ts';
import { createPrefillRate, planStep } from './plan-step.ts';
import { createEmbedding } from './readings.ts';

async function solo(prompt: number[], maxTokens: number): Promise<string> {
  const it = runStepLoop({ pages: 64 });
  const id = it.add(prompt, maxTokens);
  await it.idle;
  return it.textOf(id);
}

const prompts = [[1, 2, 3], Array.from({ length: 40 }, (_, i) => i), [9], Array.from({ length: 33 }, (_, i) => 90 - i)];

describe('step loop', () => {
  test('[engines E19] four growing sequences in a small pool all finish with the text of their solo runs, and the first is never paused', async () => {
    const it = runStepLoop({ pages: 7 });
    const ids = prompts.map((prompt) => it.add(prompt, 90));
    await it.idle;
    for (const [i, prompt] of prompts.entries()) expect(it.textOf(ids[i]!)).toBe(await solo(prompt, 90));
    // The first got page 0, and keeps it until it is done: its steps never go back. Others are evaluated again, so there was a pause.
    const first = it.ember.batches
      .slice(0, it.doneAt.get(ids[0]!))
      .flat()
      .filter((share) => share.pages[0]![0] === 0);
    expect(first.map((share) => share.position)).toEqual(Array.from({ length: 90 }, (_, i) => (i === 0 ? 0 : i + 2)));
    const evaluated = it.ember.batches.flat().reduce((sum, s) => sum + s.tokens.length, 0);
    expect(evaluated).toBeGreaterThan(prompts.reduce((sum, prompt) => sum + prompt.length + 89, 0));
    expect(it.pool.free).toBe(7);
  });

  test('[engines E18] one request may use the whole pool, and four together never hold more than it has', async () => {
    const alone = runStepLoop({ pages: 4 });
    alone.add([1], 4 * PAGE_TOKENS - 1);
    await alone.idle;
    expect(alone.sent.at(-1)).toMatchObject({ kind: 'done', completionTokens: 4 * PAGE_TOKENS - 1 });
    const four = runStepLoop({ pages: 4 });
    for (let i = 0; i < 4; i++) four.add([i], 60);
    await four.idle;
    for (const batch of four.ember.batches) {
      const held = batch.flatMap((sequence) => [...sequence.pages[0]!]);
      expect(held.length).toBeLessThanOrEqual(4);
      expect(new Set(held).size).toBe(held.length);
    }
  });

  test('sequences enter in order, as many as may run, when their first 1,024 tokens have room', async () => {
    const it = runStepLoop({ pages: 8, parallel: 2 });
    const ids = [it.add([1], 20), it.add([2], 200), it.add([3], 20), it.add([4], 20)];
    await it.idle;
    const started = it.sent.filter((message) => message.kind === 'start').map((message) => message.sequence);
    expect(started).toEqual(ids);
    expect(Math.max(...it.ember.batches.map((batch) => batch.length))).toBe(2);
    // The second needs seven pages; the first holds one.
    const [first, second] = [
      it.sent.findIndex((m) => m.kind === 'done' && m.sequence === ids[0]),
      it.sent.findIndex((m) => m.kind === 'start' && m.sequence === ids[1]),
    ];
    expect(second).toBeLessThan(first);
  });

  test('[serving V45] a request whose reader is behind makes no token until it is read; others go on, and one that needs its room gets it', async () => {
    const it = runStepLoop({ pages: 10, parallel: 5 });
    const made = (id: number): number => it.sent.filter((message) => message.kind === 'step' && message.sequence === id).length;
    const behind = it.add([1, 2, 3], 60, 1, null, 5);
    const two = it.add([4], 40, 2, null, 6);
    const read = it.add([7], 30);
    while (made(read) < 30) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect([made(behind), made(two), made(read)]).toEqual([5, 6, 30]);
    const batches = it.ember.batches.length;
    // Cells of those that wait for their readers are given to one that needs them.
    const large = it.add(new Array(8 * PAGE_TOKENS).fill(5), 40);
    while (made(large) < 40) await new Promise((resolve) => setImmediate(resolve));
    expect([made(behind), made(two)]).toEqual([5, 6]);
    expect(it.ember.batches.length).toBeGreaterThan(batches);
    it.loop.credit(behind, 100);
    it.loop.credit(two, 100);
    await it.idle;
    expect(it.textOf(behind)).toBe(await solo([1, 2, 3], 60));
    for (const choice of [0, 1]) expect(it.textOf(two, choice)).toBe(await solo([4], 40));
    expect(it.pool.free).toBe(10);
  });

  test('a cancel frees a request whose reader is behind, also where nothing else runs', async () => {
    const it = runStepLoop({ pages: 4 });
    const id = it.add([1], 60, 1, null, 1);
    while (it.sent.every((message) => message.kind !== 'step')) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, 5));
    it.loop.cancel(id);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect([it.loop.running, it.loop.waiting, it.pool.free]).toEqual([0, 0, 4]);
  });

  test('a request that does not fit beside the others waits until one ends', async () => {
    const it = runStepLoop({ pages: 4, parallel: 4 });
    it.add([1], 40);
    const waiting = it.add(new Array(100).fill(2), 20);
    await it.idle;
    const done = it.sent.findIndex((message) => message.kind === 'done');
    const start = it.sent.findIndex((message) => message.kind === 'start' && message.sequence === waiting);
    expect(start).toBeGreaterThan(done);
  });

  test('[engines E17] a cancel in the queue, in prefill and in decode frees the sequence after the step that runs', async () => {
    let release = (): void => {};
    const gate = () => new Promise<void>((resolve) => (release = resolve));
    const it = runStepLoop({ pages: 16, parallel: 1, batchTokens: 64, gate });
    const step = async (): Promise<void> => {
      release();
      await new Promise((resolve) => setTimeout(resolve, 10));
    };
    // Queue.
    const running = it.add(new Array(200).fill(1), 100);
    const queued = it.add([2], 5);
    expect([it.loop.running, it.loop.waiting]).toEqual([1, 1]);
    it.loop.cancel(queued);
    expect(it.loop.waiting).toBe(0);
    // Prefill: the prompt needs several steps.
    await step();
    expect(it.sent.at(-1)).toMatchObject({ kind: 'prefill-progress', totalTokens: 200 });
    it.loop.cancel(running);
    await step();
    expect([it.loop.running, it.pool.free]).toEqual([0, 16]);
    // Decode.
    const decoding = it.add([3], 50);
    await step();
    await step();
    expect(it.textOf(decoding)).not.toBe('');
    it.loop.cancel(decoding);
    await step();
    expect([it.loop.running, it.pool.free]).toEqual([0, 16]);
    expect(it.sent.filter((message) => message.kind === 'done')).toEqual([]);
    // And the loop goes on with the next.
    const after = it.add([4], 1);
    await step();
    expect(it.textOf(after)).not.toBe('');
  });

  test('choices of one request evaluate their common prompt once, in shared pages, and end like any answer', async () => {
    const prompt = Array.from({ length: 100 }, (_, i) => i);
    for (const pages of [64, 8]) {
      const it = runStepLoop({ pages, parallel: 4 });
      const id = it.add(prompt, 60, 4);
      const other = it.add([7], 10);
      await it.idle;
      const expected = await solo(prompt, 60);
      for (let choice = 0; choice < 4; choice++) expect(it.textOf(id, choice)).toBe(expected);
      expect(it.textOf(other)).toBe(await solo([7], 10));
      expect(it.pool.free).toBe(pages);
      expect(it.sent.filter((message) => message.kind === 'done')).toContainEqual(
        expect.objectContaining({ sequence: id, promptTokens: 100, completionTokens: 240 }),
      );
      // With room for all, each further choice evaluates only the four tokens after the last full page.
      if (pages === 64) expect(it.loop.counters.promptTokensComputed).toBe(100 + 3 * 4 + 1);
    }
  });

  test('[engines E27] a common prefix is evaluated once, by requests that follow and that run beside, in one copy', async () => {
    const common = Array.from({ length: 600 }, (_, i) => i % 97);
    const it = runStepLoop({ pages: 64 });
    const first = it.add([...common, 1, 2, 3], 40, 1, 'key');
    await it.idle;
    const after = it.loop.counters.promptTokensComputed;
    const second = it.add([...common, 9], 40, 1, 'key');
    const third = it.add([...common, 9, 9], 40, 1, 'key');
    await vi.waitUntil(() => it.doneAt.size === 3);
    // 576 tokens are 18 full pages.
    expect(it.loop.counters.promptTokensComputed - after).toBe(25 + 26);
    expect(it.sent).toContainEqual({ kind: 'start', sequence: second, promptTokens: 601, cachedTokens: 576 });
    expect(it.sent).toContainEqual(expect.objectContaining({ kind: 'done', sequence: third, cachedTokens: 576 }));
    expect(it.textOf(first)).toBe(await solo([...common, 1, 2, 3], 40));
    expect(it.textOf(second)).toBe(await solo([...common, 9], 40));
    expect(it.textOf(third)).toBe(await solo([...common, 9, 9], 40));
    const both = it.ember.batches.find((batch) => batch.length === 2)!;
    expect([...both[0]!.pages[0]!.slice(0, 18)]).toEqual([...both[1]!.pages[0]!.slice(0, 18)]);
    it.loop.clear();
    expect(it.pool.free).toBe(64);
  });

  test('two that evaluate the same prefix at the same time keep one copy of it', async () => {
    const prompt = Array.from({ length: 70 }, (_, i) => i);
    const it = runStepLoop({ pages: 64 });
    const ids = [it.add(prompt, 200, 1, 'key'), it.add(prompt, 200, 1, 'key')];
    await it.idle;
    for (const id of ids) expect(it.textOf(id)).toBe(await solo(prompt, 200));
    // 269 cells were evaluated of each: eight full pages.
    expect(it.pool.free).toBe(64 - 8);
  });

  test('prefixes of another salt are never used, and none are kept without one', async () => {
    const prompt = Array.from({ length: 100 }, (_, i) => i);
    const it = runStepLoop({ pages: 64 });
    for (const salt of ['one', 'two', null, null]) it.add(prompt, 3, 1, salt);
    await it.idle;
    expect(it.loop.counters.promptTokensComputed).toBe(400);
    expect(it.loop.counters.promptTokensCached).toBe(0);
    expect(it.pool.free).toBe(64 - 6);
  });

  test('prefixes make room for those that run, least recently used first, and no answer changes', async () => {
    const it = runStepLoop({ pages: 12, parallel: 2 });
    const prompt = (start: number) => Array.from({ length: 80 }, (_, i) => start + i);
    const starts = [0, 100, 200, 0, 300, 400, 0, 100];
    const ids = starts.map((start) => it.add(prompt(start), 100, 1, 'key'));
    await it.idle;
    for (const [i, id] of ids.entries()) expect(it.textOf(id)).toBe(await solo(prompt(starts[i]!), 100));
    expect(it.loop.counters.promptTokensCached).toBeGreaterThan(0);
    it.loop.clear();
    expect(it.pool.free).toBe(12);
  });

  test('readings share steps with answers, behind them, and get their own rows', async () => {
    const it = runStepLoop({ pages: 64, batchTokens: 64 });
    const inputs = [[5], [200, 7], Array.from({ length: 90 }, (_, i) => i % 7), [3, 4]];
    const vectors: Promise<Float32Array>[] = [];
    const answer = it.add([1], 12);
    const readings = inputs.map((tokens, i) => {
      const { promise, resolve } = Promise.withResolvers<Float32Array>();
      vectors.push(promise);
      const request = {
        id: 100 + i,
        promptTokens: tokens.length,
        salt: null,
        cachedTokens: 0,
        openChoices: 1,
        completionTokens: 0,
        reasoningTokens: 0,
        started: true,
        cancelled: false,
        adapter: null,
      };
      return createEmbedding({ request, tokens, pooling: i === 1 ? 'last' : 'mean', width: 2, whole: false, done: resolve });
    });
    it.loop.add(readings.map((reading) => ({ ...reading, take: (rows, position) => reading.take(twice(rows), position) })));
    const other = it.add([9, 9], 12);
    const sums = (await Promise.all(vectors)).map((vector) => vector[0]!);
    await it.idle;
    // Two equal values of length 1.
    for (const value of sums) expect(value).toBeCloseTo(Math.SQRT1_2, 5);
    expect(it.textOf(answer)).toBe(await solo([1], 12));
    expect(it.textOf(other)).toBe(await solo([9, 9], 12));
    const mixed = it.ember.batches.filter((batch) => new Set(batch.map((sequence) => sequence.output === 'hidden')).size === 2);
    expect(mixed.length).toBeGreaterThan(0);
    for (const batch of mixed)
      expect(batch.map((s) => s.output === 'hidden')).toEqual(batch.map((s) => s.output === 'hidden').sort((a, b) => Number(a) - Number(b)));
    expect(it.pool.free).toBe(64);
    expect(it.sent.filter((message) => 'sequence' in message && (message.sequence ?? 0) >= 100)).toEqual([]);
  });

  test('a long prompt is prefilled in chunks while another sequence decodes in every step', async () => {
    const it = runStepLoop({ pages: 32, batchTokens: 64 });
    const short = it.add([1], 12);
    const long = it.add(new Array(300).fill(5), 3);
    await it.idle;
    const withPrefill = it.ember.batches.filter((batch) => batch.some((sequence) => sequence.tokens.length > 1 && sequence.position > 0));
    expect(withPrefill.length).toBeGreaterThan(2);
    expect(withPrefill.some((batch) => batch.length === 2)).toBe(true);
    for (const batch of it.ember.batches) expect(batch.reduce((sum, sequence) => sum + sequence.tokens.length, 0)).toBeLessThanOrEqual(64);
    expect(it.textOf(short)).toBe(await solo([1], 12));
    expect(it.textOf(long)).toBe(await solo(new Array(300).fill(5), 3));
  });
});

const twice = (values: Float32Array): Float32Array => Float32Array.from([...values].flatMap((value) => [value, value]));

describe('planning a step', () => {
  test('decoding sequences come first, the rest is filled with prefill in queue order', () => {
    expect(planStep([{ remaining: 500 }, { remaining: 1 }, { remaining: 30 }, { remaining: 1 }], { batchTokens: 256, prefillChunk: 100 })).toEqual([
      100, 1, 0, 1,
    ]);
    expect(planStep([{ remaining: 20 }, { remaining: 1 }, { remaining: 300 }], { batchTokens: 64, prefillChunk: 256 })).toEqual([20, 1, 43]);
    expect(planStep([{ remaining: 1 }], { batchTokens: 256, prefillChunk: 32 })).toEqual([1]);
  });

  test('what must be evaluated whole is, one at a time when it is longer than a chunk, and never in part', () => {
    const whole = (remaining: number) => ({ remaining, whole: true });
    const limits = { batchTokens: 256, prefillChunk: 32 };
    expect(planStep([whole(20), whole(10), whole(5)], limits)).toEqual([20, 10, 0]);
    expect(planStep([whole(200), whole(100), whole(30)], limits)).toEqual([200, 0, 0]);
    expect(planStep([{ remaining: 1 }, whole(255)], limits)).toEqual([1, 255]);
    expect(planStep([{ remaining: 40 }, whole(200)], limits)).toEqual([32, 0]);
  });

  test('[engines E16] the chunk follows the measured rate within its limits, from the first measurement on', () => {
    const rate = createPrefillRate(256);
    expect([rate.chunk(true), rate.chunk(false)]).toEqual([8, 32]);
    rate.observe(32, 100);
    expect([rate.chunk(true), rate.chunk(false)]).toEqual([80, 160]);
    rate.observe(160, 10_000);
    expect(rate.chunk(false)).toBeLessThan(160);
    for (let i = 0; i < 20; i++) rate.observe(160, 100_000);
    expect([rate.chunk(true), rate.chunk(false)]).toEqual([8, 32]);
    for (let i = 0; i < 20; i++) rate.observe(256, 10);
    expect([rate.chunk(true), rate.chunk(false)]).toEqual([256, 256]);
    rate.observe(2, 10_000);
    expect(rate.chunk(false)).toBe(256);
  });

  test('[serving V51] where a step of 8 tokens takes under 250 ms, no step with a prefill takes over 500 ms, at any rate that falls by no more than half', () => {
    let state = 7;
    const random = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    for (let machine = 0; machine < 300; machine++) {
      // Tokens per ms when nothing disturbs; each step has between half of it and all of it, and reading the weights takes a while.
      const nominal = 0.07 * 60 ** random();
      const floorMs = random() * 200;
      const rate = createPrefillRate(256);
      for (let step = 0; step < 60; step++) {
        const decodes = random() < 0.7;
        const tokens = rate.chunk(decodes);
        const tookMs = Math.max(floorMs, tokens / (nominal * (0.5 + random() / 2)));
        if (decodes) expect(tookMs).toBeLessThanOrEqual(500);
        // A cancel in prefill is seen within 1 s.
        else expect(tookMs).toBeLessThanOrEqual(1_000);
        rate.observe(tokens, tookMs);
      }
    }
  });
});
