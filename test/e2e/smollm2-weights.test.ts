import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ActivationPath, loadEmber, PAGE_TOKENS } from '../../src/ember/index.ts';
import { importGguf, loadTokenizer, openCheckpoint } from '../../src/formats/index.ts';

/** SmolLM2-135M-Instruct.Q4_1.gguf, 98 MB; `.ci/run` fetches it and names it here. */
const model = process.env['HEARTH_TEST_SMOLLM2_GGUF'];
const title = model === undefined ? 'real weights (skipped: HEARTH_TEST_SMOLLM2_GGUF does not name the file)' : 'real weights';

interface Golden {
  readonly prompts: readonly { readonly prompt: string; readonly promptIds: readonly number[]; readonly ids: readonly number[] }[];
}

describe.skipIf(model === undefined)(title, () => {
  let folder: string;
  let directory: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hearth-weights-'));
    directory = join(folder, 'mlx');
    await importGguf(model!, directory);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('[formats F42] the real SmolLM2 file becomes a checkpoint that parses strictly', async () => {
    await using checkpoint = await openCheckpoint(directory);
    expect(checkpoint.config['model_type']).toBe('llama');
    expect(checkpoint.quantizationOf('model.layers.0.self_attn.q_proj')).toMatchObject({ mode: 'affine', bits: 4, group: 32 });
  });

  // llama.cpp's own choices were recorded where its top two logits differ by more than 0.5 at each step.
  it.each(['mixed', 'f32'] satisfies ActivationPath[])(
    '[formats F42] its greedy text equals llama.cpp’s for 20 tokens on each recorded prompt, in the %s path',
    async (activations) => {
      const { prompts } = JSON.parse(await readFile(join(import.meta.dirname, '../reference/smollm2-greedy.json'), 'utf8')) as Golden;
      expect(prompts.length).toBeGreaterThanOrEqual(5);
      const tokenizer = await loadTokenizer(directory);
      await using ember = await loadEmber({ directory, ranks: 2, activations, contextTokens: 512, batchTokens: 256 });
      const pages = [Uint32Array.from({ length: 512 / PAGE_TOKENS }, (_, i) => i)];
      for (const { prompt, promptIds, ids } of prompts) {
        expect(tokenizer.encode(prompt, { special: true })).toEqual(promptIds);
        const chosen: number[] = [];
        let tokens = [...promptIds];
        for (let position = 0; chosen.length < 20; ) {
          const [output] = await ember.step([{ pages, position, tokens, output: 'last', temperature: 1, adjustments: [], candidates: 1 }]);
          position += tokens.length;
          tokens = [output!.ids[0]!];
          chosen.push(tokens[0]!);
        }
        expect(chosen).toEqual(ids.slice(0, 20));
      }
    },
  );

  it('the command line answers from it that Paris is the capital of France', async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(import.meta.dirname, '../../bin/hearth.js'), 'run', model!, '--temperature', '0', '--json', 'Name the capital city of France.'],
      { env: { PATH: process.env['PATH'], HEARTH_HOME: join(folder, 'home'), HF_HOME: join(folder, 'hub') } },
    );
    expect(JSON.parse(stdout)).toMatchObject({ status: 'success', data: { finish_reason: 'stop', response: expect.stringContaining('Paris') } });
  });
});
