import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadEmber } from '../load/load-ember.ts';
import type { Ember } from '../types.ts';
import { modelGraph } from './architectures.ts';
import type { Attention } from './model-graph.ts';
import { readRope } from './rope.ts';

const GOLDENS = join(import.meta.dirname, '../../../test/reference/goldens');
const folder = mkdtempSync(join(tmpdir(), 'hearth-variants-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function variant(name: string, change: Record<string, unknown>): string {
  const copy = mkdtempSync(join(folder, 'model-'));
  for (const file of readdirSync(join(GOLDENS, name))) if (/\.(json|safetensors)$/.test(file)) cpSync(join(GOLDENS, name, file), join(copy, file));
  const config = JSON.parse(readFileSync(join(copy, 'config.json'), 'utf8')) as Record<string, unknown>;
  writeFileSync(join(copy, 'config.json'), JSON.stringify({ ...config, ...change }));
  return copy;
}

const load = (directory: string, implementation: 'wasm' | 'reference') =>
  loadEmber({ directory, ranks: 2, activations: 'f32', contextTokens: 96, batchTokens: 64 }, implementation);
const prompt = Array.from({ length: 40 }, (_, i) => (i * 31 + 7) % 128);

async function logitsOf(ember: Ember, tokens: readonly number[]): Promise<Float32Array[]> {
  await ember.step([{ pages: [Uint32Array.of(1, 0)], position: 0, tokens, output: 'all', temperature: 0, adjustments: [], candidates: 1 }]);
  const rows: Float32Array[] = [];
  for (let row = 0; row < tokens.length; row++) rows.push(await ember.logits(row));
  return rows;
}

const distance = (a: Float32Array, b: Float32Array): number => a.reduce((far, logit, id) => Math.max(far, Math.abs(logit - b[id]!)), 0);

describe('graphs without a golden of their own', () => {
  it.each([
    ['neighbours rotated together', 'llama-bf16-tied', { rope_traditional: true }],
    ['three quarters of a head rotated', 'llama-bf16-tied', { partial_rotary_factor: 0.75 }],
    ['a linear rope', 'llama-bf16-tied', { rope_scaling: { type: 'linear', factor: 2 } }],
    ['a window on every layer', 'mistral-bf16', { sliding_window: 5 }],
    ['a window on some layers', 'llama-bf16-tied', { sliding_window: 5, layer_types: ['full_attention', 'sliding_attention'] }],
    ['a window from a layer on', 'qwen2-bf16-tied', { use_sliding_window: true, sliding_window: 5, max_window_layers: 1 }],
  ])('%s: the kernels agree with their reference, and the change counts', async (_, name, change) => {
    const directory = variant(name, change);
    await using plain = await load(join(GOLDENS, name), 'wasm');
    await using fast = await load(directory, 'wasm');
    await using slow = await load(directory, 'reference');
    const [base, rows, wanted] = [await logitsOf(plain, prompt), await logitsOf(fast, prompt), await logitsOf(slow, prompt)];
    const span = Math.max(...wanted.at(-1)!) - Math.min(...wanted.at(-1)!);
    for (const [i, row] of rows.entries()) expect(distance(row, wanted[i]!) / span).toBeLessThan(3e-3);
    expect(distance(rows.at(-1)!, base.at(-1)!) / span).toBeGreaterThan(1e-2);
  });

  it('a window of 4 on 3 layers lets a token reach 9 positions on, not 10', async () => {
    await using ember = await load(variant('mistral-bf16', { sliding_window: 4 }), 'wasm');
    const one = await logitsOf(ember, prompt);
    const other = await logitsOf(ember, [prompt[0]! ^ 1, ...prompt.slice(1)]);
    const changed = one.map((row, i) => distance(row, other[i]!) > 0);
    expect(changed.slice(0, 10)).toEqual(Array(10).fill(true));
    expect(changed.slice(10)).toEqual(Array(30).fill(false));
  });
});

describe('readRope', () => {
  const defaults = { theta: 10_000, maxPositions: 2048 };

  it('takes theta and scaling from rope_parameters where a config has no others', () => {
    const { rope } = readRope({ rope_parameters: { rope_theta: 500_000, rope_type: 'default' } }, 64, defaults);
    expect(rope.inverseFrequencies[1]).toBeCloseTo(500_000 ** (-2 / 64), 7);
    expect(rope).toMatchObject({ magnitude: 1, traditional: false });
  });

  it('tells the context that a scaling gives', () => {
    const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32_768 };
    expect(readRope({ max_position_embeddings: 32_768, rope_scaling: yarn }, 64, defaults).contextTokens).toBe(131_072);
    const llama3 = { rope_type: 'llama3', factor: 32, original_max_position_embeddings: 8192 };
    expect(readRope({ max_position_embeddings: 131_072, rope_scaling: llama3 }, 64, defaults).contextTokens).toBe(131_072);
    expect(readRope({}, 64, defaults).contextTokens).toBe(2048);
  });

  it('refuses an odd part of a head', () => {
    expect(() => readRope({ partial_rotary_factor: 0.3 }, 50, defaults)).toThrow(expect.objectContaining({ code: 'model_load_failed' }));
    expect(() => readRope({ partial_rotary_factor: 1.5 }, 64, defaults)).toThrow(expect.objectContaining({ code: 'model_load_failed' }));
  });
});

