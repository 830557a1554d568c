import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../../../test/support/engine-run.ts';
import { FAMILY_CONFIGS, familyTensors, makeFamilyCheckpoint } from '../../../test/support/family-checkpoint.ts';
import { loadEmber } from '../../ember/index.ts';
import { decodeFloats, exportGguf, type FloatDtype, importGguf, openCheckpoint, openGguf } from '../../formats/index.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());

/** What llama.cpp computes on the exports of the tiny families: test/reference/gguf/make-families.py. */
const RECORDED = JSON.parse(readFileSync(join(import.meta.dirname, '../../../test/reference/gguf/families.json'), 'utf8')) as {
  readonly prompt: readonly number[];
  readonly top: Readonly<Record<string, readonly (readonly [id: number, logProbability: number])[]>>;
};

async function logProbabilities(directory: string): Promise<Float64Array> {
  await using ember = await loadEmber({ directory, ranks: 1, activations: 'f32', kvType: 'f32', contextTokens: 64, batchTokens: 64 });
  await ember.step([
    {
      pages: ember.pageGroups.map(() => Uint32Array.of(0, 1)),
      position: 0,
      tokens: RECORDED.prompt,
      output: 'last',
      temperature: 0,
      adjustments: [],
      candidates: 1,
    },
  ]);
  const logits = Float64Array.from(await ember.logits(0));
  const largest = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return logits.map((logit) => logit - largest - Math.log(sum));
}

interface Prepared {
  readonly source: string;
  readonly file: string;
  readonly imported: string;
}
const prepared = new Map<string, Promise<Prepared>>();

const prepare = (name: string): Promise<Prepared> => {
  const run = async () => {
    const [source, file, imported] = [`${name}-source`, `${name}.gguf`, `${name}-imported`].map((part) => join(home.path, part)) as [string, string, string];
    await makeFamilyCheckpoint(name, source);
    await exportGguf(source, file);
    await importGguf(file, imported, { verify: 'full' });
    return { source, file, imported };
  };
  const found = prepared.get(name) ?? run();
  prepared.set(name, found);
  return found;
};

describe.each(Object.keys(FAMILY_CONFIGS))('a tiny %s model', (name) => {
  test('[formats F24] every tensor has a name in GGUF, and comes back with its numbers and settings', async () => {
    const { source, file, imported } = await prepare(name);
    await using before = await openCheckpoint(source);
    await using after = await openCheckpoint(imported);
    expect([...after.tensors.keys()].toSorted()).toEqual(Object.keys(familyTensors(name)).toSorted());
    const floats = async (checkpoint: typeof before, tensor: string) =>
      decodeFloats(checkpoint.tensors.get(tensor)!.dtype as FloatDtype, await checkpoint.readTensor(tensor));
    for (const tensor of before.tensors.keys()) {
      const [wanted, found] = [await floats(before, tensor), await floats(after, tensor)];
      expect(after.tensors.get(tensor)!.shape).toEqual(before.tensors.get(tensor)!.shape);
      // A norm that is kept as its distance from one was rounded once as the whole factor.
      const slack = name.startsWith('gemma') && tensor.endsWith('norm.weight') ? 2 ** -23 : 0;
      expect(found.every((value, i) => Math.abs(value - wanted[i]!) <= slack)).toBe(true);
    }
    // How the source has its numbers is not a setting of the graph.
    const { torch_dtype: _, ...settings } = before.config;
    for (const [key, value] of Object.entries(settings)) expect({ key, value: after.config[key] }).toEqual({ key, value });
    await using gguf = await openGguf(file);
    expect(statSync(file).size).toBe(gguf.sizeBytes);
  });

  test(`${name === 'gemma3_text' ? '[formats F26] ' : ''}hearth computes on it, and on its import, what llama.cpp computes on its export`, async () => {
    const { source, imported } = await prepare(name);
    const [own, back] = [await logProbabilities(source), await logProbabilities(imported)];
    for (const [id, wanted] of RECORDED.top[name]!) {
      // llama.cpp rounds activations more than once, so that unlikely tokens are farther off.
      expect(Math.abs(own[id]! - wanted)).toBeLessThan(0.004 * (1 + Math.abs(wanted)));
      expect(Math.abs(back[id]! - own[id]!)).toBeLessThan(1e-3);
    }
  });
});

test('[formats F22] recorded: llama.cpp loads what is written; the strict parser takes it, and equal input gives equal bytes', async () => {
  expect(Object.keys(RECORDED.top).toSorted()).toEqual(Object.keys(FAMILY_CONFIGS).toSorted());
  for (const name of ['llama', 'gpt_oss']) {
    const { source, file } = await prepare(name);
    const again = join(home.path, `${name}-again.gguf`);
    await exportGguf(source, again);
    expect(Buffer.compare(readFileSync(again), readFileSync(file))).toBe(0);
    await using gguf = await openGguf(again);
    expect(gguf.header.tensors.size).toBe(Object.keys(familyTensors(name)).length);
  }
});

test.each(['gemma2', 'gemma3_text'])('[formats F26] norms of %s are 1 + w in float32 in GGUF', async (name) => {
  const { source, file } = await prepare(name);
  await using checkpoint = await openCheckpoint(source);
  await using gguf = await openGguf(file);
  const norms = [...gguf.header.tensors.values()].filter((tensor) => tensor.name.endsWith('norm.weight'));
  expect(norms.every((tensor) => tensor.type === 'F32')).toBe(true);
  const own = decodeFloats('F32', await checkpoint.readTensor('model.layers.1.pre_feedforward_layernorm.weight'));
  const other = decodeFloats('F32', await gguf.readTensor('blk.1.ffn_norm.weight'));
  expect([...other]).toEqual([...own].map((w) => Math.fround(w + 1)));
  expect(norms).toHaveLength([...checkpoint.tensors.keys()].filter((tensor) => tensor.endsWith('norm.weight')).length);
});

test('[formats F24] one foreign tensor, or a setting that the graph of GGUF does not have, is refused', async () => {
  const directory = join(home.path, 'odd');
  const refused = async (code: string, name: string, change: (config: Record<string, unknown>) => Record<string, unknown>, more: readonly string[] = []) => {
    await makeFamilyCheckpoint(name, directory, { change, more });
    await expect(exportGguf(directory, join(home.path, 'odd.gguf'))).rejects.toMatchObject({ code });
    expect(readdirSync(home.path)).not.toContain('odd.gguf');
  };
  for (const name of Object.keys(FAMILY_CONFIGS)) await refused('convert_unknown_tensor', name, (config) => config, ['model.layers.0.mlp.odd.weight']);
  await refused('convert_config_key', 'gemma2', (config) => ({ ...config, query_pre_attn_scalar: 40 }));
  await refused('convert_config_key', 'gemma3_text', (config) => ({ ...config, sliding_window_pattern: 2 }));
  await refused('convert_config_key', 'qwen3_moe', (config) => ({ ...config, mlp_only_layers: [0] }));
  await refused('convert_config_key', 'qwen3_moe', (config) => ({ ...config, norm_topk_prob: false }));
  await refused('convert_config_key', 'smollm3', (config) => ({ ...config, no_rope_layers: [1, 1, 1, 1, 1] }));
  await refused('convert_config_key', 'gpt_oss', (config) => ({ ...config, layer_types: Array(3).fill('full_attention') }));
  await refused('convert_config_key', 'mixtral', (config) => ({ ...config, sliding_window: 8 }));
  await refused('convert_architecture', 'llama', (config) => ({ ...config, model_type: 'mamba' }));
});
