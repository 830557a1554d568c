import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ModelFacts } from '../../core/index.ts';
import { modelGraph, supportedModelTypes } from '../../ember/index.ts';
import { canRun } from './can-run.ts';

const GOLDENS = join(import.meta.dirname, '../../../test/reference/goldens');
const facts = (config: Record<string, unknown>, more: Partial<ModelFacts> = {}): ModelFacts => ({
  directory: '/nowhere',
  framework: 'MLX',
  architecture: typeof config['model_type'] === 'string' ? config['model_type'] : null,
  config,
  weightFiles: ['model.safetensors'],
  weightBytes: 1,
  hasChatTemplate: true,
  ...more,
});
const llama = JSON.parse(readFileSync(join(GOLDENS, 'llama-bf16-tied', 'config.json'), 'utf8')) as Record<string, unknown>;

describe('the verdict from a config alone', () => {
  test.each(readdirSync(GOLDENS))('%s: is that of the graph that the loader builds, and names what is not known', (name) => {
    const config = JSON.parse(readFileSync(join(GOLDENS, name, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(supportedModelTypes()).toContain(config['model_type']);
    expect(modelGraph(config).head).not.toBeNull();
    for (const framework of ['MLX', 'PyTorch'] as const)
      expect(canRun(facts(config, { framework }))['text']).toEqual({ ok: true, engine: 'ember', reason: null });
    const odd = canRun(facts({ ...config, odd_new_setting: 3 }))['text'];
    expect(odd).toMatchObject({ ok: false, engine: null, reason: expect.stringContaining('odd_new_setting') });
  });

  test('quantisers whose codes can be read pass, others are named', () => {
    const verdict = (quantization_config: Record<string, unknown>) => canRun(facts({ ...llama, quantization_config }, { framework: 'PyTorch' }))['text'];
    expect(verdict({ quant_method: 'awq', bits: 4, group_size: 128 }).ok).toBe(true);
    expect(verdict({ quant_method: 'gptq', bits: 4, group_size: 128 }).ok).toBe(true);
    expect(verdict({ quant_method: 'compressed-tensors', format: 'pack-quantized' }).ok).toBe(true);
    expect(verdict({ quant_method: 'gptq', bits: 3 }).ok).toBe(true);
    expect(verdict({ quant_method: 'fp8' }).ok).toBe(true);
    expect(verdict({ quant_method: 'bitsandbytes' })).toMatchObject({ ok: false, reason: expect.stringContaining('bitsandbytes') });
    expect(verdict({ quant_method: 'awq', bits: 3 })).toMatchObject({ ok: false, reason: expect.stringContaining('3 bits') });
  });

  test('architectures of GGUF are those that can be imported and run', () => {
    const text = (architecture: string) => canRun(facts({}, { framework: 'GGUF', architecture }))['text'];
    for (const name of ['llama', 'qwen2', 'qwen3', 'qwen3moe', 'gemma2', 'gemma3', 'phi3', 'smollm3', 'granite', 'granitemoe', 'olmo2', 'gpt-oss'])
      expect({ name, ok: text(name).ok }).toEqual({ name, ok: true });
    expect(text('mamba')).toMatchObject({ ok: false, reason: "model_type 'mamba' not supported by any installed engine" });
    const bert = canRun(facts({}, { framework: 'GGUF', architecture: 'bert' }));
    expect([bert['text'].ok, bert['embeddings'].ok]).toEqual([false, true]);
  });

  test('a width to quantise to is noted where it would change something', () => {
    expect(canRun(facts(llama, { framework: 'PyTorch' }), { quantize: 4 })['text'].note).toContain('4 bits');
    expect(canRun(facts({ ...llama, quantization: { bits: 8, group_size: 64 } }), { quantize: 4 })['text'].note).toBeUndefined();
    expect(canRun(facts({}, { framework: 'GGUF', architecture: 'llama' }), { quantize: 4 })['text'].note).toBeUndefined();
  });
});
