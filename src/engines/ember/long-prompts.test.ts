import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { GREEDY, startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import { loadTokenizer } from '../../formats/index.ts';
import { createEmberEngine } from './ember-engine.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const engine = createEmberEngine({ convertedDirectory: join(home.path, 'converted') });
const { facts } = makeGoldenModel(join(home.path, 'model'), { config: { max_position_embeddings: 4_096 } });
const OPTIONS = { contextTokens: 4_096, threads: 1 };
const text = 'Grüße, 世界 🌍! '.repeat(2_000);

test('a long prompt is tokenised beside the step loop: health, cancels and streams do not wait for it', async () => {
  await using running = await startEngine(engine, facts, OPTIONS);
  const order: string[] = [];
  const stream = running.ask({ prompt: 'x', maxTokens: 40, sampling: { ...GREEDY, temperature: 1, seed: 2 } }).then((answer) => {
    order.push('stream');
    return answer;
  });
  const tooLong = running.ask({ prompt: text.repeat(20) }).then((answer) => {
    order.push('long');
    return answer;
  });
  const health = running.session.health().then((answer) => {
    order.push('health');
    return answer;
  });
  expect(await health).toEqual({ ok: true });
  expect((await stream).finish).toBeDefined();
  expect((await tooLong).error).toMatchObject({ code: 'context_length_exceeded' });
  expect(order.at(-1)).toBe('long');
});

test('its ids are those of the tokenizer', async () => {
  await using running = await startEngine(engine, facts, OPTIONS);
  const tokenizer = await loadTokenizer(facts.directory);
  const expected = tokenizer.encodeSegments([{ text, special: true }]);
  expect(expected.length).toBeGreaterThan(16_384);
  expect(await running.session.tokenize({ text, addSpecial: false, parseSpecial: true })).toEqual(expected);
  // Counted as it is tokenised, and refused as any other that does not fit.
  expect((await running.ask({ prompt: text })).error).toMatchObject({
    code: 'context_length_exceeded',
    message: expect.stringContaining(`${expected.length}`),
  });
});

test('a cancel while it is tokenised leaves nothing behind', async () => {
  await using running = await startEngine(engine, facts, OPTIONS);
  const abort = new AbortController();
  const answer = running.ask({ prompt: text.repeat(10) }, abort.signal);
  await expect.poll(async () => (await running.session.stats()).waiting, { interval: 1 }).toBe(1);
  abort.abort();
  expect((await answer).error).toMatchObject({ code: 'cancelled' });
  await expect.poll(async () => (await running.session.stats()).waiting, { interval: 5 }).toBe(0);
  // The thread goes on with the next.
  expect((await running.session.tokenize({ text, addSpecial: false, parseSpecial: true })).length).toBeGreaterThan(16_384);
  expect((await running.session.stats()).running).toBe(0);
});
