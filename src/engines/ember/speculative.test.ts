import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { GREEDY, never, type RunningEngine, startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import type { GenerateRequest } from '../../contract/index.ts';
import type { ModelFacts } from '../../core/index.ts';
import { createEmberEngine } from './ember-engine.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
let next = 0;
const place = (): string => join(home.path, `m${next++}`);
const engine = createEmberEngine({ convertedDirectory: join(home.path, 'converted') });
const OPTIONS = { contextTokens: 1_024, activations: 'f32', threads: 1 };
const CONFIG = { max_position_embeddings: 1_024 };

const { facts, golden } = makeGoldenModel(place(), { config: CONFIG });
/** The same words, other numbers: right now and then. */
const near = makeGoldenModel(place(), { config: { ...CONFIG, rms_norm_eps: 0.005 } }).facts;
const view = async (of: ModelFacts): Promise<string> => (await engine.prepare(of, () => {}, never)).directory;
const speculating = [
  ['prompt lookup', async () => ({ promptLookup: true })],
  ['a draft model', async () => ({ draftModel: await view(near) })],
  ['both', async () => ({ promptLookup: true, draftModel: await view(near) })],
] as const;

/** A text that says the same again and again: the prompt, and the bias that keeps the answer in it. */
const refrain = Array.from({ length: 96 }, (_, i) => 60 + (i % 8));
const repetitive: Partial<GenerateRequest> = {
  tokens: refrain,
  maxTokens: 200,
  sampling: { ...GREEDY, logitBias: Object.fromEntries(refrain.slice(0, 2).map((id) => [id, 40])) },
};
const mixed: readonly Partial<GenerateRequest>[] = [
  { tokens: golden.prompt, maxTokens: golden.greedy.length },
  repetitive,
  { prompt: 'abcabcabcabc', maxTokens: 60, stop: ['never there'] },
  { prompt: 'one two one two one two', maxTokens: 80, sampling: { ...GREEDY, repetitionPenalty: 1.3 } },
  { prompt: 'xyzxyz', maxTokens: 50, choices: 3, sampling: { ...GREEDY, temperature: 0.8, seed: 5 } },
  { prompt: 'xyzxyzxyz', maxTokens: 40, cacheSalt: 'one' },
];

/** Answers of a fresh child to each request alone, and how many steps its decoding took. */
async function answers(running: RunningEngine, requests: readonly Partial<GenerateRequest>[], together: boolean) {
  const before = await running.session.stats();
  const all = together ? await Promise.all(requests.map((more) => running.ask(more))) : [];
  if (!together) for (const more of requests) all.push(await running.ask(more));
  const after = await running.session.stats();
  return {
    texts: all.map(({ texts, finish, usage }) => ({ texts, reason: finish?.reason, stopString: finish?.stopString, usage: usage?.completionTokens })),
    tokensPerStep: (after.generatedTokens - before.generatedTokens) / (after.steps - before.steps),
    accepted: after.acceptedTokens - before.acceptedTokens,
  };
}

describe.each(speculating)('guessing by %s', (_, optionsOf) => {
  test('[engines E45] leaves every answer as it is, alone and in a batch, and gives 1.5 tokens a step and more on a repetitive text', async () => {
    await using plain = await startEngine(engine, facts, OPTIONS);
    await using guessing = await startEngine(engine, facts, { ...OPTIONS, ...(await optionsOf()) });
    const expected = await answers(plain, mixed, false);
    const alone = await answers(guessing, mixed, false);
    expect(alone.texts).toEqual(expected.texts);
    expect(alone.accepted).toBeGreaterThan(0);
    expect((await answers(guessing, mixed, true)).texts).toEqual(expected.texts);
    // A stop string that lies within guesses that were right.
    const whole = expected.texts[1]!.texts[0]!;
    const stop = [{ ...repetitive, stop: [whole.slice(20, 23)] }];
    expect((await answers(guessing, stop, false)).texts).toEqual((await answers(plain, stop, false)).texts);

    const once = await answers(plain, [repetitive], false);
    const faster = await answers(guessing, [repetitive], false);
    expect(once.tokensPerStep).toBeLessThanOrEqual(1);
    expect(faster.tokensPerStep / once.tokensPerStep).toBeGreaterThanOrEqual(1.5);
  });
});

describe('a draft model', () => {
  test('counts in the estimate and in what is measured', async () => {
    const draftModel = await view(near);
    await using plain = await startEngine(engine, facts, OPTIONS);
    await using guessing = await startEngine(engine, facts, { ...OPTIONS, draftModel });
    const more = (key: 'weightsBytes' | 'kvBytes') => guessing.report.measured[key] / plain.report.measured[key];
    expect([more('weightsBytes'), more('kvBytes')].map((ratio) => ratio.toFixed(1))).toEqual(['2.0', '2.0']);
    const own = engine.estimate(facts, OPTIONS);
    const both = engine.estimate(facts, { ...OPTIONS, draftModel: 'org/name' }, { draftModel: near });
    expect(both.weightsBytes).toBe(own.weightsBytes + engine.estimate(near, OPTIONS).weightsBytes);
    expect(both.kvPoolBytes).toBe(2 * own.kvPoolBytes);
    expect(both.computeBytes).toBeGreaterThan(own.computeBytes);
    expect(both.processBytes).toBeGreaterThan(own.processBytes);
  });

  test('of another vocabulary is told and not used, and one that was not prepared is refused before a spawn', async () => {
    const other = makeGoldenModel(place(), { name: 'llama-mixed-4-8', config: CONFIG }).facts;
    await using running = await startEngine(engine, facts, { ...OPTIONS, draftModel: await view(other) });
    expect(running.report.warnings).toContainEqual(expect.stringContaining('another vocabulary'));
    const { finish } = await running.ask(repetitive);
    expect([finish?.reason, (await running.session.stats()).draftedTokens]).toEqual(['length', 0]);
    const prepared = await engine.prepare(facts, () => {}, never);
    for (const draftModel of ['/etc', other.directory, `${prepared.directory}/../../..`, `${prepared.directory}/../..`])
      expect(() => engine.processSpec(prepared, { ...OPTIONS, draftModel })).toThrow(expect.objectContaining({ code: 'engine_options_invalid' }));
  });
});
