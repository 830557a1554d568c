import { HearthError } from '../../core/index.ts';
import { type GgufTypeName, ggufTypeByName } from '../gguf/index.ts';
import { type ImportType, notFinite, place } from './import-type.ts';

/** Block types of 256 whose sub-blocks of 32 have a scale and a minimum: exact with float32 scales. */
export const K_IMPORT_TYPES: Partial<Record<GgufTypeName, ImportType>> = {
  Q4_K: subBlocks('Q4_K', 4, { low: 16, high: 0 }),
  Q5_K: subBlocks('Q5_K', 5, { low: 48, high: 16 }),
  Q2_K: spread('Q2_K'),
  Q3_K: spread('Q3_K'),
  Q6_K: spread('Q6_K'),
};

/** Where the 128 bytes of nibbles lie, and the 32 of fifth bits. */
function subBlocks(name: GgufTypeName, bits: number, { low, high }: { readonly low: number; readonly high: number }): ImportType {
  const stride = ggufTypeByName(name).bytes;
  const numbers =
    (offset: number, minima: boolean): ImportType['scales'] =>
    (blocks, _, kernels) => {
      const count = blocks.length / stride;
      const { from, to, out } = place(blocks, count * 32, kernels);
      if (!kernels.subBlockNumbers(from, stride, offset, minima, count, to)) throw notFinite();
      return out;
    };
  return {
    quantization: { mode: 'affine', bits, group: 32 },
    codes(blocks, kernels) {
      const count = blocks.length / stride;
      const { from, to, out } = place(blocks, count * 32 * bits, kernels);
      kernels.subBlockCodes(from, stride, low, high, count, to);
      return out;
    },
    scales: numbers(0, false),
    biases: numbers(2, true),
  };
}

/**
 * A type whose groups MLX cannot hold: spread over 8 bits, group 32, float32 scales. From the smallest to the largest number of a group in 255 equal
 * steps, the error is at most half a step, 0.4 % of the group's largest: inside the rule of docs/spec/formats.md §8.2. It is counted and reported.
 */
function spread(name: GgufTypeName): ImportType {
  const { bytes: stride, id } = ggufTypeByName(name);
  const wrong = () => new HearthError('convert_not_finite', `A ${name} block of the GGUF file is infinite or not a number.`);
  const numbers =
    (biases: boolean): ImportType['scales'] =>
    (blocks, _, kernels) => {
      const count = blocks.length / stride;
      const { from, to, out } = place(blocks, count * 32, kernels);
      if (!kernels.spreadNumbers(id, from, stride, biases, count, to)) throw wrong();
      return out;
    };
  return {
    quantization: { mode: 'affine', bits: 8, group: 32 },
    inexact: true,
    codes(blocks, kernels) {
      const count = blocks.length / stride;
      const { from, to, out } = place(blocks, count * 256, kernels);
      if (!kernels.spreadCodes(id, from, stride, count, to)) throw wrong();
      return out;
    },
    scales: numbers(false),
    biases: numbers(true),
  };
}
