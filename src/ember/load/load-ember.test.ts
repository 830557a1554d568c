import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../formats/index.ts';
import type { Ember, EmberOptions } from '../types.ts';
import { loadEmber } from './load-ember.ts';

const GOLDENS = join(import.meta.dirname, '../../../test/reference/goldens');
const golden = (name: string) => join(GOLDENS, name);
const folder = mkdtempSync(join(tmpdir(), 'hearth-ember-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const options = { ranks: 1, activations: 'f32', contextTokens: 256, batchTokens: 64 } as const satisfies Omit<EmberOptions, 'directory'>;

/** A copy of a golden with another config. */
function changed(name: string, change: Record<string, unknown>): string {
  const copy = mkdtempSync(join(folder, 'model-'));
  for (const file of readdirSync(golden(name))) if (/\.(json|safetensors)$/.test(file)) cpSync(join(golden(name), file), join(copy, file));
  const config = JSON.parse(readFileSync(join(copy, 'config.json'), 'utf8')) as Record<string, unknown>;
  writeFileSync(join(copy, 'config.json'), JSON.stringify({ ...config, ...change }));
  return copy;
}

const refusal = async (directory: string, more: Partial<EmberOptions> = {}) => {
  const error = await loadEmber({ ...options, directory, ...more }).then(
    () => null,
    (reason: unknown) => reason,
  );
  return error as { code: string; message: string } | null;
};

describe('weights in the ranks', () => {
  it.each([
    ['llama-q4-g64', 1],
    ['llama-q4-g64', 2],
    ['llama-q4-g64-f16-scales', 3],
    ['llama-mixed-4-8', 3],
    ['mistral-q4-g128', 2],
    ['qwen2-q4-g64', 2],
    ['qwen3-q8-g32', 3],
    ['llama-f16', 2],
    ['llama-f32-biases', 3],
    ['llama-widths', 3],
    ['qwen3-fp-modes', 2],
    ['phi3-q4-g32', 3],
    ['mixtral-q4-g64', 2],
    ['gpt-oss-mxfp4', 3],
    ['deepseek-v3-q4-g32', 2],
    ['lfm2-q4-g64', 3],
    ['nemotron-h-moe-q4-g32', 3],
    ['qwen3-next-bf16', 2],
  ])('[engines E5] the tensors of %s on %i ranks, put together again, are the bytes of the checkpoint', async (name, ranks) => {
    await using checkpoint = await openCheckpoint(golden(name));
    await using ember = await loadEmber({ ...options, directory: golden(name), ranks });
    expect(checkpoint.tensors.size).toBeGreaterThan(20);
    for (const tensor of checkpoint.tensors.keys()) {
      const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
      expect([tensor, hash(await ember.tensorBytes(tensor))]).toEqual([tensor, hash(await checkpoint.readTensor(tensor))]);
    }
  });

  it('progress grows to the bytes of all ranks', async () => {
    const seen: [number, number][] = [];
    await using ember = await loadEmber({ ...options, directory: golden('llama-q4-g64'), ranks: 2, onProgress: (done, total) => seen.push([done, total]) });
    const [done, total] = seen.at(-1)!;
    expect(done).toBe(total);
    expect(total).toBeGreaterThan(30_000);
    expect(ember.memory.weightsBytes).toBeGreaterThan(total);
  });
});

describe('refusals', () => {
  it('[engines E12] a missing tensor is named', async () => {
    expect(await refusal(changed('llama-bf16-tied', { num_hidden_layers: 3 }))).toMatchObject({
      code: 'model_load_failed',
      message: expect.stringContaining('model.layers.2.self_attn.q_proj.weight'),
    });
  });

  it.each([
    ['gpt-oss-mxfp4', 255],
    ['qwen3-fp-modes', 255],
  ])('a scale of %s that is no number, the byte %i, is refused with its tensor', async (name, byte) => {
    const directory = changed(name, {});
    await using checkpoint = await openCheckpoint(directory);
    const scales = [...checkpoint.tensors.values()].filter((tensor) => tensor.name.endsWith('.scales') && tensor.dtype === 'U8');
    const tensor = scales.find(({ name: path }) => checkpoint.quantizationOf(path.replace(/\.scales$/, ''))?.mode.startsWith('mx') === true)!;
    const bytes = readFileSync(tensor.file);
    bytes[tensor.offset + tensor.bytes - 1] = byte;
    writeFileSync(tensor.file, bytes);
    for (const ranks of [1, 2]) {
      const error = await refusal(directory, { ranks });
      expect([error?.code, error?.message]).toEqual(['model_load_failed', expect.stringContaining(tensor.name)]);
      expect(error?.message).toContain('no number');
    }
  });

  it('[engines E12] another architecture is named', async () => {
    expect(await refusal(changed('llama-bf16-tied', { model_type: 'gptj' }))).toMatchObject({
      code: 'model_load_failed',
      message: "model_type 'gptj' not supported by any installed engine",
    });
  });

  it('[engines E12] more memory than the ranks have is refused before a load, with the numbers', async () => {
    const before = process.memoryUsage().rss;
    const error = await refusal(golden('llama-bf16-tied'), { contextTokens: 2 ** 24 });
    expect(error).toMatchObject({ code: 'model_load_failed', message: expect.stringMatching(/needs \d+\.\d+ GiB .* has 4\.00 GiB/) });
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 30);
  });

  it.each([
    ['a wrong shape', 'llama-bf16-tied', { intermediate_size: 96 }, /gate_proj.*shape \[128, 64\].*\[96, 64\]/],
    ['a tensor that the graph does not have', 'qwen2-bf16-tied', { model_type: 'llama' }, /layers\.0\.self_attn\.[kqv]_proj\.bias/],
    ['an unknown key that could change the graph', 'llama-bf16-tied', { logit_scale: 0.5 }, /logit_scale = 0\.5/],
    ['an unknown rope', 'llama-bf16-tied', { rope_scaling: { rope_type: 'dynamic', factor: 2 } }, /rope type "dynamic"/],
    ['an unknown key of a known rope', 'llama-bf16-rope-llama3', { rope_scaling: { rope_type: 'llama3', factor: 8, swing: 2 } }, /swing = 2/],
    ['another activation', 'llama-bf16-tied', { hidden_act: 'gelu' }, /hidden_act = "gelu"/],
    ['a width that is no number', 'llama-bf16-tied', { hidden_size: 'wide' }, /hidden_size = "wide"/],
  ])('%s is refused by name', async (_, name, change, message) => {
    expect(await refusal(changed(name, change))).toMatchObject({ code: 'model_load_failed', message: expect.stringMatching(message) });
  });

  it('keys that say nothing about the graph, and inert unknown ones, pass', async () => {
    const directory = changed('llama-bf16-tied', { logit_scale: null, new_switch: false, _attn_implementation_autoset: true, use_cache: true });
    await using ember = await loadEmber({ ...options, directory });
    expect(ember.vocabularySize).toBe(128);
  });

  it('options out of range are refused', async () => {
    for (const more of [{ ranks: 0 }, { batchTokens: 513 }, { contextTokens: 0 }, { ranks: 1.5 }])
      expect(await refusal(golden('llama-bf16-tied'), more)).toMatchObject({ code: 'engine_options_invalid' });
  });

  it('an aborted load ends with cancelled', async () => {
    expect(await refusal(golden('llama-bf16-tied'), { signal: AbortSignal.abort() })).toMatchObject({ code: 'cancelled' });
  });
});

describe('steps', () => {
  const pages = [Uint32Array.of(0, 1, 2, 3, 4, 5, 6, 7)];
  const sequence = { pages, temperature: 0, adjustments: [], candidates: 4 };
  const prompt = Array.from({ length: 200 }, (_, i) => (i * 37 + 11) % 128);

  async function lastRow(ember: Ember, chunk: number): Promise<Float32Array> {
    for (let position = 0; position < prompt.length; position += chunk) {
      const tokens = prompt.slice(position, position + chunk);
      await ember.step([{ ...sequence, position, tokens, output: position + chunk >= prompt.length ? 'last' : 'none' }]);
    }
    return await ember.logits(0);
  }

  it.each([1, 2])('[engines E20] a prompt of 200 tokens in chunks gives the logits of one go: none is dropped (%i ranks)', async (ranks) => {
    await using ember = await loadEmber({ ...options, directory: golden('llama-bf16-tied'), ranks, batchTokens: 256 });
    const whole = await lastRow(ember, 200);
    const span = Math.max(...whole) - Math.min(...whole);
    for (const chunk of [1, 33, 64, 199]) {
      const pieces = await lastRow(ember, chunk);
      expect(Math.max(...whole.map((logit, id) => Math.abs(logit - pieces[id]!))) / span).toBeLessThan(1e-5);
    }
    // The first token still counts at the end.
    await ember.step([{ ...sequence, position: 0, tokens: [prompt[0]! ^ 1, ...prompt.slice(1)], output: 'last' }]);
    const other = await ember.logits(0);
    expect(Math.max(...whole.map((logit, id) => Math.abs(logit - other[id]!))) / span).toBeGreaterThan(1e-5);
  });

  it('[engines E20] a step that does not fit is refused and leaves the model usable', async () => {
    await using ember = await loadEmber({ ...options, directory: golden('llama-bf16-tied'), contextTokens: 64 });
    const wrong = [
      { ...sequence, position: 0, tokens: prompt.slice(0, 65), output: 'none' as const },
      { ...sequence, position: 60, tokens: prompt.slice(0, 5), output: 'none' as const },
      { ...sequence, position: 0, tokens: [128], output: 'last' as const },
      { ...sequence, position: 0, tokens: [-1], output: 'last' as const },
      { ...sequence, position: 0, tokens: [], output: 'last' as const },
      { ...sequence, pages: [Uint32Array.of(2)], position: 0, tokens: [1], output: 'last' as const },
      { ...sequence, pages: [Uint32Array.of()], position: 0, tokens: [1], output: 'last' as const },
      { ...sequence, position: 0, tokens: [1], output: 'last' as const, candidates: 257 },
    ];
    for (const step of wrong) await expect(ember.step([step])).rejects.toMatchObject({ code: 'invalid_value' });
    expect(await ember.step([{ ...sequence, pages: [Uint32Array.of(1, 0)], position: 0, tokens: [1, 2, 3], output: 'last' }])).toHaveLength(1);
  });

  it.each([1, 3])('candidates, max and sum are those of the logits, with adjustments and temperature (%i ranks)', async (ranks) => {
    await using ember = await loadEmber({ ...options, directory: golden('llama-q4-g64'), ranks });
    const adjustments = [
      { id: 3, multiply: 1.3, add: -0.5 },
      { id: 250, multiply: 1, add: 4 },
    ];
    const tokens = [5, 6, 7];
    const asked = { ...sequence, position: 0, tokens, temperature: 0.7, adjustments, candidates: 256, rawCandidates: 5 };
    await ember.step([{ ...asked, output: 'all' }]);
    const raw = await ember.logits(2);
    const [output] = await ember.step([{ ...asked, output: 'last' }]);
    const wanted = [...raw].map((logit, id) => {
      const a = adjustments.find((entry) => entry.id === id) ?? { multiply: 1, add: 0 };
      return (logit > 0 ? logit / a.multiply : logit * a.multiply) + a.add;
    });
    for (const [id, logit] of (await ember.logits(0)).entries()) expect(logit).toBeCloseTo(wanted[id]!, 4);
    const order = wanted.map((_, id) => id).sort((a, b) => wanted[b]! - wanted[a]! || a - b);
    expect([...output!.ids]).toEqual(order);
    for (const [i, id] of order.entries()) expect(output!.values[i]).toBeCloseTo(wanted[id]!, 4);
    expect(output!.max).toBeCloseTo(wanted[order[0]!]!, 4);
    const rawOrder = [...raw.keys()].sort((a, b) => raw[b]! - raw[a]! || a - b);
    expect([...output!.raw!.ids]).toEqual(rawOrder.slice(0, 5));
    for (const [i, value] of output!.raw!.values.entries()) expect(value).toBeCloseTo(raw[rawOrder[i]!]!, 4);
    expect(output!.raw!.sum).toBeCloseTo(
      raw.reduce((sum, logit) => sum + Math.exp(logit - raw[rawOrder[0]!]!), 0),
      3,
    );
    expect(output!.sum).toBeCloseTo(
      wanted.reduce((sum, logit) => sum + Math.exp((logit - wanted[order[0]!]!) / 0.7), 0),
      3,
    );
  });

  it.each([1, 2])('a batch of decoding, prefilling and scored sequences gives each one what it gets alone (%i ranks)', async (ranks) => {
    await using ember = await loadEmber({ ...options, directory: golden('qwen2-q4-g64'), ranks });
    const table = (i: number) => Uint32Array.of(2 * i, 2 * i + 1);
    const alone: number[][] = [];
    const batch = [
      { ...sequence, pages: [table(0)], position: 3, tokens: [9], output: 'last' as const },
      { ...sequence, pages: [table(1)], position: 0, tokens: [1, 2, 3, 4, 5, 6, 7], output: 'none' as const },
      { ...sequence, pages: [table(2)], position: 0, tokens: [40, 41, 42], output: 'all' as const },
      { ...sequence, pages: [table(3)], position: 2, tokens: [50], output: 'last' as const },
    ];
    const fill = async () => {
      await ember.step([{ ...sequence, pages: [table(0)], position: 0, tokens: [6, 7, 8], output: 'none' }]);
      await ember.step([{ ...sequence, pages: [table(3)], position: 0, tokens: [48, 49], output: 'none' }]);
    };
    await fill();
    for (const one of batch) {
      const [output] = await ember.step([one]);
      alone.push(output ? [...output.ids, ...output.values] : []);
    }
    await fill();
    const together = await ember.step(batch);
    expect(together.map((output) => output === null)).toEqual([false, true, false, false]);
    for (const [i, output] of together.entries())
      for (const [j, value] of [...(output?.ids ?? []), ...(output?.values ?? [])].entries()) expect(value).toBeCloseTo(alone[i]![j]!, 4);
    // Row 1 of the step is the first row of the scored sequence.
    expect(await ember.logits(4)).toHaveLength(256);
    await expect(ember.logits(5)).rejects.toMatchObject({ code: 'invalid_value' });
  });

  it('fewer threads than ranks give the same logits', async () => {
    await using ember = await loadEmber({ ...options, directory: golden('llama-q4-g64'), ranks: 3 });
    const rows: Float32Array[] = [];
    for (const threads of [3, 1, 2, 99, 0]) {
      await ember.setThreads(threads);
      for (let position = 0; position < 20; position++) await ember.step([{ ...sequence, position, tokens: [position], output: 'last' }]);
      rows.push(await ember.logits(0));
    }
    for (const row of rows) expect(row).toEqual(rows[0]);
  });

  it('a closed model answers no step', async () => {
    const ember = await loadEmber({ ...options, directory: golden('llama-bf16-tied'), ranks: 2 });
    await ember[Symbol.asyncDispose]();
    await expect(ember.step([{ ...sequence, position: 0, tokens: [1], output: 'last' }])).rejects.toMatchObject({ code: 'engine_crashed' });
  });
});
