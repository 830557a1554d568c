import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Dtype, decodeFloats, type FloatDtype, type TensorSource, tensorBytes, writeShardedCheckpoint } from '../safetensors/index.ts';
import { openCheckpoint } from './checkpoint.ts';
import { dequantise } from './dequantise.ts';
import { toWords } from './packing.ts';

const GOLDENS = join(import.meta.dirname, '../../../test/reference/goldens');
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-checkpoint-'));
});
afterAll(() => rm(directory, { recursive: true }));

const tensor = (name: string, dtype: Dtype, ...shape: number[]): TensorSource => ({ name, dtype, shape, data: new Uint8Array(tensorBytes(dtype, shape)) });
const NORM = tensor('norm.weight', 'BF16', 64);
/** A module of 8 × 128 in 4 bits, groups of 64. */
const QUANTISED = [tensor('a.weight', 'U32', 8, 16), tensor('a.scales', 'BF16', 8, 2), tensor('a.biases', 'BF16', 8, 2)];

async function makeModel(config: unknown, tensors: readonly TensorSource[]): Promise<string> {
  const folder = await mkdtemp(join(directory, 'model-'));
  await writeFile(join(folder, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  await writeShardedCheckpoint(folder, tensors);
  return folder;
}

const refusal = async (config: unknown, tensors: readonly TensorSource[]): Promise<unknown> => {
  try {
    await (await openCheckpoint(await makeModel(config, tensors))).close();
    return 'opened';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('openCheckpoint', () => {
  it('opens each checkpoint that mlx-lm saved, plain and quantised', async () => {
    const names = (await readdir(GOLDENS)).sort();
    expect(names.length).toBeGreaterThan(15);
    for (const name of names) {
      await using checkpoint = await openCheckpoint(join(GOLDENS, name));
      // Folders are named after the type, with hyphens.
      expect(name.startsWith(String(checkpoint.config['model_type']).replaceAll('_', '-'))).toBe(true);
      const modules = [...checkpoint.tensors.keys()].filter((t) => t.endsWith('.weight')).map((t) => t.slice(0, -'.weight'.length));
      const quantised = modules.filter((path) => checkpoint.quantizationOf(path));
      expect(quantised.length > 0).toBe('quantization' in checkpoint.config);
      expect(checkpoint.quantizationOf('model.norm')).toBeNull();
      expect(checkpoint.quantizationOf('model.absent')).toBeNull();
    }
  });

  it('reads modules by their own width, mode and group, and plain ones beside them', async () => {
    await using widths = await openCheckpoint(join(GOLDENS, 'llama-widths'));
    expect(widths.quantizationOf('model.layers.0.self_attn.q_proj')).toEqual({ mode: 'affine', bits: 2, group: 32 });
    expect(widths.quantizationOf('model.layers.1.mlp.down_proj')).toEqual({ mode: 'affine', bits: 6, group: 128 });
    expect(widths.quantizationOf('model.embed_tokens')).toEqual({ mode: 'affine', bits: 5, group: 64 });
    await using modes = await openCheckpoint(join(GOLDENS, 'qwen3-fp-modes'));
    expect(modes.quantizationOf('model.layers.0.self_attn.k_proj')).toEqual({ mode: 'nvfp4', bits: 4, group: 16 });
    expect(modes.quantizationOf('lm_head')).toEqual({ mode: 'mxfp4', bits: 4, group: 32 });
    await using mixed = await openCheckpoint(join(GOLDENS, 'llama-mixed-4-8'));
    expect(mixed.quantizationOf('model.layers.1.mlp.gate_proj')).toBeNull();
    expect(mixed.tensors.get('model.layers.1.mlp.gate_proj.weight')!.dtype).toBe('BF16');
    expect(mixed.quantizationOf('lm_head')?.bits).toBe(8);
    expect(mixed.quantizationOf('model.layers.1.mlp.up_proj')?.bits).toBe(4);
  });

  it('numbers of a quantised embedding come out as a token row of finite values', async () => {
    await using checkpoint = await openCheckpoint(join(GOLDENS, 'llama-q4-g64'));
    const rows: [number, number] = [7, 9];
    const read = (leaf: string) => checkpoint.readTensor(`model.embed_tokens.${leaf}`, { rows });
    const dtype = checkpoint.tensors.get('model.embed_tokens.scales')!.dtype as FloatDtype;
    const values = dequantise(checkpoint.quantizationOf('model.embed_tokens')!, {
      words: toWords(await read('weight')),
      scales: decodeFloats(dtype, await read('scales')),
      biases: decodeFloats(dtype, await read('biases')),
    });
    expect(values).toHaveLength(128);
    expect(values.every(Number.isFinite)).toBe(true);
    expect(new Set(values).size).toBeGreaterThan(16);
  });

  it('[formats F8] shapes that do not fit the block are refused', async () => {
    const block = { quantization: { group_size: 64, bits: 4 } };
    expect(await refusal(block, [NORM, ...QUANTISED])).toBe('opened');
    expect(await refusal({ quantization: { group_size: 32, bits: 4 } }, QUANTISED)).toBe('mlx_quant_shape');
    expect(await refusal({ quantization: { group_size: 64, bits: 8 } }, QUANTISED)).toBe('mlx_quant_shape');
    expect(await refusal({ quantization: { group_size: 64, bits: 4, a: { group_size: 128, bits: 4 } } }, QUANTISED)).toBe('mlx_quant_shape');
    const [weight, scales, biases] = QUANTISED as [TensorSource, TensorSource, TensorSource];
    expect(await refusal(block, [weight, scales, tensor('a.biases', 'F16', 8, 2)])).toBe('mlx_quant_shape');
    expect(await refusal(block, [weight, scales, tensor('a.biases', 'BF16', 2, 8)])).toBe('mlx_quant_shape');
    expect(await refusal(block, [weight, tensor('a.scales', 'BF16', 4, 2), tensor('a.biases', 'BF16', 4, 2)])).toBe('mlx_quant_shape');
    expect(await refusal(block, [tensor('a.weight', 'I32', 8, 16), scales, biases])).toBe('mlx_quant_shape');
    expect(await refusal(block, [weight, tensor('a.scales', 'U8', 8, 2), tensor('a.biases', 'U8', 8, 2)])).toBe('mlx_quant_shape');
    const mxfp4 = { quantization: { group_size: 32, bits: 4, mode: 'mxfp4' } };
    expect(await refusal(mxfp4, [weight, tensor('a.scales', 'U8', 8, 4)])).toBe('opened');
    expect(await refusal(mxfp4, [weight, tensor('a.scales', 'U8', 8, 4), tensor('a.biases', 'U8', 8, 4)])).toBe('mlx_quant_shape');
    expect(await refusal(mxfp4, [weight, tensor('a.scales', 'BF16', 8, 4)])).toBe('mlx_quant_shape');
    const experts = [tensor('e.weight', 'U32', 3, 8, 16), tensor('e.scales', 'F32', 3, 8, 2), tensor('e.biases', 'F32', 3, 8, 2)];
    expect(await refusal(block, experts)).toBe('opened');
  });

  it('[formats F8] missing parts and unknown paths have their codes', async () => {
    const block = { group_size: 64, bits: 4 };
    const [weight, scales, biases] = QUANTISED as [TensorSource, TensorSource, TensorSource];
    expect(await refusal({ quantization: block }, [weight, scales])).toBe('mlx_quant_missing');
    expect(await refusal({ quantization: block }, [NORM, scales, biases])).toBe('mlx_quant_missing');
    expect(await refusal({}, QUANTISED)).toBe('mlx_quant_missing');
    expect(await refusal({ quantization: { ...block, a: false } }, QUANTISED)).toBe('mlx_quant_missing');
    expect(await refusal({ quantization: { ...block, norm: { bits: 8, group_size: 64 } } }, [NORM, ...QUANTISED])).toBe('mlx_quant_missing');
    expect(await refusal({ quantization: { ...block, b: { bits: 8, group_size: 64 } } }, QUANTISED)).toBe('mlx_quant_unknown_path');
    expect(await refusal({ quantization: { ...block, b: false } }, QUANTISED)).toBe('mlx_quant_unknown_path');
    expect(await refusal({ quantization: { ...block, norm: false } }, [NORM, ...QUANTISED])).toBe('opened');
  });

  it('a config that is absent, too large or not an object is refused', async () => {
    for (const config of ['', '[]', 'null', '"text"', '{"a":1', `{"a":"${'x'.repeat(9 * 2 ** 20)}"}`])
      expect(await refusal(config, [NORM])).toBe('mlx_config_invalid');
    const folder = await makeModel({}, [NORM]);
    await rm(join(folder, 'config.json'));
    await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: 'mlx_config_invalid' });
    await expect(openCheckpoint(join(directory, 'nowhere'))).rejects.toMatchObject({ code: 'mlx_config_invalid' });
  });

  it('numbers that JSON lacks are read from their tag and as the bare words that Python writes', async () => {
    await using bare = await openCheckpoint(await makeModel('{"a":[-Infinity,NaN,Infinity],"b":"NaN \\" Infinity"}', [NORM]));
    expect(bare.config).toEqual({ a: [Number.NEGATIVE_INFINITY, Number.NaN, Number.POSITIVE_INFINITY], b: 'NaN " Infinity' });
    await using checkpoint = await openCheckpoint(await makeModel('{"a":[{"__float__":"Infinity"},{"__float__":"-Infinity"}],"b":{"__float__":"x"}}', [NORM]));
    expect(checkpoint.config).toEqual({ a: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY], b: { __float__: 'x' } });
  });
});

describe('goldens', () => {
  it('each has a prompt, 64 greedy tokens, and logits whose best token is the first of them', async () => {
    for (const name of await readdir(GOLDENS)) {
      const { prompt, greedy, margin } = JSON.parse(await readFile(join(GOLDENS, name, 'expected.json'), 'utf8'));
      const config = JSON.parse(await readFile(join(GOLDENS, name, 'config.json'), 'utf8'));
      const vocab_size = config.vocab_size ?? config.text_config.vocab_size;
      const logits = decodeFloats('F32', await readFile(join(GOLDENS, name, 'expected-logits.bin')));
      expect([name, logits.length, greedy.length]).toEqual([name, prompt.length * vocab_size, 64]);
      expect(prompt.length >= 12 && prompt.length <= 24 && margin > 0.02).toBe(true);
      const last = logits.subarray(-vocab_size);
      expect(last.indexOf(Math.max(...last))).toBe(greedy[0]);
    }
  });
});
