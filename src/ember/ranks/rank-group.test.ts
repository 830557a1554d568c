import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../formats/index.ts';
import type { Kernels } from '../kernel-interface.ts';
import { planLoad } from '../load/plan-load.ts';
import type { RankPlan } from '../load/rank-plan.ts';
import { kernelModule, loadKernels } from '../load-kernels.ts';
import { createExchangeBuffers, WORD } from './exchange.ts';
import { startRanks } from './rank-group.ts';
import { maskWords, RESULT, SCORE, stepWords } from './step-words.ts';
import { writeStep } from './write-step.ts';

const DIRECTORY = join(import.meta.dirname, '../../../test/reference/goldens/llama-q4-g64');
const batchTokens = 8;

/** Starts two ranks of a tiny model with the plan of rank 1 changed; tells the words by which they are commanded. */
async function start(change: (plan: RankPlan) => RankPlan, onControl: (words: Int32Array) => void = () => {}) {
  await using checkpoint = await openCheckpoint(DIRECTORY);
  const sizes: Pick<Kernels, 'preparedBytes' | 'attendScratchBytes' | 'pageBytes'> = loadKernels(
    new WebAssembly.Memory({ initial: 1, maximum: 65_536, shared: true }),
  );
  const plan = planLoad(checkpoint, { ranks: 2, activations: 'mixed', contextTokens: 32, batchTokens }, { memoryBase: 65_536, sizes });
  const { hidden, vocabulary } = plan.graph;
  const exchange = createExchangeBuffers({
    ranks: 2,
    sumFloats: batchTokens * hidden,
    stepWords: stepWords(batchTokens, plan.pageGroups),
    resultWords: batchTokens * RESULT.words,
    scoreWords: batchTokens * SCORE.words,
    maskWords: maskWords(vocabulary),
  });
  const sequence = { pages: [Uint32Array.of(0)], position: 0, tokens: [1], output: 'last', temperature: 0, adjustments: [], candidates: 1 } as const;
  const limits = { batchTokens, pageGroups: plan.pageGroups, vocabulary, pairs: false, hasAdapter: () => false, states: null };
  writeStep([sequence], new Int32Array(exchange.step), new Float32Array(exchange.step), new Uint32Array(exchange.masks), limits);
  onControl(new Int32Array(exchange.control));
  return await startRanks({
    starts: plan.ranks.map((rankPlan, rank) => ({
      plan: rank === 1 ? change(rankPlan) : rankPlan,
      model: plan.model,
      ranks: 2,
      batchTokens,
      exchange,
      kernels: kernelModule(),
    })),
    onProgress: () => {},
    signal: undefined,
  });
}

describe('startRanks', () => {
  it('[engines E12] a rank that cannot read its weights fails the load with its own reason', async () => {
    const missing = join(DIRECTORY, 'gone.safetensors');
    await expect(start((plan) => ({ ...plan, reads: plan.reads.map((read) => ({ ...read, file: missing })) }))).rejects.toMatchObject({
      code: 'model_load_failed',
      message: expect.stringContaining(missing),
    });
  });

  it('[engines E12] a rank that gets no memory fails the load with its own reason', async () => {
    await expect(start((plan) => ({ ...plan, memoryBytes: 2 ** 33 }))).rejects.toMatchObject({
      code: 'model_load_failed',
      message: expect.stringMatching(/memory/i),
    });
  });

  it('a rank that fails in a step ends the step for all, and later ones', async () => {
    await using group = await start((plan) => ({ ...plan, buffers: { ...plan.buffers, partial: 2 ** 32 - 65_536 } }));
    await expect(group.step()).rejects.toMatchObject({ code: 'engine_crashed' });
    await expect(group.step()).rejects.toMatchObject({ code: 'engine_crashed' });
    await expect(group.peek(0, 0, 4)).rejects.toMatchObject({ code: 'engine_crashed' });
  });

  it('runs steps one after another and copies memory out', async () => {
    await using group = await start((plan) => plan);
    await group.step();
    await group.step();
    expect(await group.peek(1, 65_536, 12)).toHaveLength(12);
  });

  it('[engines E15] a late notice of an earlier step does not end a step before its ranks have', async () => {
    let control: Int32Array = new Int32Array();
    await using group = await start(
      (plan) => plan,
      (words) => {
        control = words;
      },
    );
    const first = Atomics.load(control, WORD.completed);
    for (let step = first + 1; step <= first + 200; step++) {
      const stepping = group.step();
      Atomics.notify(control, WORD.completed);
      await stepping;
      expect(Atomics.load(control, WORD.completed)).toBe(step);
    }
  });
});
