import { describe, expect, test } from 'vitest';
import { cacheEmber, runStepLoop, type StepLoopRunOptions } from '../../../../test/support/step-loop-run.ts';
import { PAGE_TOKENS, type PageGroup, type StepSequence } from '../../../ember/index.ts';
import { createDraftModel } from './draft-model.ts';
import { createPromptLookup, type Drafter } from './drafts.ts';

/** Room for what `parallel` sequences need at most, as `planPageGroups` gives it, and for `kept` windows of prefixes. */
const windowFor = (window: number, parallel: number, batchTokens: number, kept: number): PageGroup => {
  const behind = Math.ceil((window - 1) / PAGE_TOKENS);
  return { window, pageCount: parallel * (behind + 2) + Math.ceil(batchTokens / PAGE_TOKENS) + kept * (behind + 1) };
};
const text = (length: number, seed = 1): number[] => Array.from({ length }, (_, i) => (i * i * 7 + i * seed) % 97);
/** The answer of a model that forgets nothing. */
async function solo(prompt: number[], maxTokens: number, windows: readonly PageGroup[]): Promise<string> {
  const it = runStepLoop({ pages: 256, windows: windows.map(({ window }) => ({ window, pageCount: 256 })), parallel: 1 });
  const id = it.add(prompt, maxTokens);
  await it.idle;
  return it.textOf(id);
}

describe('layers with a window', () => {
  test('pages that left the window are used again, in steps that are longer than the window too, and the answer is that of a run that frees nothing', async () => {
    const windows = [windowFor(40, 1, 128, 0), windowFor(200, 1, 128, 0)];
    const it = runStepLoop({ pages: 64, windows, parallel: 1, batchTokens: 128 });
    const prompt = text(1_500);
    const id = it.add(prompt, 300);
    await it.idle;
    expect(it.textOf(id)).toBe(await solo(prompt, 300, windows));
    // 1,800 cells went through 8 and 13 pages.
    expect(windows.map(({ pageCount }) => pageCount)).toEqual([8, 13]);
    expect(it.free()).toEqual([64, 8, 13]);
  });

  test('[engines E28] a prefix is taken up where its windows are kept: at the end of a prompt and of an answer, and where prompts parted', async () => {
    const windows = [windowFor(70, 2, 64, 3)];
    const it = runStepLoop({ pages: 128, windows, parallel: 2, batchTokens: 64 });
    const ask = async (prompt: number[], maxTokens = 40) => {
      const id = it.add(prompt, maxTokens, 1, 'key');
      await expect.poll(() => it.doneAt.has(id), { interval: 1 }).toBe(true);
      expect(it.textOf(id)).toBe(await solo(prompt, maxTokens, windows));
      const { cachedTokens } = it.sent.find((message) => message.kind === 'done' && message.sequence === id) as { cachedTokens: number };
      return { cachedTokens, answer: it.textOf(id).trim().split(' ').map(Number) };
    };
    const first = text(500);
    const { answer } = await ask(first);
    // The same prompt, and the next turn of the talk.
    expect((await ask(first)).cachedTokens).toBe(480);
    expect((await ask([...first, ...answer, 1, 2, 3])).cachedTokens).toBe(512);
    // A prompt that parts from it early cannot be taken up where it parts; the third that parts there can.
    const common = text(500).slice(0, 300);
    expect((await ask([...common, ...text(150, 3)])).cachedTokens).toBe(0);
    expect((await ask([...common, ...text(150, 5)])).cachedTokens).toBe(288);
    it.loop.clear();
    expect(it.free()).toEqual([128, windows[0]!.pageCount]);
  });

  test('choices of one request go on from the windows of the first one', async () => {
    const windows = [windowFor(50, 4, 64, 0)];
    const it = runStepLoop({ pages: 128, windows, parallel: 4, batchTokens: 64 });
    const prompt = text(400);
    const id = it.add(prompt, 80, 6);
    await it.idle;
    const expected = await solo(prompt, 80, windows);
    for (let choice = 0; choice < 6; choice++) expect(it.textOf(id, choice)).toBe(expected);
    // Three enter at once with the first; the two that wait for them evaluate for themselves.
    expect(it.loop.counters.promptTokensComputed).toBeLessThanOrEqual(400 + 3 * 16 + 2 * 400);
    expect(it.free()).toEqual([128, windows[0]!.pageCount]);
  });

  test('a draft model with windows reads a long prompt in pages that it uses again, and its guesses are right', async () => {
    const windows = [windowFor(40, 2, 128, 0)];
    const groups = [{ window: 0, pageCount: 128 }, ...windows];
    const own = cacheEmber(groups);
    const drafter = createDraftModel({ ...own, pageGroups: groups }, 128);
    const it = runStepLoop({ pages: 128, windows, parallel: 2, batchTokens: 128, drafter });
    const prompts = [text(700), text(900, 5)];
    const ids = prompts.map((prompt) => it.add(prompt, 250));
    await it.idle;
    for (const [i, id] of ids.entries()) expect(it.textOf(id)).toBe(await solo(prompts[i]!, 250, windows));
    expect(it.loop.counters.acceptedTokens).toBeGreaterThan(100);
    for (const batch of own.batches) checkBatch(batch, groups);
    expect(it.free()).toEqual([128, windows[0]!.pageCount]);
  });

  test('every 2,048 tokens of a long prompt are a place to take up', async () => {
    const windows = [windowFor(40, 1, 256, 4)];
    const it = runStepLoop({ pages: 256, windows, parallel: 1 });
    const long = text(5_000);
    it.add(long, 2, 1, 'key');
    await it.idle;
    const other = it.add([...long.slice(0, 4_500), ...text(100, 11)], 2, 1, 'key');
    await expect.poll(() => it.doneAt.has(other), { interval: 1 }).toBe(true);
    expect(it.sent).toContainEqual(expect.objectContaining({ kind: 'done', sequence: other, cachedTokens: 4_096 }));
    expect(it.textOf(other)).toBe(await solo([...long.slice(0, 4_500), ...text(100, 11)], 2, windows));
  });
});