describe('modelGraph', () => {
  const base = { hidden_size: 64, num_hidden_layers: 2, intermediate_size: 128, num_attention_heads: 4, vocab_size: 100 };

  it('gives each model type its own traits', () => {
    const traits = (model_type: string) => {
      const { layers, head } = modelGraph({ ...base, model_type });
      const { query, output, queryNorm } = layers[0]!.mixer!.body as Attention;
      return [query.bias, output.bias, queryNorm !== null, head!.linear.path];
    };
    expect(traits('llama')).toEqual([false, false, false, 'model.embed_tokens']);
    expect(traits('mistral')).toEqual([false, false, false, 'lm_head']);
    expect(traits('qwen2')).toEqual([true, false, false, 'model.embed_tokens']);
    expect(traits('qwen3')).toEqual([false, false, true, 'model.embed_tokens']);
  });

  it.each([
    { num_key_value_heads: 3 },
    { head_dim: 12 },
    { num_hidden_layers: 0 },
    { tie_word_embeddings: 'yes' },
    { rope_scaling: [] },
    { layer_types: ['full_attention'] },
    { layer_types: ['full_attention', 'linear_attention'] },
    { rms_norm_eps: -1 },
  ])('refuses %o', (change) => {
    expect(() => modelGraph({ ...base, model_type: 'llama', ...change })).toThrow(expect.objectContaining({ code: 'model_load_failed' }));
  });
});

describe('gemma3', () => {
  const config = {
    model_type: 'gemma3_text',
    hidden_size: 64,
    num_hidden_layers: 6,
    intermediate_size: 128,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
  };
  const ropesOf = (change: Record<string, unknown>) => {
    const { ropes, layers } = modelGraph({ ...config, ...change });
    return {
      ropes,
      used: layers.map((layer) => (layer.mixer!.body as Attention).queryRope),
      windows: layers.map((layer) => (layer.mixer!.body as Attention).window),
    };
  };

  it('has the same ropes and windows whether they are given by layer type or not', () => {
    const old = ropesOf({
      rope_theta: 500_000,
      rope_local_base_freq: 20_000,
      rope_scaling: { rope_type: 'linear', factor: 8 },
      sliding_window_pattern: 3,
      sliding_window: 9,
    });
    const types = ['sliding_attention', 'sliding_attention', 'full_attention'];
    const young = ropesOf({
      rope_parameters: {
        full_attention: { rope_type: 'linear', factor: 8, rope_theta: 500_000 },
        sliding_attention: { rope_type: 'default', rope_theta: 20_000 },
      },
      layer_types: [...types, ...types],
      sliding_window: 9,
    });
    expect(young).toEqual(old);
    expect(old.used).toEqual([1, 1, 0, 1, 1, 0]);
    expect(old.windows).toEqual([9, 9, 0, 9, 9, 0]);
    expect(old.ropes[0]!.inverseFrequencies[1]).toBeCloseTo(500_000 ** (-1 / 8) / 8, 7);
    expect(old.ropes[1]!.inverseFrequencies[1]).toBeCloseTo(20_000 ** (-1 / 8), 7);
  });
});
