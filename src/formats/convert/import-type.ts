import { HearthError } from '../../core/index.ts';
import type { GgufTypeName } from '../gguf/index.ts';
import { type FormatKernels, KERNEL_DTYPES } from '../kernels.ts';
import type { Quantization } from '../mlx/index.ts';

export type ScaleDtype = 'F16' | 'F32' | 'U8';

/**
 * How blocks of one GGML type become an MLX layer (docs/spec/formats.md §8.4). What is given back may lie in the kernels' memory: it is good until
 * their next use.
 */
export interface ImportType {
  readonly quantization: Quantization;
  /** Factor between the block's d and the bias where the block has no minimum of its own. */
  readonly biasFactor?: number;
  /** Numbers change: the kernels count how far when they make the codes. */
  readonly inexact?: true;
  /** Packed codes of whole blocks. */
  codes(blocks: Uint8Array, kernels: FormatKernels): Uint8Array;
  /** One scale per group, little-endian in the given dtype. */
  scales(blocks: Uint8Array, dtype: ScaleDtype, kernels: FormatKernels): Uint8Array;
  /** One bias per group; absent where the mode has none. */
  biases?(blocks: Uint8Array, dtype: ScaleDtype, kernels: FormatKernels): Uint8Array;
}

const affine = (bits: number): Quantization => ({ mode: 'affine', bits, group: 32 });

/** Types whose numbers an MLX layer of group 32 can hold. */
export const IMPORT_TYPES: Partial<Record<GgufTypeName, ImportType>> = {
  Q4_0: symmetric(18, 4, -8, { of: 'nibblesOfBlocks', offset: 2, bytes: 16 }),
  Q4_1: withMinimum(20, 4, { of: 'nibblesOfBlocks', offset: 4, bytes: 16 }),
  Q5_0: symmetric(22, 5, -16, { of: 'fiveBitsOfBlocks', offset: 2, bytes: 20 }),
  Q5_1: withMinimum(24, 5, { of: 'fiveBitsOfBlocks', offset: 4, bytes: 20 }),
  Q8_0: symmetric(34, 8, -128, { of: 'bytesOfBlocks', offset: 2, bytes: 32 }),
  NVFP4: {
    quantization: { mode: 'nvfp4', bits: 4, group: 16 },
    codes: gatherNvfp4Codes,
    scales(blocks) {
      const out = new Uint8Array((blocks.length / 36) * 4);
      for (let i = 0; i < out.length; i += 1) {
        const byte = blocks[(i >> 2) * 36 + (i & 3)]!;
        if (byte === 0xff) throw notFinite();
        // The sign bit is not used, and what would be NaN is 0.
        out[i] = (byte & 0x7f) % 0x7f;
      }
      return out;
    },
  },
  MXFP4: {
    quantization: { mode: 'mxfp4', bits: 4, group: 32 },
    codes: codesOf(17, { of: 'nibblesOfBlocks', offset: 1, bytes: 16 }),
    scales(blocks) {
      const out = new Uint8Array(blocks.length / 17);
      for (let block = 0; block < out.length; block += 1) {
        out[block] = blocks[block * 17]!;
        if (out[block] === 255) throw notFinite();
      }
      return out;
    },
  },
};

export const notFinite = (): HearthError => new HearthError('convert_not_finite', 'A scale of the GGUF file is infinite or not a number.');

/** Where the codes of a block lie, and which loop moves them to how many bytes. */
interface CodePlace {
  readonly of: 'nibblesOfBlocks' | 'fiveBitsOfBlocks' | 'bytesOfBlocks';
  readonly offset: number;
  readonly bytes: number;
}

function symmetric(blockBytes: number, bits: number, biasFactor: number, codes: CodePlace): ImportType {
  return {
    quantization: affine(bits),
    biasFactor,
    codes: codesOf(blockBytes, codes),
    scales: halvesOf(blockBytes, 0, 1),
    biases: halvesOf(blockBytes, 0, biasFactor),
  };
}

function withMinimum(blockBytes: number, bits: number, codes: CodePlace): ImportType {
  return { quantization: affine(bits), codes: codesOf(blockBytes, codes), scales: halvesOf(blockBytes, 0, 1), biases: halvesOf(blockBytes, 2, 1) };
}

/** Blocks in the kernels' memory, with room for what is made of them. */
export function place(blocks: Uint8Array, outBytes: number, kernels: FormatKernels): { readonly from: number; readonly to: number; readonly out: Uint8Array } {
  const { places, memory } = kernels.room([blocks.length, outBytes]);
  const [from, to] = places as [number, number];
  new Uint8Array(memory, from, blocks.length).set(blocks);
  return { from, to, out: new Uint8Array(memory, to, outBytes) };
}

function codesOf(blockBytes: number, { of, offset, bytes }: CodePlace): ImportType['codes'] {
  return (blocks, kernels) => {
    const count = blocks.length / blockBytes;
    const { from, to, out } = place(blocks, count * bytes, kernels);
    kernels[of](from, blockBytes, offset, count, to);
    return out;
  };
}

/** The fp16 number at `offset` of each block, times a power of two. */
function halvesOf(blockBytes: number, offset: number, factor: number): ImportType['scales'] {
  return (blocks, dtype, kernels) => {
    const count = blocks.length / blockBytes;
    const { from, to, out } = place(blocks, count * (dtype === 'F32' ? 4 : 2), kernels);
    if (!kernels.halvesOfBlocks(from, blockBytes, offset, count, factor, KERNEL_DTYPES[dtype === 'F32' ? 'F32' : 'F16'], to)) throw notFinite();
    return out;
  };
}

/** Element j of a group of 16 is a low nibble, element j + 8 the high one of the same byte. */
function gatherNvfp4Codes(blocks: Uint8Array): Uint8Array {
  const out = new Uint8Array((blocks.length / 36) * 32);
  for (let group = 0; group * 8 < out.length; group += 1) {
    const from = (group >> 2) * 36 + 4 + 8 * (group & 3);
    for (let j = 0; j < 8; j += 2) {
      const [even, odd] = [blocks[from + j]!, blocks[from + j + 1]!];
      out[group * 8 + j / 2] = (even & 15) | ((odd & 15) << 4);
      out[group * 8 + 4 + j / 2] = (even >> 4) | (odd & 0xf0);
    }
  }
  return out;
}

/** Whether d times the bias factor is a finite fp16 number in each block; d is its first number. */
export function fitsHalf(blocks: Uint8Array, blockBytes: number, factor: number, kernels: FormatKernels): boolean {
  return kernels.largestHalf(place(blocks, 0, kernels).from, blockBytes, 0, blocks.length / blockBytes) <= 65_504 / Math.abs(factor);
}
