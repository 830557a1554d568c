import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeFloats, encodeFloats, type FloatDtype, openSafetensors, type SafetensorsFile } from '../safetensors/index.ts';
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

/** One line of quantise.json: digests of what MLX's CPU quantiser made of `randomNumbers(seed)`. */
interface RecordedDigests {
  readonly seed: number;
  readonly bits: number;
  readonly group: number;
  readonly dtype: FloatDtype;
  readonly words: string;
  readonly scales: string;
  readonly biases: string;
}
const DIGESTS = JSON.parse(readFileSync(join(RECORDED, 'quantise.json'), 'utf8')) as RecordedDigests[];

/** 64 rows of 512 numbers near a normal distribution, exact in float32: the same as in test/reference/make-quantise.py. */
function randomNumbers(seed: number): Float32Array {
  const hash = (index: number): number => {
    let h = Math.imul(index, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15), 0x85ebca77);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae3d);
    return (h ^ (h >>> 16)) & 0xffff;
  };
  return Float32Array.from({ length: 64 * 512 }, (_, i) => {
    const at = 4 * i + seed * 1_000_003;
    const sum = hash(at) + hash(at + 1) + hash(at + 2) + hash(at + 3) - 131_070;
    return sum * 2 ** -(20 + (Math.floor(i / 512) % 5));
  });
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 32);

it.each(DIGESTS)('[engines E44] recorded: $bits bits, group $group, $dtype: codes, scales and biases of random rows equal those of MLX', (expected) => {
  const { seed, bits, group, dtype } = expected;
  const values = decodeFloats(dtype, encodeFloats(dtype, randomNumbers(seed)));
  const found = quantise({ mode: 'affine', bits, group }, values, dtype);
  expect({
    words: digest(new Uint8Array(found.words.buffer)),
    scales: digest(encodeFloats(dtype, found.scales as Float32Array)),
    biases: digest(encodeFloats(dtype, found.biases!)),
  }).toEqual({ words: expected.words, scales: expected.scales, biases: expected.biases });
});
