import { HearthError } from '../../core/index.ts';
import { decodeBlocks, type GgufTypeName } from '../gguf/index.ts';
import { packCodes } from '../mlx/index.ts';
import { f16ToNumber } from '../safetensors/index.ts';
import type { ImportType } from './import-type.ts';

/** Scale (first) and minimum (second) codes of the eight sub-blocks, 6 bits each in 12 bytes. */
function sixBitPairs(blocks: Uint8Array, at: number): readonly (readonly [number, number])[] {
  return Array.from({ length: 8 }, (_, j) =>
    j < 4
      ? [blocks[at + j]! & 63, blocks[at + j + 4]! & 63]
      : [(blocks[at + j + 4]! & 15) | ((blocks[at + j - 4]! >> 6) << 4), (blocks[at + j + 4]! >> 4) | ((blocks[at + j]! >> 6) << 4)],
  );
}

/** Products of a 6-bit code with the block's fp16 number: at most 17 significant bits, so float32 holds them exactly. */
function subBlockNumbers(blocks: Uint8Array, blockBytes: number, which: 0 | 1): Uint8Array {
  const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.byteLength);
  const count = blocks.length / blockBytes;
  const out = new Float32Array(count * 8);
  for (let block = 0; block < count; block += 1) {
    const factor = f16ToNumber(view.getUint16(block * blockBytes + 2 * which, true)) * (which === 1 ? -1 : 1);
    if (!Number.isFinite(factor)) throw new HearthError('convert_not_finite', 'A scale of the GGUF file is infinite or not a number.');
    sixBitPairs(blocks, block * blockBytes + 4).forEach((pair, j) => {
      out[block * 8 + j] = factor * pair[which];
    });
  }
  return new Uint8Array(out.buffer);
}

/** `highBits`: offset of the 32 bytes with fifth bits, or null. `low`: offset of the 128 bytes of nibbles. */
function subBlockCodes(blocks: Uint8Array, blockBytes: number, bits: 4 | 5, low: number, highBits: number | null): Uint8Array {
  const count = blocks.length / blockBytes;
  const codes = new Uint8Array(count * 256);
  for (let block = 0; block < count; block += 1) {
    const at = block * blockBytes;
    for (let element = 0; element < 256; element += 1) {
      const j = element >> 5;
      const i = element & 31;
      const nibble = (blocks[at + low + 32 * (j >> 1) + i]! >> (4 * (j & 1))) & 15;
      codes[block * 256 + element] = highBits === null ? nibble : nibble | (((blocks[at + highBits + i]! >> j) & 1) << 4);
    }
  }
  return new Uint8Array(packCodes(bits, codes).buffer);
}

/** Block types of 256 whose sub-blocks of 32 have a scale and a minimum: exact with float32 scales. */
export const K_IMPORT_TYPES: Partial<Record<GgufTypeName, ImportType>> = {
  Q4_K: {
    quantization: { mode: 'affine', bits: 4, group: 32 },
    codes: (blocks) => subBlockCodes(blocks, 144, 4, 16, null),
    scales: (blocks) => subBlockNumbers(blocks, 144, 0),
    biases: (blocks) => subBlockNumbers(blocks, 144, 1),
  },
  Q5_K: {
    quantization: { mode: 'affine', bits: 5, group: 32 },
    codes: (blocks) => subBlockCodes(blocks, 176, 5, 48, 16),
    scales: (blocks) => subBlockNumbers(blocks, 176, 0),
    biases: (blocks) => subBlockNumbers(blocks, 176, 1),
  },
};

/**
 * A type whose groups MLX cannot hold: decoded and spread over 8 bits, group 32, float32 scales. From the smallest to the largest
 * number of a group in 255 equal steps, the error is at most half a step, 0.4 % of the group's largest: inside the rule of
 * docs/spec/formats.md §8.2. It is counted and reported.
 */
export function requantisedType(type: GgufTypeName): ImportType {
  const run = (blocks: Uint8Array) => {
    const values = decodeBlocks(type, blocks);
    if (!values.every(Number.isFinite)) throw new HearthError('convert_not_finite', `A ${type} block of the GGUF file is infinite or not a number.`);
    return spread(values);
  };
  const bytes = (array: Uint8Array | Float32Array) => new Uint8Array(array.buffer);
  return {
    quantization: { mode: 'affine', bits: 8, group: 32 },
    codes: (blocks) => run(blocks).codes,
    scales: (blocks) => bytes(run(blocks).scales),
    biases: (blocks) => bytes(run(blocks).biases),
  };
}

function spread(values: Float64Array): { codes: Uint8Array; scales: Float32Array; biases: Float32Array } {
  const groups = values.length / 32;
  const codes = new Uint8Array(values.length);
  const scales = new Float32Array(groups);
  const biases = new Float32Array(groups);
  for (let group = 0; group < groups; group += 1) {
    const numbers = values.subarray(group * 32, group * 32 + 32);
    // Called with a typed array's elements as arguments, Math.min takes most of the time of an import.
    let [least, most] = [numbers[0]!, numbers[0]!];
    for (let i = 1; i < 32; i += 1) {
      if (numbers[i]! < least) least = numbers[i]!;
      if (numbers[i]! > most) most = numbers[i]!;
    }
    biases[group] = least;
    scales[group] = (most - biases[group]!) / 255;
    const [scale, bias] = [scales[group]!, biases[group]!];
    for (let i = 0; i < 32; i += 1) codes[group * 32 + i] = scale === 0 ? 0 : Math.min(255, Math.max(0, Math.round((numbers[i]! - bias) / scale)));
  }
  return { codes, scales, biases };
}
