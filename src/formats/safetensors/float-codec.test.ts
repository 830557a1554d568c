import { describe, expect, it } from 'vitest';
import { bf16ToNumber, decodeFloats, encodeFloats, f16ToNumber, numberToBf16, numberToF16 } from './float-codec.ts';

const PATTERNS = Uint16Array.from({ length: 65_536 }, (_, i) => i);
const bytesOf = (array: Uint16Array | Float32Array): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

describe.each([
  { dtype: 'F16' as const, toNumber: f16ToNumber, fromNumber: numberToF16, infinity: 0x7c00 },
  { dtype: 'BF16' as const, toNumber: bf16ToNumber, fromNumber: numberToBf16, infinity: 0x7f80 },
])('$dtype', ({ dtype, toNumber, fromNumber, infinity }) => {
  it('[formats F7] all 65,536 patterns decode and encode back to themselves, NaN with their payload', () => {
    const decoded = decodeFloats(dtype, bytesOf(PATTERNS));
    expect(encodeFloats(dtype, decoded)).toEqual(bytesOf(PATTERNS));
    for (const bits of PATTERNS) {
      const value = toNumber(bits);
      const nan = (bits & 0x7fff) > infinity;
      if (Number.isNaN(value) !== nan || !Object.is(decoded[bits], value)) expect.fail(`pattern ${bits} decodes to ${value} and ${decoded[bits]}`);
      if (!nan && fromNumber(value) !== bits) expect.fail(`pattern ${bits} encodes back to ${fromNumber(value)}`);
    }
    expect((fromNumber(Number.NaN) & 0x7fff) > infinity).toBe(true);
  });

  it('[formats F7] halfway between any two neighbours goes to the even one, anything nearer to its neighbour', () => {
    for (let bits = 0; bits < infinity - 1; bits++) {
      const low = toNumber(bits);
      const high = toNumber(bits + 1);
      const middle = (low + high) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const quarter = (high - low) / 4;
      const found = [fromNumber(middle), fromNumber(-middle), fromNumber(middle - quarter), fromNumber(middle + quarter)];
      if (found[0] !== even || found[1] !== (even | 0x8000) || found[2] !== bits || found[3] !== bits + 1) expect.fail(`near ${middle}: ${found}`);
    }
  });

  it('[formats F7] the array codec rounds as the single one', () => {
    const values = new Float32Array(60_000);
    let state = 1;
    for (let i = 0; i < values.length; i++) {
      state = (state * 1_103_515_245 + 12_345) >>> 0;
      new Uint32Array(values.buffer)[i] = (state ^ (state << 7)) >>> 0;
    }
    const encoded = new Uint16Array(encodeFloats(dtype, values).buffer);
    for (let i = 0; i < values.length; i++)
      if (!Number.isNaN(values[i]) && encoded[i] !== fromNumber(values[i]!)) expect.fail(`${values[i]} gives ${encoded[i]}`);
  });
});

describe('16-bit floats', () => {
  it('[formats F7] range, subnormals and rounding once from a double', () => {
    expect(numberToF16(65_504)).toBe(0x7bff);
    expect(numberToF16(65_519.99)).toBe(0x7bff);
    expect(numberToF16(65_520)).toBe(0x7c00);
    expect(numberToF16(-1e300)).toBe(0xfc00);
    expect(numberToF16(2 ** -25)).toBe(0);
    expect(numberToF16(2 ** -25 * 1.001)).toBe(1);
    expect(numberToF16(-0)).toBe(0x8000);
    expect(numberToBf16(3.4e38)).toBe(0x7f80);
    expect(numberToBf16(5e-324)).toBe(0);
    // By way of float32 this would fall on the halfway point and go down to the even code.
    expect(numberToBf16(1 + 2 ** -8 + 2 ** -40)).toBe(0x3f81);
    expect(numberToF16(1 + 2 ** -11 + 2 ** -40)).toBe(0x3c01);
  });

  it('bf16 values that fp16 holds, and that it does not', () => {
    const holds = (bits: number): boolean => f16ToNumber(numberToF16(bf16ToNumber(bits))) === bf16ToNumber(bits);
    expect([0x3780, 0x3701, 0x3682, 0x477f].map(holds)).toEqual([true, true, true, true]);
    expect([0x3681, 0x4780].map(holds)).toEqual([false, false]);
    expect(bf16ToNumber(0x3780)).toBe(2 ** -16);
    expect(bf16ToNumber(0x477f)).toBe(65_280);
  });

  it('float32 is copied bit by bit, from bytes that are not aligned', () => {
    const bytes = new Uint8Array(9);
    new DataView(bytes.buffer).setFloat32(1, -1.5, true);
    new DataView(bytes.buffer).setUint32(5, 0x7fa12345, true);
    const values = decodeFloats('F32', bytes.subarray(1));
    expect(values[0]).toBe(-1.5);
    expect(encodeFloats('F32', values)).toEqual(bytes.slice(1));
    expect(encodeFloats('F16', values.subarray(0, 1))).toEqual(Uint8Array.of(0x00, 0xbe));
  });
});
