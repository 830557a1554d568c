import { describe, expect, it } from 'vitest';
import { packCodes, toWords, unpackCodes } from './packing.ts';

const GOLDENS: Readonly<Record<number, string>> = {
  2: '1b1b1b1b 1b1b1b1b',
  3: '53977053 70539770 97705397',
  4: '4d6f81a3 c5e7092b 4d6f81a3 c5e7092b',
  5: '4dfc4543 78245ba3 0753617d 4b276cf4 e55c7066',
  6: '9f611283 90bbd2d9 b2579740 8f201eb3 9cab91d5 71538703',
  8: '18110a03 342d261f 5049423b 6c655e57 88817a73 a49d968f c0b9b2ab dcd5cec7',
};
const hex = (words: Uint32Array): string => [...words].map((w) => w.toString(16).padStart(8, '0')).join(' ');

describe.each([2, 3, 4, 5, 6, 8])('%i-bit codes', (bits) => {
  it('[formats F9] the golden of section 9', () => {
    const codes = Uint8Array.from({ length: 32 }, (_, i) => (7 * i + 3) % 2 ** bits);
    expect(hex(packCodes(bits, codes))).toBe(GOLDENS[bits]);
    expect(unpackCodes(bits, packCodes(bits, codes))).toEqual(codes);
  });

  it('[formats F9] random rows of 32·k elements round-trip, and each code stands at its bits', () => {
    let state = bits;
    const next = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state >>> 24;
    };
    for (let k = 1; k <= 40; k++) {
      const codes = Uint8Array.from({ length: 32 * k }, () => next() % 2 ** bits);
      const words = packCodes(bits, codes);
      expect(words).toHaveLength(bits * k);
      expect(unpackCodes(bits, words)).toEqual(codes);
      const stream = [...words].map((w) => w.toString(2).padStart(32, '0').split('').reverse().join('')).join('');
      const at = (next() * 8) % codes.length;
      expect(
        Number.parseInt(
          stream
            .slice(at * bits, (at + 1) * bits)
            .split('')
            .reverse()
            .join(''),
          2,
        ),
      ).toBe(codes[at]);
    }
  });
});

describe('packing', () => {
  it('codes that do not fill whole words are refused', () => {
    expect(() => packCodes(3, new Uint8Array(31))).toThrow(RangeError);
    expect(() => unpackCodes(3, new Uint32Array(2))).toThrow(RangeError);
    expect(unpackCodes(4, new Uint32Array(2))).toHaveLength(16);
  });

  it('words are little-endian, from bytes that are not aligned', () => {
    const bytes = Uint8Array.of(0, 0x78, 0x56, 0x34, 0x12);
    expect([...toWords(bytes.subarray(1))]).toEqual([0x12345678]);
    expect([...unpackCodes(4, toWords(bytes.subarray(1)))]).toEqual([8, 7, 6, 5, 4, 3, 2, 1]);
  });
});
