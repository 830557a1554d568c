import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { writeFusedModel } from '../../../test/support/fused-model.ts';
import { makeTinyAdapter } from '../../../test/support/tiny-adapter.ts';
import {
  decodeBlocks,
  exportGguf,
  exportGgufLora,
  type GgufFile,
  ggufNumber,
  ggufString,
  type LowRankAdapter,
  openGguf,
  readAdapter,
  readGgufLora,
} from '../../formats/index.ts';
import { loadEmber } from '../load/load-ember.ts';
import type { StepSequence } from '../types.ts';

const REFERENCE = join(import.meta.dirname, '../../../test/reference');
const folder = mkdtempSync(join(tmpdir(), 'hearth-gguf-lora-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Adapters that GGUF can hold: linear modules of llama models, the output head of one whose head is its own. */
const NAMES = ['llama-q4-attention', 'llama-q4-mlp', 'llama-q4-last-layer', 'llama-bf16-head'];

async function golden(name: string) {
  const { base, prompt, span } = JSON.parse(readFileSync(join(REFERENCE, 'adapters', name, 'expected.json'), 'utf8')) as {
    base: string;
    prompt: number[];
    span: number;
  };
  const directory = join(REFERENCE, 'goldens', base);
  const config = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>;
  const adapter = (await readAdapter(join(REFERENCE, 'adapters', name, 'mlx'))) as LowRankAdapter;
  const fused = new Float32Array(Uint8Array.from(readFileSync(join(REFERENCE, 'adapters', name, 'fused-logits.bin'))).buffer);
  return { prompt, span, directory, config, adapter, fused };
}

async function logits(directory: string, prompt: readonly number[], adapter?: LowRankAdapter): Promise<Float32Array> {
  await using ember = await loadEmber({ directory, ranks: 1, activations: 'f32', kvType: 'f32', contextTokens: 64, batchTokens: 64 });
  if (adapter) await ember.loadAdapter(0, adapter);
  const sequence: StepSequence = { pages: [Uint32Array.of(0, 1)], position: 0, tokens: prompt, output: 'all', temperature: 0, adjustments: [], candidates: 0 };
  await ember.step([adapter ? { ...sequence, adapter: { slot: 0, scale: 1 } } : sequence]);
  const rows = new Float32Array(prompt.length * ember.vocabularySize);
  for (let i = 0; i < prompt.length; i++) rows.set(await ember.logits(i), i * ember.vocabularySize);
  return rows;
}

const distance = (x: ArrayLike<number>, y: ArrayLike<number>): number => {
  expect(x.length).toBe(y.length);
  return Array.from(x, (value, i) => Math.abs(value - y[i]!)).reduce((most, value) => Math.max(most, value), 0);
};
const numbers = async (file: GgufFile, name: string): Promise<Float64Array> =>
  Float64Array.from(decodeBlocks(file.header.tensors.get(name)!.type, await file.readTensor(name)));

describe.each(NAMES)('%s as a GGUF LoRA file', (name) => {
  const path = join(folder, `${name}.gguf`);

  it('[formats F18] has the keys, dimensions and alpha of the format', async () => {
    const { adapter, config } = await golden(name);
    await exportGgufLora(path, adapter, { baseConfig: config, name, baseModel: 'org/base' });
    await using file = await openGguf(path);
    const { header } = file;
    const text = (key: string) => ggufString(header, key);
    expect(['general.type', 'general.architecture', 'adapter.type', 'general.name'].map(text)).toEqual(['adapter', 'llama', 'lora', name]);
    expect(text('general.base_model.0.name')).toBe('org/base');
    const modules = [...adapter.modules.values()];
    const { rank, scale } = modules[0]!;
    expect(ggufNumber(header, 'adapter.lora.alpha')).toBe(Math.fround(rank * scale));
    expect(header.tensors.size).toBe(2 * modules.length);
    for (const { path: module, inputs, outputs } of modules) {
      const stem = module
        .replace('model.layers.', 'blk.')
        .replace(/self_attn\.([qkv])_proj/, 'attn_$1')
        .replace('self_attn.o_proj', 'attn_output')
        .replace(/mlp\.(\w+)_proj/, 'ffn_$1')
        .replace('lm_head', 'output');
      expect(header.tensors.get(`${stem}.weight.lora_a`)).toMatchObject({ type: 'F32', dims: [inputs, rank] });
      expect(header.tensors.get(`${stem}.weight.lora_b`)).toMatchObject({ type: 'F32', dims: [rank, outputs] });
    }
  });

  it('[formats F18] read back, it gives the logits of the fused model within 1e-3', async () => {
    const { adapter, config, directory, prompt, span, fused } = await golden(name);
    const read = await readGgufLora(path, config);
    expect([...read.modules.keys()]).toEqual([...adapter.modules.keys()]);
    expect(distance(await logits(directory, prompt, read), fused) / span).toBeLessThan(1e-3);
    const own = join(folder, `${name}-fused`);
    await writeFusedModel(directory, adapter, own);
    expect(distance(await logits(own, prompt), fused) / span).toBeLessThan(1e-3);
  });

  it('[formats F18] added to the tensors of the converted base, with its rows permuted, it gives those of the converted fused model', async () => {
    const { adapter, directory } = await golden(name);
    const [base, fused] = [join(folder, `${name}-base.gguf`), join(folder, `${name}-fused.gguf`)];
    await exportGguf(directory, base);
    const own = join(folder, `${name}-fused`);
    if (!existsSync(own)) await writeFusedModel(directory, adapter, own);
    await exportGguf(own, fused);
    await using lora = await openGguf(path);
    await using before = await openGguf(base);
    await using after = await openGguf(fused);
    const alpha = ggufNumber(lora.header, 'adapter.lora.alpha')!;
    for (const stem of new Set([...lora.header.tensors.keys()].map((tensor) => tensor.replace(/\.lora_[ab]$/, '')))) {
      const [a, b, w, wanted] = await Promise.all([
        numbers(lora, `${stem}.lora_a`),
        numbers(lora, `${stem}.lora_b`),
        numbers(before, stem),
        numbers(after, stem),
      ]);
      const [columns, rank] = lora.header.tensors.get(`${stem}.lora_a`)!.dims as [number, number];
      const sum = w.map((value, at) => {
        const [row, column] = [Math.floor(at / columns), at % columns];
        let change = 0;
        for (let j = 0; j < rank; j++) change += b[row * rank + j]! * a[j * columns + column]!;
        return value + (alpha / rank) * change;
      });
      expect(distance(sum, wanted)).toBeLessThan(1e-5);
    }
  });

  const python = join(import.meta.dirname, '../../../.env-peers/bin/python');
  it.skipIf(!existsSync(python))(
    '[formats F18] llama.cpp gives it the log probabilities of the fused model (skipped without .env-peers)',
    { timeout: 120_000 },
    async () => {
      const { directory, prompt, fused } = await golden(name);
      const base = join(folder, `${name}-base.gguf`);
      if (!existsSync(base)) await exportGguf(directory, base);
      const vocabulary = fused.length / prompt.length;
      const run = (lora: string): Record<string, number> =>
        JSON.parse(
          execFileSync(python, [join(REFERENCE, 'gguf/lora-logprobs.py'), base, lora, String(vocabulary), ...prompt.map(String)], {
            encoding: 'utf8',
            stdio: ['ignore', 'pipe', 'ignore'],
          }),
        );
      const last = fused.subarray(-vocabulary);
      const most = Math.max(...last);
      const total = most + Math.log(last.reduce((sum, value) => sum + Math.exp(value - most), 0));
      const far = (found: Record<string, number>): number =>
        Math.max(...Object.entries(found).map(([id, value]) => Math.abs(value - (last[Number(id)]! - total))));
      const [off, on] = [run('-'), run(path)];
      expect(Object.keys(on).length).toBeGreaterThan(vocabulary / 2);
      // Its activations are 8 bits wide where the weights are quantised, BF16 where they are BF16.
      expect(far(on)).toBeLessThan(name.includes('q4') ? 0.5 : 0.1);
      expect(far(off)).toBeGreaterThan(8 * far(on));
    },
  );
});

describe('what a GGUF LoRA file cannot hold', () => {
  const refusal = (adapter: LowRankAdapter, config: Record<string, unknown>): Promise<string> =>
    exportGgufLora(join(folder, 'refused.gguf'), adapter, { baseConfig: config, name: 'x' }).then(
      () => 'written',
      (error: { code: string }) => error.code,
    );

  it('DoRA, the embedding of a tied base, and modules without a place are refused', async () => {
    const { config, adapter } = await golden('llama-q4-attention');
    for (const name of ['llama-q4-dora', 'llama-q4-embeddings']) {
      const other = await golden(name);
      expect(await refusal(other.adapter, { ...other.config, tie_word_embeddings: true })).toBe('adapter_kind_unsupported');
    }
    const stray = makeTinyAdapter([{ path: 'model.layers.0.mlp.router', kind: 'linear', inputs: 8, outputs: 8, experts: 1 }]);
    expect(await refusal(stray, config)).toBe('adapter_kind_unsupported');
    expect(await refusal(adapter, config)).toBe('written');
  });

  it('an embedding of an untied base, and modules of other ranks and scales, come back with the same product', async () => {
    const { config } = await golden('llama-bf16-head');
    const embedding = { path: 'model.embed_tokens', kind: 'embedding', inputs: 64, outputs: 256, experts: 1 } as const;
    const linear = { path: 'model.layers.0.mlp.up_proj', kind: 'linear', inputs: 64, outputs: 128, experts: 1 } as const;
    const parts = [makeTinyAdapter([embedding], { rank: 4, scale: 2 }), makeTinyAdapter([linear], { rank: 8, scale: 5 })];
    const adapter: LowRankAdapter = { ...parts[0]!, modules: new Map(parts.flatMap((part) => [...part.modules])) };
    const path = join(folder, 'mixed.gguf');
    await exportGgufLora(path, adapter, { baseConfig: { ...config, tie_word_embeddings: false }, name: 'x' });
    const read = await readGgufLora(path, config);
    for (const [module, { a, b, scale }] of adapter.modules) {
      const back = read.modules.get(module)!;
      expect(back.a).toEqual(a);
      expect(
        distance(
          back.b.map((x) => x * back.scale),
          b.map((x) => x * scale),
        ),
      ).toBeLessThan(1e-5);
    }
  });
});
