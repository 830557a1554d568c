import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import type { ModelFacts } from '../../core/index.ts';
import { createEmberEngine } from './ember-engine.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const engine = createEmberEngine({ convertedDirectory: join(home.path, 'converted') });

/** Measured ÷ estimated, all of it host memory: a CPU engine has no other. */
async function ratios(facts: ModelFacts, options: { readonly threads: number }) {
  await using running = await startEngine(engine, facts, options);
  const { weightsBytes, kvBytes, computeBytes, processBytes } = running.report.measured;
  const estimate = engine.estimate(facts, options);
  const total = estimate.weightsBytes + estimate.kvPoolBytes + estimate.computeBytes + estimate.processBytes;
  return {
    cache: kvBytes / estimate.kvPoolBytes,
    compute: computeBytes / estimate.computeBytes,
    total: (weightsBytes + kvBytes + computeBytes + processBytes) / total,
    weights: weightsBytes / estimate.weightsBytes,
  };
}

function expectWithin15Percent(found: Readonly<Record<string, number>>): void {
  for (const [part, ratio] of Object.entries(found)) expect([part, ratio > 0.85 && ratio < 1.15, ratio]).toEqual([part, true, ratio]);
}

describe('[engines E40] [security G47] measured memory is within 15 % of the estimate', () => {
  test.each(['llama-q4-g64', 'gemma2-q4-g64', 'qwen3-q8-g32', 'mixtral-q4-g64', 'gemma3-q4-g32', 'gpt-oss-mxfp4', 'deepseek-v3-q4-g32'])(
    '%s on one and two ranks',
    async (name) => {
      const config = name.startsWith('gemma3') ? {} : { max_position_embeddings: 8_192 };
      const { facts } = makeGoldenModel(join(home.path, name), { name, config });
      for (const threads of [1, 2]) {
        // A tiny model's weights are less than the padding of its tensors.
        const { weights: _, ...found } = await ratios(facts, { threads });
        expectWithin15Percent(found);
      }
    },
  );

  const real = process.env['HEARTH_TEST_SMOLLM2_GGUF'];
  test.skipIf(real === undefined)(`SmolLM2-135M ${real === undefined ? '(skipped: HEARTH_TEST_SMOLLM2_GGUF does not name the file)' : ''}`, async () => {
    const file = real!;
    const source: ModelFacts = {
      directory: join(file, '..'),
      framework: 'GGUF',
      architecture: 'llama',
      config: {},
      weightFiles: [file.slice(file.lastIndexOf('/') + 1)],
      weightBytes: 0,
      hasChatTemplate: true,
    };
    const prepared = await engine.prepare(source, () => {}, new AbortController().signal);
    const config = JSON.parse(readFileSync(join(prepared.directory, 'config.json'), 'utf8')) as Record<string, unknown>;
    const weightBytes = readFileSync(join(prepared.directory, 'model.safetensors')).length;
    const facts: ModelFacts = {
      ...source,
      directory: prepared.directory,
      framework: 'MLX',
      architecture: 'llama',
      config,
      weightFiles: ['model.safetensors'],
      weightBytes,
    };
    for (const threads of [1, 2]) expectWithin15Percent(await ratios(facts, { threads }));
  });
});

test('a layer with a window costs its window, not the context', () => {
  // Gemma 3 4B: 34 layers, all but five of which see 1,024 tokens.
  const text = { model_type: 'gemma3_text', hidden_size: 2_560, intermediate_size: 10_240, num_hidden_layers: 34, sliding_window: 1_024 };
  const config = { model_type: 'gemma3', text_config: { ...text, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256 } };
  const facts: ModelFacts = {
    directory: '/none',
    framework: 'MLX',
    architecture: 'gemma3',
    config,
    weightFiles: [],
    weightBytes: 3e9,
    hasChatTemplate: true,
  };
  const layerBytes = 2 * 4 * 256 * 2;
  const pool = (contextTokens: number, parallelSequences: number): number =>
    engine.estimate(facts, { threads: 1, contextTokens, parallelSequences }).kvPoolBytes;
  expect(engine.estimate(facts, { threads: 1 }).kvBytesPerToken).toBe(5 * layerBytes);
  // Where the whole of it would take 4.6 GB.
  expect(32_768 * 34 * layerBytes).toBeGreaterThan(4.5e9);
  expect(pool(32_768, 1)).toBeLessThan(1.1e9);
  expect(pool(32_768, 4)).toBeLessThan(1.5e9);
  expect(pool(65_536, 4) - pool(32_768, 4)).toBe(32_768 * 5 * layerBytes);
});

test('a model whose config gives no graph is estimated by the words that all have', () => {
  const facts: ModelFacts = {
    directory: '/none',
    framework: 'GGUF',
    architecture: 'llama',
    config: {},
    weightFiles: [],
    weightBytes: 1e9,
    hasChatTemplate: false,
  };
  const plain = { hidden_size: 1_024, num_hidden_layers: 10, num_attention_heads: 8, num_key_value_heads: 2, vocab_size: 1_000 };
  const options = { threads: 1, contextTokens: 1_024 };
  expect(engine.estimate({ ...facts, config: plain }, options)).toMatchObject({
    kvBytesPerToken: 2 * 10 * 2 * 128 * 2,
    kvPoolBytes: 1_024 * 2 * 10 * 2 * 128 * 2,
  });
  expect(engine.estimate(facts, options).kvPoolBytes).toBeGreaterThan(0);
  const ratio = (kvType: string): number => engine.estimate({ ...facts, config: plain }, { ...options, kvType }).kvPoolBytes / (1_024 * 2 * 10 * 2 * 128);
  expect([ratio('f32'), ratio('bf16')]).toEqual([4, 2]);
  expect(ratio('int8')).toBeLessThan(1.1);
});