function randomSource(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A page that a step writes is in the table of one sequence only, and every page that it reads is there. */
function checkBatch(batch: readonly StepSequence[], groups: readonly PageGroup[]): void {
  for (const [g, { window, pageCount }] of groups.entries()) {
    const written = new Set<number>();
    const read: number[] = [];
    for (const { pages, position, tokens } of batch) {
      const table = pages[g]!;
      const firstWritten = Math.floor(position / PAGE_TOKENS);
      const seen = window === 0 ? 0 : Math.max(0, Math.floor((position - window + 1) / PAGE_TOKENS));
      for (let page = seen; page * PAGE_TOKENS < position + tokens.length; page++) {
        expect(table[page]).toBeLessThan(pageCount);
        if (page < firstWritten) read.push(table[page]!);
        else {
          expect(written.has(table[page]!)).toBe(false);
          written.add(table[page]!);
        }
      }
    }
    for (const page of read) expect(written.has(page)).toBe(false);
  }
}

/** Sometimes right, mostly wrong: its tokens are taken back. */
const wild = (random: (below: number) => number): Drafter => ({
  propose: async (wishes) => wishes.map(({ room }) => Array.from({ length: Math.min(room, random(6)) }, () => 100 + random(800))),
  forget: () => {},
});

test.each(Array.from({ length: 24 }, (_, seed) => seed + 1))('no page is in two uses and none is lost, whatever runs (%i)', async (seed) => {
  const random = randomSource(seed);
  const parallel = 1 + random(4);
  const batchTokens = 32 << random(3);
  const windows = [1 + random(30), 31 + random(70), 128].slice(0, 1 + random(3)).map((window) => windowFor(window, parallel, batchTokens, random(3)));
  const options: StepLoopRunOptions = { pages: 24 + random(40), windows, parallel, batchTokens };
  const drafter = [wild(random), createPromptLookup(), null][random(3)]!;
  const it = runStepLoop({ ...options, ...(drafter === null ? {} : { drafter }) });
  const asked: { id: number; prompt: number[]; maxTokens: number; choices: number; cancelled: boolean }[] = [];
  for (let n = 0; n < 14; n++) {
    const stem = text(40 + 60 * random(5), 1 + random(2));
    const prompt = [...stem, ...text(random(90), 3 + random(3)), random(97)];
    const maxTokens = 1 + random(90);
    const choices = random(5) === 0 ? 3 : 1;
    const id = it.add(prompt, maxTokens, choices, [null, 'one', 'two'][random(3)]!);
    const cancelled = random(6) === 0;
    asked.push({ id, prompt, maxTokens, choices, cancelled });
    if (cancelled) setTimeout(() => it.loop.cancel(id), random(4));
    if (random(3) > 0) await new Promise((resolve) => setTimeout(resolve, random(4)));
  }
  await expect.poll(() => it.loop.running + it.loop.waiting, { interval: 2 }).toBe(0);
  const groups = [{ window: 0, pageCount: options.pages }, ...windows];
  for (const batch of it.ember.batches) checkBatch(batch, groups);
  for (const { id, prompt, maxTokens, choices, cancelled } of asked) {
    const expected = await solo(prompt, maxTokens, windows);
    for (let choice = 0; choice < choices; choice++)
      if (cancelled) expect(expected.startsWith(it.textOf(id, choice))).toBe(true);
      else expect(it.textOf(id, choice)).toBe(expected);
  }
  it.loop.clear();
  expect(it.free()).toEqual(groups.map(({ pageCount }) => pageCount));
});
