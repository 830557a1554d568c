import { execFile } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
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

    test('the cache of a request grows by the steps of the estimate', async () => {
      const { facts } = makeGoldenModel(join(home.path, 'growing'), { name: 'llama-q4-g64', config: { max_position_embeddings: 2_048 } });
      const { kvBytesPerToken, kvStepTokens } = engine.estimate(facts, { contextTokens: 2_048 });
      const program = `
import sys
from pathlib import Path
from mlx_lm.generate import BatchGenerator
from mlx_lm.utils import load_model
from mlx_lm.models.cache import make_prompt_cache
import mlx.core as mx
model, _ = load_model(Path(sys.argv[1]))
for prompt, total in ((130, 208), (20, 320), (300, 310), (256, 512), (500, 513)):
    cache = make_prompt_cache(model)
    model(mx.array([list(range(200)) * 3])[:, :prompt], cache=cache)
    for _ in range(total - prompt):
        model(mx.array([[7]]), cache=cache)
    mx.eval([each.state for each in cache])
    print(total, sum(each.keys.nbytes + each.values.nbytes for each in cache))
`;
      const { stdout } = await promisify(execFile)(environments!.current()!.python, ['-I', '-c', program, facts.directory]);
      const rows = stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ').map(Number));
      expect(rows).toEqual([208, 320, 310, 512, 513].map((total) => [total, Math.ceil(total / kvStepTokens!) * kvStepTokens! * kvBytesPerToken]));
    }, 60_000);

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
