import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { packCodes } from '../mlx/index.ts';
import { numberToF16 } from '../safetensors/index.ts';
import {
  decodeBlocks,
  encodeMxfp4,
  encodeNvfp4,
  encodeQ41,
  encodeQ51,
  encodeQ80Codes,
  type GgufTypeName,
  ggufTypes,
  neighboursToHalves,
  quantiseQ40,
  quantiseQ80,
} from './index.ts';

const reference = JSON.parse(await readFile(join(import.meta.dirname, '../../../test/reference/gguf/blocks.json'), 'utf8')) as Record<
  string,
  { blocks: string; float32: string }
>;
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const floats = (hex: string): Float32Array => new Float32Array(bytes(hex).buffer);
const hexOf = (data: Uint8Array): string => Buffer.from(data).toString('hex');
const packed = (bits: number, codes: readonly number[]): Uint8Array => new Uint8Array(packCodes(bits, Uint8Array.from(codes)).buffer);
const halves = (...values: number[]): Uint16Array => Uint16Array.from(values, numberToF16);
const upTo = (count: number, value: (i: number) => number): number[] => Array.from({ length: count }, (_, i) => value(i));

describe('[formats F23] block codecs equal those of llama.cpp and the golden vectors', () => {
  test.each(['F16', 'BF16', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'MXFP4', 'NVFP4', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K'] as GgufTypeName[])(
    'random %s blocks decode to the numbers that llama.cpp gives',
    (type) => {
      const { blocks, float32 } = reference[type]!;
      const expected = floats(float32);
      const decoded = decodeBlocks(type, bytes(blocks));
      expect(decoded).toHaveLength(expected.length);
      // The reference calculates in float32: ours is the exact number, so one rounding of it must give theirs, or the neighbour for K types, where theirs rounds more than once.
      const slack = type.endsWith('_K') ? 2 ** -22 : 0;
      for (const [i, value] of decoded.entries()) {
        const scale = Math.abs(expected[i]!) + (slack === 0 ? 0 : 64);
        expect(Math.abs(Math.fround(value) - expected[i]!)).toBeLessThanOrEqual(slack * scale);
      }
    },
  );

  test('Q4_1: codes i mod 16, scale 0.5, bias −3', () => {
    const codes = packed(
      4,
      upTo(32, (i) => i % 16),
    );
    const block = encodeQ41(codes, halves(0.5), halves(-3), 32);
    expect(hexOf(block)).toBe('003800c200112233445566778899aabbccddeeff');
    expect([...decodeBlocks('Q4_1', block)]).toEqual(upTo(32, (i) => 0.5 * (i % 16) - 3));
    const other = encodeQ41(
      packed(
        4,
        upTo(32, (i) => (5 * i + 1) % 16),
      ),
      halves(1),
      halves(0),
      32,
    );
    expect(hexOf(other.subarray(4))).toBe('1166bb0055aaff4499ee3388dd2277cc');
  });

  test('Q4_1: a group of 64 becomes two blocks with the same scale', () => {
    const codes = packed(
      4,
      upTo(128, (i) => (3 * i) % 16),
    );
    const blocks = encodeQ41(codes, halves(0.25, 2), halves(1, -1), 64);
    expect([...decodeBlocks('Q4_1', blocks)]).toEqual(upTo(128, (i) => (i < 64 ? 0.25 * ((3 * i) % 16) + 1 : 2 * ((3 * i) % 16) - 1)));
  });

  test('Q4_1 of the 4-bit golden vector', () => {
    const q = [15, 14, 14, 13, 13, 12, 12, 11, 11, 10, 10, 10, 9, 9, 8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0];
    const block = encodeQ41(packed(4, q), halves(-0.13125), halves(1.3125), 32);
    expect(hexOf(block)).toBe('33b0403d7f7e6e6d5d5c4c4b3b3a2a2a19190808');
  });

  test('Q5_1 of the 5-bit golden vector', () => {
    const block = encodeQ51(Uint8Array.from(upTo(32, (i) => 31 - i)), halves(-0.0625), halves(1.3125), 32);
    expect(hexOf(block)).toBe('00ac403dffff0000ffeeddccbbaa99887766554433221100');
    expect([...decodeBlocks('Q5_1', block)]).toEqual(upTo(32, (i) => (i - 10) / 16));
  });

  test('MXFP4 and NVFP4: codes i mod 16', () => {
    expect(
      hexOf(
        encodeMxfp4(
          packed(
            4,
            upTo(32, (i) => i % 16),
          ),
          Uint8Array.of(127),
        ),
      ),
    ).toBe('7f00112233445566778899aabbccddeeff');
    const nvfp4 = encodeNvfp4(
      packed(
        4,
        upTo(64, (i) => i % 16),
      ),
      Uint8Array.of(0x38, 0x40, 0x30, 0x7e),
    );
    expect(hexOf(nvfp4)).toBe(`3840307e${'8091a2b3c4d5e6f7'.repeat(4)}`);
    expect(decodeBlocks('NVFP4', nvfp4)[49]).toBe(0.5 * 448);
  });

  test('Q8_0: codes with a bias of −128 · scale keep their numbers', () => {
    const block = encodeQ80Codes(Uint8Array.from(upTo(32, (i) => 8 * i)), halves(0.5), 32);
    expect([...decodeBlocks('Q8_0', block)]).toEqual(upTo(32, (i) => 0.5 * (8 * i - 128)));
  });

  test('Q4_0 of random numbers has the bytes that llama.cpp gives', () => {
    const { blocks, float32 } = reference['encodeQ4_0']!;
    expect(hexOf(quantiseQ40(floats(float32)))).toBe(blocks);
  });
});

test('no element of a Q8_0 block is further than half a step from its number', () => {
  const values = floats(reference['encodeQ8_0']!.float32);
  const blocks = quantiseQ80(values);
  const decoded = decodeBlocks('Q8_0', blocks);
  for (let block = 0; block < values.length / 32; block += 1) {
    const largest = Math.max(...values.subarray(block * 32, block * 32 + 32).map(Math.abs));
    const step = decodeBlocks('Q8_0', Uint8Array.from([...blocks.subarray(block * 34, block * 34 + 2), 1, ...new Uint8Array(31)]))[0]!;
    expect(step * 127).toBeGreaterThanOrEqual(largest);
    for (let i = block * 32; i < block * 32 + 32; i += 1) expect(Math.abs(decoded[i]! - values[i]!)).toBeLessThanOrEqual(step / 2);
  }
});

test('regrouped, element i of a block shares its byte with element i + 16', () => {
  const codes = Uint8Array.from(upTo(48, (i) => (i * 37 + 11) & 255));
  const halves = new Uint8Array(48);
  for (let at = 0; at < 48; at += 16) neighboursToHalves(codes, at, halves, at);
  const element = (block: number, i: number): number => (codes[block * 16 + (i >> 1)]! >> (4 * (i & 1))) & 15;
  expect([...halves]).toEqual(upTo(48, (i) => element(i >> 4, i & 15) | (element(i >> 4, (i & 15) + 16) << 4)));
});

test('every type of the table has a block of at most 256 elements and an id of its own', () => {
  expect(new Set(ggufTypes().map((type) => type.id)).size).toBe(ggufTypes().length);
  for (const type of ggufTypes()) expect(256 % type.elements).toBe(0);
});
