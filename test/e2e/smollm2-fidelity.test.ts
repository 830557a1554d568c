import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { argmax, divergence, logSoftmax } from '../../bench/distributions.ts';
import { type ActivationPath, type Ember, loadEmber, PAGE_TOKENS } from '../../src/ember/index.ts';
import { exportGguf, importGguf, loadTokenizer, openCheckpoint } from '../../src/formats/index.ts';

/** SmolLM2-135M-Instruct.Q4_1.gguf; `.ci/run` fetches it and names it here. */
const model = process.env['HEARTH_TEST_SMOLLM2_GGUF'];
const title = model === undefined ? 'real weights (skipped: HEARTH_TEST_SMOLLM2_GGUF does not name the file)' : 'real weights';
const STEP = 125;

interface Recorded {
  readonly tokens: number;
  /** llama.cpp on the same weights and text. */
  readonly llama: { readonly meanKl: number; readonly sameTop: number };
  /** mlx-lm's likeliest tokens in float32. */
  readonly positions: readonly { readonly at: number; readonly ids: readonly number[]; readonly logProbabilities: readonly number[] }[];
}

describe.skipIf(model === undefined)(title, () => {
  it('[engines E43] f32 is mlx-lm’s float32, int16 nearly so, and mixed nearer to it than llama.cpp on the same weights', { timeout: 1_800_000 }, async () => {
    const recorded = JSON.parse(await readFile(join(import.meta.dirname, '../reference/smollm2-fidelity.json'), 'utf8')) as Recorded;
    const text = await readFile(join(import.meta.dirname, '../../bench/fidelity-text.txt'), 'utf8');
    const folder = await mkdtemp(join(tmpdir(), 'hearth-fidelity-'));
    try {
      const directory = join(folder, 'mlx');
      await importGguf(model!, directory);
      const ids = (await loadTokenizer(directory)).encode(text, { special: false }).slice(0, recorded.tokens);
      expect(ids.length).toBe(2_000);
      const load = (activations: ActivationPath): Promise<Ember> =>
        loadEmber({ directory, ranks: 2, activations, contextTokens: ids.length + PAGE_TOKENS, batchTokens: STEP });
      await using f32 = await load('f32');
      await using int16 = await load('int16');
      await using mixed = await load('mixed');
      const pages = f32.pageGroups.map(({ pageCount }) => Uint32Array.from({ length: pageCount }, (_, i) => i));
      const positions = new Map(recorded.positions.map((position) => [position.at, position]));
      const others = [int16, mixed].map((ember) => ({ ember, kl: 0, same: 0 }));
      let farthest = 0;
      for (let position = 0; position < ids.length; position += STEP) {
        const tokens = ids.slice(position, position + STEP);
        const step = { pages, position, tokens, output: 'all', temperature: 1, adjustments: [], candidates: 1 } as const;
        for (const ember of [f32, int16, mixed]) await ember.step([step]);
        for (let i = 0; i < tokens.length; i++) {
          const reference = logSoftmax(await f32.logits(i));
          const top = argmax(reference);
          const known = positions.get(position + i);
          for (const [n, id] of known?.ids.entries() ?? [])
            farthest = Math.max(farthest, Math.exp(reference[id]!) * Math.abs(reference[id]! - known!.logProbabilities[n]!));
          for (const other of others) {
            const row = logSoftmax(await other.ember.logits(i));
            other.kl += divergence(reference, row) / ids.length;
            if (argmax(row) === top) other.same += 1 / ids.length;
          }
        }
      }
      // The BF16 cells of the KV cache are what is left between the two.
      expect(farthest).toBeLessThan(0.02);
      const [exact, usual] = others;
      expect(exact!.kl).toBeLessThan(2e-4);
      expect(exact!.same).toBeGreaterThanOrEqual(0.995);
      expect(usual!.kl).toBeLessThan(Math.min(0.003, recorded.llama.meanKl));
      expect(usual!.same).toBeGreaterThanOrEqual(Math.max(0.97, recorded.llama.sameTop));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('[formats F40] converted to GGUF and back the checkpoint has the same bytes and the same logits, so that E43 holds for it too', {
    timeout: 600_000,
  }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hearth-there-and-back-'));
    try {
      const [first, back] = [join(folder, 'mlx'), join(folder, 'back')];
      await importGguf(model!, first);
      await exportGguf(first, join(folder, 'there.gguf'));
      await importGguf(join(folder, 'there.gguf'), back);
      await using before = await openCheckpoint(first);
      await using after = await openCheckpoint(back);
      expect([...after.tensors.keys()].toSorted()).toEqual([...before.tensors.keys()].toSorted());
      for (const name of before.tensors.keys()) expect([name, Buffer.compare(await after.readTensor(name), await before.readTensor(name))]).toEqual([name, 0]);
      const ids = (await loadTokenizer(back)).encode('Two conversions change no number of it.', { special: false });
      const logits = async (directory: string): Promise<Float32Array> => {
        await using ember = await loadEmber({ directory, ranks: 2, activations: 'mixed', contextTokens: 64, batchTokens: 64 });
        const pages = ember.pageGroups.map(({ pageCount }) => Uint32Array.from({ length: pageCount }, (_, i) => i));
        await ember.step([{ pages, position: 0, tokens: ids, output: 'last', temperature: 1, adjustments: [], candidates: 1 }]);
        return await ember.logits(0);
      };
      expect(await logits(back)).toEqual(await logits(first));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
