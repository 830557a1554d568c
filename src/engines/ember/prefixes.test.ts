import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import { createEmberEngine } from './ember-engine.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const engine = createEmberEngine({ convertedDirectory: join(home.path, 'converted') });
const OPTIONS = { contextTokens: 1_024, activations: 'f32', threads: 2, batchTokens: 64 };

/** gemma3: two of three layers see six tokens. lfm2: two of three layers carry a state from token to token, in pages; nemotron_h: one of three, in a slot. */
describe.each([
  ['a sliding-window model', 'gemma3-q4-g32'],
  ['a recurrent model', 'lfm2-q4-g64'],
  ['a model with running states', 'nemotron-h-moe-q4-g32'],
])('%s', (_, name) => {
  test('[engines E28] reuses a prefix, alone and beside the one that made it, with unchanged output', async () => {
    const { facts } = makeGoldenModel(join(home.path, name), { name });
    await using running = await startEngine(engine, facts, OPTIONS);
    const prefix = Array.from({ length: 300 }, (_, i) => 30 + ((i * i) % 61));
    // The ends differ in length, so that a state has to be taken on at places inside a page too.
    const ends = [[70], [70, 71, 72], [90, 61, 62, 63, 64, 65, 66]];
    const ask = async (end: readonly number[], cacheSalt?: string) => {
      const answer = await running.ask({ tokens: [...prefix, ...end], maxTokens: 24, ...(cacheSalt === undefined ? {} : { cacheSalt }) });
      return { text: answer.text, cached: answer.usage?.cachedTokens };
    };
    const texts: string[] = [];
    for (const end of ends) texts.push((await ask(end)).text);
    expect(new Set(texts).size).toBe(ends.length);
    // 288 of the tokens are nine full pages.
    for (const [i, end] of ends.entries()) expect(await ask(end, 'one')).toEqual({ text: texts[i], cached: i === 0 ? 0 : 288 });
    const together = await Promise.all(ends.map((end) => ask(end, 'one')));
    expect(together).toEqual(texts.map((text) => ({ text, cached: 288 })));
    // Of the whole answer, not of its prompt only: the next turn of a talk.
    const tokens = await running.session.tokenize({ text: texts[0]!, addSpecial: false, parseSpecial: false });
    const longer = [...ends[0]!, ...tokens, 80, 81];
    expect((await ask(longer, 'one')).text).toBe((await ask(longer)).text);
  });
});
