import { HearthError } from '../../core/index.ts';
import { type GgufTypeName, halfWordsToNeighbours, halvesToNeighbours } from '../gguf/index.ts';
import { packCodes, type Quantization } from '../mlx/index.ts';
import { f16ToNumber, numberToF16 } from '../safetensors/index.ts';

export type ScaleDtype = 'F16' | 'F32' | 'U8';

/** How blocks of one GGML type become an MLX layer, without a change of any number (docs/spec/formats.md §8.4). */
export interface ImportType {
  readonly quantization: Quantization;
  /** Factor between the block's d and the bias where the block has no minimum of its own. */
  readonly biasFactor?: number;
  /** Packed codes of whole blocks. */
  codes(blocks: Uint8Array): Uint8Array;
  /** One scale per group, little-endian in the given dtype. */
  scales(blocks: Uint8Array, dtype: ScaleDtype): Uint8Array;
  /** One bias per group; absent where the mode has none. */
  biases?(blocks: Uint8Array, dtype: ScaleDtype): Uint8Array;
}

const affine = (bits: number): Quantization => ({ mode: 'affine', bits, group: 32 });

/** Types whose numbers an MLX layer of group 32 can hold. */
export const IMPORT_TYPES: Partial<Record<GgufTypeName, ImportType>> = {
  Q4_0: symmetric(18, 4, -8, (blocks) => gatherNibbles(blocks, 18, 2)),
  Q4_1: withMinimum(20, 4, (blocks) => gatherNibbles(blocks, 20, 4)),
  Q5_0: symmetric(22, 5, -16, (blocks) => gatherFiveBits(blocks, 22, 2)),
  Q5_1: withMinimum(24, 5, (blocks) => gatherFiveBits(blocks, 24, 4)),
  Q8_0: symmetric(34, 8, -128, gatherBytes),
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
    codes: (blocks) => gatherNibbles(blocks, 17, 1),
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

const notFinite = (): HearthError => new HearthError('convert_not_finite', 'A scale of the GGUF file is infinite or not a number.');

function symmetric(blockBytes: number, bits: number, biasFactor: number, codes: ImportType['codes']): ImportType {
  return {
    quantization: affine(bits),
    biasFactor,
    codes,
    scales: (blocks, dtype) => gatherHalves(blocks, blockBytes, 0, 1, dtype),
    biases: (blocks, dtype) => gatherHalves(blocks, blockBytes, 0, biasFactor, dtype),
  };
}

function withMinimum(blockBytes: number, bits: number, codes: ImportType['codes']): ImportType {
  return {
    quantization: affine(bits),
    codes,
    scales: (blocks, dtype) => gatherHalves(blocks, blockBytes, 0, 1, dtype),
    biases: (blocks, dtype) => gatherHalves(blocks, blockBytes, 2, 1, dtype),
  };
}

/** The fp16 number at `offset` of each block, times a power of two. */
function gatherHalves(blocks: Uint8Array, blockBytes: number, offset: number, factor: number, dtype: ScaleDtype): Uint8Array {
  const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.byteLength);
  const count = blocks.length / blockBytes;
  const out = new DataView(new ArrayBuffer(count * (dtype === 'F32' ? 4 : 2)));
  for (let block = 0; block < count; block += 1) {
    const half = view.getUint16(block * blockBytes + offset, true);
    if ((half & 0x7c00) === 0x7c00) throw notFinite();
    if (dtype === 'F32') out.setFloat32(block * 4, f16ToNumber(half) * factor, true);
    else out.setUint16(block * 2, factor === 1 ? half : numberToF16(f16ToNumber(half) * factor), true);
  }
  return new Uint8Array(out.buffer);
}

function gatherNibbles(blocks: Uint8Array, blockBytes: number, offset: number): Uint8Array {
  const count = blocks.length / blockBytes;
  if (blockBytes % 4 === 0 && offset % 4 === 0 && blocks.byteOffset % 4 === 0) {
    const from = new Uint32Array(blocks.buffer, blocks.byteOffset, blocks.length / 4);
    const words = new Uint32Array(count * 4);
    for (let block = 0; block < count; block += 1) halfWordsToNeighbours(from, (block * blockBytes + offset) / 4, words, block * 4);
    return new Uint8Array(words.buffer);
  }
  const out = new Uint8Array(count * 16);
  for (let block = 0; block < count; block += 1) halvesToNeighbours(blocks, block * blockBytes + offset, out, block * 16);
  return out;
}

/** Blocks with the fifth bits in a u32 at `offset` and nibbles after it. */
function gatherFiveBits(blocks: Uint8Array, blockBytes: number, offset: number): Uint8Array {
  const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.byteLength);
  const count = blocks.length / blockBytes;
  const codes = new Uint8Array(count * 32);
  for (let block = 0; block < count; block += 1) {
    const at = block * blockBytes + offset;
    const high = view.getUint32(at, true);
    for (let i = 0; i < 16; i += 1) {
      const byte = blocks[at + 4 + i]!;
      codes[block * 32 + i] = (byte & 15) | (((high >>> i) & 1) << 4);
      codes[block * 32 + 16 + i] = (byte >> 4) | (((high >>> (i + 16)) & 1) << 4);
    }
  }
  return new Uint8Array(packCodes(5, codes).buffer);
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

function gatherBytes(blocks: Uint8Array): Uint8Array {
  const count = blocks.length / 34;
  const out = new Uint8Array(count * 32);
  for (let block = 0; block < count; block += 1) {
    for (let i = 0; i < 32; i += 1) out[block * 32 + i] = blocks[block * 34 + 2 + i]! ^ 0x80;
  }
  return out;
}

/** Largest |d| for which d times the bias factor is still a finite fp16 number. */
export const fitsHalf = (blocks: Uint8Array, blockBytes: number, factor: number): boolean => {
  const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.byteLength);
  const limit = 65_504 / Math.abs(factor);
  for (let at = 0; at < blocks.length; at += blockBytes) if (Math.abs(f16ToNumber(view.getUint16(at, true))) > limit) return false;
  return true;
};
