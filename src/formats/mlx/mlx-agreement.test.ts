import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeFloats, type FloatDtype, openSafetensors, type SafetensorsFile } from '../safetensors/index.ts';
import { dequantise } from './dequantise.ts';
import { packCodes, toWords, unpackCodes } from './packing.ts';
import { quantise } from './quantise.ts';
import type { Quantization } from './quantization.ts';

const RECORDED = join(import.meta.dirname, '../../../test/reference/mlx-arrays');
let packing: SafetensorsFile;
let quantised: SafetensorsFile;
beforeAll(async () => {
  packing = await openSafetensors(join(RECORDED, 'packing.safetensors'));
  quantised = await openSafetensors(join(RECORDED, 'quantised.safetensors'));
});
afterAll(() => Promise.all([packing.close(), quantised.close()]));

const DTYPES: readonly FloatDtype[] = ['BF16', 'F16', 'F32'];
const AFFINE = [2, 3, 4, 5, 6, 8].flatMap((bits) =>
  [32, 64, 128].flatMap((group) =>
    DTYPES.map((dtype) => ({ name: `affine.b${bits}.g${group}.${dtype}`, dtype, quantization: { mode: 'affine', bits, group } as Quantization })),
  ),
);
const FLOAT = (['mxfp4', 'mxfp8', 'nvfp4'] as const).flatMap((mode) =>
  DTYPES.map((dtype) => ({
    name: `${mode}.${dtype}`,
    dtype,
    quantization: { mode, bits: mode === 'mxfp8' ? 8 : 4, group: mode === 'nvfp4' ? 16 : 32 } as Quantization,
  })),
);
const MANTISSA_BITS = { BF16: 7, F16: 10, F32: 23 };
const floats = async (name: string): Promise<Float32Array> => decodeFloats(quantised.tensors.get(name)!.dtype as FloatDtype, await quantised.readTensor(name));

describe('agreement with MLX (recorded outputs, test/reference/README.md)', () => {
  it('[formats F12] recorded: pack and unpack give the codes and words that MLX gives, for six widths', async () => {
    for (const bits of [2, 3, 4, 5, 6, 8]) {
      const words = toWords(await packing.readTensor(`b${bits}.words`));
      const codes = await packing.readTensor(`b${bits}.codes`);
      expect(unpackCodes(bits, words)).toEqual(codes);
      expect(packCodes(bits, codes)).toEqual(words);
    }
  });

  it.each(AFFINE)('[formats F12] recorded: $name dequantises within 1 ulp of the scale dtype', async ({ name, dtype, quantization }) => {
    const scales = await floats(`${name}.scales`);
    const biases = await floats(`${name}.biases`);
    const values = dequantise(quantization, { words: toWords(await quantised.readTensor(`${name}.words`)), scales, biases });
    const result = await floats(`${name}.result`);
    expect(result).toHaveLength(512);
    for (let i = 0; i < 512; i++) {
      const group = Math.floor(i / quantization.group);
      // Product and sum are each rounded to the scale dtype: the larger of the terms sets the unit.
      const largest = Math.max(Math.abs(values[i]!), Math.abs(biases[group]!), Math.abs(values[i]! - biases[group]!), 2 ** -14);
      const unit = 2 ** (Math.floor(Math.log2(largest)) - MANTISSA_BITS[dtype]);
      expect(Math.abs(result[i]! - values[i]!)).toBeLessThanOrEqual(unit);
    }
  });

  it.each(FLOAT)('[formats F12] recorded: $name dequantises to the same numbers', async ({ name, quantization }) => {
    const rows = { words: toWords(await quantised.readTensor(`${name}.words`)), scales: await quantised.readTensor(`${name}.scales`) };
    const values = dequantise(quantization, rows);
    const result = await floats(`${name}.result`);
    expect([...Float32Array.from(values)].map((v) => v + 0)).toEqual([...result].map((v) => v + 0));
  });

  it.each([...AFFINE, ...FLOAT])('recorded: $name quantises to the same codes, scales and biases', async ({ name, dtype, quantization }) => {
    const found = quantise(quantization, await floats(`${name}.values`), dtype);
    const words = toWords(await quantised.readTensor(`${name}.words`));
    const codes = unpackCodes(quantization.bits, words);
    expect({ name, differ: [...found.codes].filter((c, i) => c !== codes[i]).length }).toEqual({ name, differ: 0 });
    const scales = quantization.mode === 'affine' ? await floats(`${name}.scales`) : await quantised.readTensor(`${name}.scales`);
    expect(found.scales).toEqual(scales);
    if (quantization.mode === 'affine') expect(found.biases).toEqual(await floats(`${name}.biases`));
  });
});
