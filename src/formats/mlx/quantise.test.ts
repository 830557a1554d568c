import { describe, expect, it } from 'vitest';
import { decodeFloats, encodeFloats } from '../safetensors/index.ts';
import { dequantise } from './dequantise.ts';
import { quantise, quantiseWords } from './quantise.ts';
import { quantiseBytes } from './quantise-bytes.ts';

const hex = (words: Uint32Array): string => [...words].map((w) => w.toString(16).padStart(8, '0')).join(' ');
const RAMP = Float32Array.from({ length: 32 }, (_, i) => (i - 10) / 16);
/** Words and scale of the ramp, docs/spec/formats.md §9. */
const GOLDENS: readonly [bits: number, scale: number, words: string][] = [
  [2, -0.65625, 'aaaaabff 00055555'],
  [3, -0.2625, '6ddb6fff 36dc925b 00124a49'],
  [4, -0.13125, 'bccddeef 8899aaab 44556677 00112233'],
  [5, -0.0625, '75be77df 3a56d7c6 35cf8465 c74254b6 00443214'],
  [6, -0.030523255, '77e7bf7f bb6fc73d 863967a6 1765b75f a30e4125 00210620'],
  [8, -0.007586705, 'e7eff7ff c6ced6de a5adb5bd 848c949d 636b737c 424a525b 2129313a 00081019'],
];
const affine = (bits: number, group = 32) => ({ mode: 'affine' as const, bits, group });
const group = (...values: number[]): Float32Array => Float32Array.from({ length: 32 }, (_, i) => values[i % values.length]!);

describe('quantise', () => {
  it.each(GOLDENS)('[formats F11] the golden ramp in %i bits', (bits, scale, words) => {
    const found = quantise(affine(bits), RAMP);
    expect(hex(found.words)).toBe(words);
    expect((found.scales as Float32Array)[0]).toBe(Math.fround(scale));
    expect(found.biases![0]).toBe(1.3125);
  });

  it('[formats F11] the golden of 4 bits has the codes that section 9 lists, and scale dtypes round the scale only', () => {
    const codes = [15, 14, 14, 13, 13, 12, 12, 11, 11, 10, 10, 10, 9, 9, 8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0];
    for (const [dtype, scale] of [
      ['F32', Math.fround(-0.13125)],
      ['F16', -0.1312255859375],
      ['BF16', -0.130859375],
    ] as const) {
      const found = quantise(affine(4), RAMP, dtype);
      expect([...found.codes]).toEqual(codes);
      expect([...found.scales]).toEqual([scale]);
      expect([...found.biases!]).toEqual([1.3125]);
    }
  });

  it('[formats F11] ties go to the even code', () => {
    // Scale −1 and bias 15: the code of 15 − c is c, of 14.5 it lies between 0 and 1, of 13.5 between 1 and 2.
    const found = quantise(affine(4), group(15, 0, 14.5, 13.5, 12.5, 11.5));
    expect([...found.scales, ...found.biases!]).toEqual([-1, 15]);
    expect([...found.codes.subarray(0, 6)]).toEqual([0, 15, 0, 2, 2, 4]);
  });

  it('[formats F11] all-zero, constant and single-spike groups come back', () => {
    for (const bits of [2, 3, 4, 5, 6, 8]) {
      const zero = quantise(affine(bits), group(0));
      expect([...zero.codes]).toEqual(Array(32).fill(0));
      expect(zero.biases![0]).toBe(0);
      for (const constant of [0.75, -0.75]) {
        const values = dequantise(affine(bits), quantise(affine(bits), group(constant)));
        for (const value of values) expect(value).toBeCloseTo(constant, 6);
      }
      for (const spike of [5, -5]) {
        const input = new Float32Array(32);
        input[7] = spike;
        const found = quantise(affine(bits), input);
        for (const [i, value] of dequantise(affine(bits), found).entries()) expect(value).toBeCloseTo(input[i]!, 6);
        expect(found.biases![0]).toBe(spike);
      }
    }
  });

  it('[formats F11] float modes: zero groups, spikes and the rule of the scale', () => {
    const mxfp4 = { mode: 'mxfp4', bits: 4, group: 32 } as const;
    const mxfp8 = { mode: 'mxfp8', bits: 8, group: 32 } as const;
    const nvfp4 = { mode: 'nvfp4', bits: 4, group: 16 } as const;
    for (const mode of [mxfp4, mxfp8]) expect([...quantise(mode, group(0)).scales]).toEqual([127]);
    expect([...quantise(nvfp4, group(0)).scales]).toEqual([0, 0]);
    for (const mode of [mxfp4, mxfp8, nvfp4]) {
      expect([...quantise(mode, group(0)).codes]).toEqual(Array(32).fill(0));
      const input = new Float32Array(32);
      input[3] = -6;
      expect([...dequantise(mode, quantise(mode, input))].map((v) => v + 0)).toEqual([...input]);
    }
    // 6·2^3 and 448·2^−4 fill the range of their codes; anything above takes the next power of two.
    expect([...quantise(mxfp4, group(48, 1)).scales]).toEqual([130]);
    expect([...quantise(mxfp8, group(28, 1)).scales]).toEqual([123]);
    expect([5.9, 6, 6.1, 11, 12.1, 3.1].map((largest) => quantise(mxfp4, group(largest)).scales[0])).toEqual([127, 127, 128, 128, 129, 127]);
    expect([2 ** -140, 3e38].map((largest) => quantise(mxfp4, group(largest)).scales[0])).toEqual([0, 253]);
    expect([...quantise(nvfp4, group(6 * 1.0625)).scales]).toEqual([0x38, 0x38]);
  });

  it('values that are not whole groups are refused', () => {
    expect(() => quantise(affine(4), new Float32Array(40))).toThrow(RangeError);
  });
});

