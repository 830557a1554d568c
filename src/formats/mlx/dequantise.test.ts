import { describe, expect, it } from 'vitest';
import { dequantise } from './dequantise.ts';
import { packCodes } from './packing.ts';
import { E4M3_VALUES, E8M0_VALUES, FP4_VALUES, numberToE4m3, numberToFp4 } from './small-floats.ts';

const random = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
};

describe('tables', () => {
  it('[formats F10] fp4, e4m3 and e8m0 are the values of their bit fields', () => {
    expect(FP4_VALUES).toEqual([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6]);
    expect([0, 1, 7, 8, 0x38, 0x40, 0x30, 0x7e, 0x7f].map((c) => E4M3_VALUES[c])).toEqual([0, 2 ** -9, 7 * 2 ** -9, 2 ** -6, 1, 2, 0.5, 448, 480]);
    for (let code = 0; code < 127; code++) {
      expect(E4M3_VALUES[code + 1]!).toBeGreaterThan(E4M3_VALUES[code]!);
      expect(E4M3_VALUES[code + 128]).toBe(-E4M3_VALUES[code]!);
    }
    expect([0, 1, 126, 127, 128, 254, 255].map((b) => E8M0_VALUES[b])).toEqual([2 ** -127, 2 ** -126, 0.5, 1, 2, 2 ** 127, Number.POSITIVE_INFINITY]);
  });

  it('[formats F10] encoding finds each finite code again', () => {
    for (let code = 0; code < 256; code++) if ((code & 0x7f) !== 0x7f) expect(numberToE4m3(E4M3_VALUES[code]!)).toBe(code);
    for (let code = 0; code < 16; code++) expect(numberToFp4(FP4_VALUES[code]!)).toBe(code === 8 ? 0 : code);
    expect([449, 1e9, Number.POSITIVE_INFINITY].map(numberToE4m3)).toEqual([0x7e, 0x7e, 0x7e]);
    // Halfway between two codes: e4m3 goes to the even one, fp4 to the smaller one.
    expect([1.0625, 1.1875, 2 ** -10, 3 * 2 ** -10].map(numberToE4m3)).toEqual([0x38, 0x3a, 0, 2]);
    expect([0.25, 0.75, 1.25, 2.5, 3.5, 5, -5, 99, -0.25, -99].map(numberToFp4)).toEqual([0, 1, 2, 4, 5, 6, 14, 7, 0, 15]);
  });
});

describe('dequantise', () => {
  it('[formats F10] affine equals scale·q + bias in float64, for every width and group, with negative scales', () => {
    const next = random(5);
    for (const bits of [2, 3, 4, 5, 6, 8])
      for (const group of [32, 64, 128]) {
        const codes = Uint8Array.from({ length: 512 }, () => Math.floor(next() * 2 ** bits));
        const scales = Float32Array.from({ length: 512 / group }, () => next() - 0.5);
        const biases = Float32Array.from({ length: 512 / group }, () => next() - 0.5);
        const values = dequantise({ mode: 'affine', bits, group }, { words: packCodes(bits, codes), scales, biases });
        for (let i = 0; i < 512; i++) expect(values[i]).toBe(scales[Math.floor(i / group)]! * codes[i]! + biases[Math.floor(i / group)]!);
      }
  });

  it('[formats F10] the float modes equal code · scale, nvfp4 times its global scale', () => {
    const next = random(9);
    for (const { mode, bits, group } of [
      { mode: 'mxfp4', bits: 4, group: 32 },
      { mode: 'mxfp8', bits: 8, group: 32 },
      { mode: 'nvfp4', bits: 4, group: 16 },
    ] as const) {
      const codes = Uint8Array.from({ length: 256 }, (_, i) => (i * 7) % 2 ** bits);
      const scales = Uint8Array.from({ length: 256 / group }, () => Math.floor(next() * 255));
      for (const globalScale of mode === 'nvfp4' ? [undefined, 1344] : [undefined]) {
        const values = dequantise({ mode, bits, group }, { words: packCodes(bits, codes), scales, ...(globalScale ? { globalScale } : {}) });
        for (let i = 0; i < 256; i++) {
          const byte = scales[Math.floor(i / group)]!;
          const scale = mode === 'nvfp4' ? E4M3_VALUES[byte]! * (globalScale ? 0.5 : 1) : 2 ** (byte - 127);
          expect(values[i]).toBe((mode === 'mxfp8' ? E4M3_VALUES : FP4_VALUES)[codes[i]!]! * scale);
        }
      }
    }
  });

  it('arrays that do not belong together are refused', () => {
    const rows = { words: new Uint32Array(8), scales: new Float32Array(2), biases: new Float32Array(2) };
    const quantization = { mode: 'affine', bits: 4, group: 32 } as const;
    expect(dequantise(quantization, rows)).toHaveLength(64);
    expect(() => dequantise(quantization, { ...rows, scales: new Float32Array(1) })).toThrow(RangeError);
    expect(() => dequantise(quantization, { words: rows.words, scales: rows.scales })).toThrow(RangeError);
  });
});
