import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { never, startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import { NO_ENVIRONMENT, testEnvironment } from '../../../test/support/mlx-environment.ts';
import type { ModelFacts } from '../../core/index.ts';
import { createMlxEngine } from '../index.ts';

const environments = testEnvironment();
const onCpu = process.platform === 'linux';
const missing = environments === null ? NO_ENVIRONMENT : onCpu ? null : 'the figures of a GPU are not known here';
const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const engine = createMlxEngine({
  environments: environments ?? { current: () => null, verify: async () => {} },
  convertedDirectory: join(home.path, 'converted'),
  platform: { os: 'linux', arch: process.arch },
});

/** Measured ÷ estimated after a load, when the cache has taken nothing yet; all of it host memory. */
async function ratioOf(facts: ModelFacts): Promise<number> {
  await using running = await startEngine(engine, facts, { contextTokens: 2_048 });
  const { weightsBytes, kvBytes, computeBytes, processBytes } = running.report.measured;
  expect([kvBytes, computeBytes]).toEqual([0, 0]);
  const estimate = engine.estimate(facts, { contextTokens: 2_048 });
  return (weightsBytes + processBytes) / (estimate.weightsBytes + estimate.processBytes);
}

describe.skipIf(missing !== null)(
  `[engines E40] mlx: measured memory is within 15 % of the estimate${missing === null ? '' : ` (skipped: ${missing})`}`,
  () => {
    test.each(['llama-q4-g64', 'qwen3-q8-g32', 'gemma2-bf16'])(
      '%s',
      async (name) => {
        const ratio = await ratioOf(makeGoldenModel(join(home.path, name), { name }).facts);
        expect(ratio).toBeGreaterThan(0.85);
        expect(ratio).toBeLessThan(1.15);
      },
      60_000,
    );

    const real = process.env['HEARTH_TEST_SMOLLM2_GGUF'];
    test.skipIf(real === undefined)(
      `SmolLM2-135M${real === undefined ? ' (skipped: HEARTH_TEST_SMOLLM2_GGUF does not name the file)' : ''}`,
      async () => {
        cpSync(real!, join(home.path, 'source/model.gguf'));
        const source: ModelFacts = {
          directory: join(home.path, 'source'),
          framework: 'GGUF',
          architecture: 'llama',
          config: {},
          weightFiles: ['model.gguf'],
          weightBytes: 0,
          hasChatTemplate: true,
        };
        const { facts } = await engine.prepare(source, () => {}, never);
        const ratio = await ratioOf(facts);
        expect(ratio).toBeGreaterThan(0.85);
        expect(ratio).toBeLessThan(1.15);
      },
      60_000,
    );
  },
);