describe('quantiseBytes', () => {
  it('[formats F11] gives the words, scales and biases of quantiseWords for every width, group and dtype, and refuses what is not finite', () => {
    const random = Float32Array.from({ length: 4096 }, (_, i) => Math.fround(Math.sin(i * 12.9898) * 43_758.5453) % 1);
    const special = [0, -0, 1e-8, -1e-8, 65_504, -65_504, 3, -3, 2 ** -24, -(2 ** -24), 7, 7];
    for (let i = 0; i < 512; i++) random[i] = special[(i * 7 + (i >> 6)) % special.length]!;
    random.fill(-0, 1024, 1152);
    random.fill(5, 1152, 1280);
    for (const bits of [2, 3, 4, 6, 8])
      for (const group of [32, 64, 128])
        for (const dtype of ['F32', 'F16', 'BF16'] as const) {
          const bytes = encodeFloats(dtype, random);
          const expected = quantiseWords(affine(bits, group), decodeFloats(dtype, bytes), dtype);
          const found = quantiseBytes({ bits, group }, dtype, bytes, dtype);
          if (found.kind !== 'made') throw new Error(found.kind);
          expect(Buffer.compare(found.words, new Uint8Array(expected.words.buffer))).toBe(0);
          expect(Buffer.compare(found.scales, encodeFloats(dtype, expected.scales as Float32Array))).toBe(0);
          expect(Buffer.compare(found.biases, encodeFloats(dtype, expected.biases!))).toBe(0);
          for (const bad of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]) {
            const broken = random.slice();
            broken[777] = bad;
            expect(quantiseBytes({ bits, group }, dtype, encodeFloats(dtype, broken), dtype)).toEqual({ kind: 'not-finite', of: 'source' });
          }
        }
    const wide = Float32Array.from({ length: 32 }, (_, i) => (i === 0 ? 1e6 : 0));
    expect(quantiseBytes({ bits: 4, group: 32 }, 'F32', encodeFloats('F32', wide), 'F16')).toEqual({ kind: 'not-finite', of: 'scale' });
  });
});
