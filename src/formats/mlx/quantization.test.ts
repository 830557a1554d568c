import { describe, expect, it } from 'vitest';
import { readQuantization } from './quantization.ts';

const code = (config: Record<string, unknown>): string => {
  try {
    readQuantization(config);
    return 'read';
  } catch (error) {
    return (error as { code: string }).code;
  }
};
const affine = (bits: number, group: number) => ({ mode: 'affine', bits, group });

describe('readQuantization', () => {
  it('[formats F8] modules listed as objects, as false, with null values and without a mode are read by the rule of 2.2', () => {
    const plan = readQuantization({
      quantization: {
        group_size: 32,
        bits: 4,
        mode: 'mxfp4',
        'model.a': { group_size: 64, bits: 8 },
        'model.b': false,
        'model.c': { group_size: null, bits: null },
        'model.d': { group_size: null, bits: null, mode: 'nvfp4' },
        'model.e': { group_size: 32, bits: 8, mode: 'mxfp8' },
      },
    });
    expect(plan?.layout).toBe('mlx');
    expect(plan?.fallback).toEqual({ mode: 'mxfp4', bits: 4, group: 32 });
    expect(Object.fromEntries(plan!.modules)).toEqual({
      'model.a': affine(8, 64),
      'model.b': false,
      'model.c': affine(4, 64),
      'model.d': { mode: 'nvfp4', bits: 4, group: 16 },
      'model.e': { mode: 'mxfp8', bits: 8, group: 32 },
    });
  });

  it('[formats F8] a missing mode at the top is affine, null sizes are its defaults', () => {
    expect(readQuantization({ quantization: { group_size: 128, bits: 3 } })?.fallback).toEqual(affine(3, 128));
    expect(readQuantization({ quantization: { group_size: null, bits: null } })?.fallback).toEqual(affine(4, 64));
    expect(readQuantization({ quantization: { mode: 'mxfp8' } })?.fallback).toEqual({ mode: 'mxfp8', bits: 8, group: 32 });
    expect(readQuantization({})).toBeNull();
    expect(readQuantization({ quantization: null, quantization_config: null, text_config: {} })).toBeNull();
  });

  it('[formats F8] the block of config.json wins over quantization_config, which is read from text_config too', () => {
    const foreign = { quant_method: 'mxfp4' };
    const mxfp4 = { mode: 'mxfp4', bits: 4, group: 32 };
    expect(readQuantization({ quantization: { bits: 8 }, quantization_config: foreign })?.fallback).toEqual(affine(8, 64));
    expect(readQuantization({ quantization_config: foreign })?.fallback).toEqual(mxfp4);
    expect(readQuantization({ text_config: { quantization_config: foreign } })?.fallback).toEqual(mxfp4);
    expect(readQuantization({ quantization_config: { group_size: 32, bits: 6 } })?.fallback).toEqual(affine(6, 32));
  });

  it('[formats F8] awq, gptq, mxfp4 and compressed-tensors name their layout and mode', () => {
    expect(readQuantization({ quantization_config: { quant_method: 'awq', bits: 4, group_size: 64 } })).toMatchObject({
      layout: 'awq',
      fallback: affine(4, 64),
    });
    expect(readQuantization({ quantization_config: { quant_method: 'gptq', bits: 4 } })).toMatchObject({ layout: 'gptq', fallback: affine(4, 128) });
    for (const bits of [2, 3, 8])
      expect(readQuantization({ quantization_config: { quant_method: 'gptq', bits } })).toMatchObject({ layout: 'gptq', fallback: affine(bits, 128) });
    for (const [quant_method, bits] of [...[5, 6].map((width) => ['gptq', width]), ...[3, 8].map((width) => ['awq', width])])
      expect(code({ quantization_config: { quant_method, bits } })).toBe('mlx_quant_unsupported');
    const packed = (format?: string) =>
      readQuantization({ quantization_config: { quant_method: 'compressed-tensors', ...(format ? { format } : {}) } })?.fallback;
    expect(packed('nvfp4-pack-quantized')).toEqual({ mode: 'nvfp4', bits: 4, group: 16 });
    expect(packed('pack-quantized')).toEqual(affine(4, 32));
    expect(packed()).toEqual(affine(4, 32));
    for (const format of ['int-quantized', 'marlin-24', 'naive-quantized'])
      expect(code({ quantization_config: { quant_method: 'compressed-tensors', format } })).toBe('mlx_quant_unsupported');
  });

  it('[formats F8] weights of 8-bit floats are no codes: they become plain numbers', () => {
    expect(readQuantization({ quantization_config: { quant_method: 'fp8', weight_block_size: [128, 128] } })).toBe(null);
    expect(readQuantization({ quantization_config: { quant_method: 'compressed-tensors', format: 'float-quantized' } })).toBe(null);
  });

  it('[formats F8] other methods, modes, groups and widths are refused', () => {
    for (const method of ['bitnet', 'bitsandbytes', 'modelopt', 7])
      expect(code({ quantization_config: { quant_method: method } })).toBe('mlx_quant_unsupported');
    const blocks = [
      { bits: 1 },
      { bits: 7 },
      { bits: 4.5 },
      { bits: '4' },
      { group_size: 16 },
      { group_size: 256 },
      { mode: 'mxfp4', bits: 8 },
      { mode: 'nvfp4', group_size: 32 },
    ];
    for (const block of [...blocks, { mode: 'toString' }, { mode: 4 }, { 'model.a': { bits: 9 } }])
      expect(code({ quantization: block })).toBe('mlx_quant_unsupported');
    for (const block of ['4bit', [], true]) expect(code({ quantization: block })).toBe('mlx_config_invalid');
    expect(code({ quantization_config: [] })).toBe('mlx_config_invalid');
  });
});
