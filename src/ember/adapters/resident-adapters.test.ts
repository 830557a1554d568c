import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeTinyAdapter } from '../../../test/support/tiny-adapter.ts';
import { type BaseModule, openCheckpoint } from '../../formats/index.ts';
import { loadEmber } from '../load/load-ember.ts';
import { modelGraph } from '../models/architectures.ts';
import type { Ember } from '../types.ts';
import { baseModules } from './base-modules.ts';

const directory = join(import.meta.dirname, '../../../test/reference/goldens/llama-q4-g64');
const load = (): Promise<Ember> => loadEmber({ directory, ranks: 2, activations: 'f32', kvType: 'f32', contextTokens: 64, batchTokens: 64 });
async function modules(): Promise<BaseModule[]> {
  await using checkpoint = await openCheckpoint(directory);
  return [...baseModules(modelGraph(checkpoint.config)).values()];
}
async function rowOf(ember: Ember, slot?: number): Promise<Float32Array> {
  const adapter = slot === undefined ? {} : { adapter: { slot, scale: 1 } };
  await ember.step([
    { pages: [Uint32Array.of(0, 1)], position: 0, tokens: [1, 2, 3], output: 'last', temperature: 0, adjustments: [], candidates: 0, ...adapter },
  ]);
  return ember.logits(0);
}

describe('adapters beside a base', () => {
  it('sixteen of them, larger than the base, live side by side and give way again', async () => {
    const base = await modules();
    await using ember = await load();
    const bare = await rowOf(ember);
    const rows: Float32Array[] = [];
    for (let slot = 0; slot < 16; slot++) {
      await ember.loadAdapter(slot, makeTinyAdapter(base, { seed: slot + 1, rank: 64, dora: slot % 4 === 3 }));
      rows.push(await rowOf(ember, slot));
    }
    expect(ember.adapterBytes).toBeGreaterThan(16 * ember.memory.weightsBytes);
    expect(new Set(rows.map((row) => row[5])).size).toBe(16);
    for (const slot of [3, 8, 0]) await ember.dropAdapter(slot);
    await ember.loadAdapter(8, makeTinyAdapter(base, { seed: 9, rank: 64 }));
    for (const slot of [1, 2, 4, 7, 8, 15]) expect(await rowOf(ember, slot)).toEqual(rows[slot]);
    expect(await rowOf(ember)).toEqual(bare);
  });

  it('[engines E30] a full fine-tune, another base and an impossible slot are refused, and nothing is left behind', async () => {
    const base = await modules();
    await using ember = await load();
    const bare = await rowOf(ember);
    const code = (slot: number, adapter: Parameters<Ember['loadAdapter']>[1]): Promise<string> =>
      ember.loadAdapter(slot, adapter).then(
        () => 'ok',
        (error: { code: string }) => error.code,
      );
    const other = base.map((module) => ({ ...module, inputs: module.inputs * 2 }));
    expect(await code(0, { kind: 'full', format: 'mlx-lm', tensors: [], baseModel: null, fileBytes: 0 })).toBe('adapter_kind_unsupported');
    expect(await code(0, makeTinyAdapter(other))).toBe('adapter_base_mismatch');
    expect(await code(0, makeTinyAdapter([...base.slice(0, 3), other[4]!]))).toBe('adapter_shape_mismatch');
    expect(await code(0, makeTinyAdapter([base[0]!, { ...base[1]!, path: 'model.layers.9.mlp.up_proj' }]))).toBe('adapter_tensor_unknown');
    for (const slot of [-1, 256, 0.5]) expect(await code(slot, makeTinyAdapter(base))).toBe('invalid_value');
    expect(ember.adapterBytes).toBe(0);
    expect(await rowOf(ember)).toEqual(bare);
  });
});
