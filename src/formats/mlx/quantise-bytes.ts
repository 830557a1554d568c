import { formatKernels, KERNEL_DTYPES } from '../kernels.ts';
import { encodeFloats, type FloatDtype } from '../safetensors/float-codec.ts';

/** MLX's affine rule over the bytes of a file: the same numbers as `quantiseWords`, made by the kernels. */

export interface AffineLayout {
  readonly bits: number;
  readonly group: number;
}

export type QuantisedBytes =
  | { readonly kind: 'made'; readonly words: Uint8Array<ArrayBuffer>; readonly scales: Uint8Array; readonly biases: Uint8Array }
  /** A number of the source, or a scale that was made of it, is infinite or NaN. */
  | { readonly kind: 'not-finite'; readonly of: 'source' | 'scale' };

/** Bytes that are copied into the kernels' memory at a time. */
const PART_BYTES = 2 ** 20;

/** `bytes`: whole groups of numbers, little-endian. `scaleDtype`: what scales and biases are rounded to, after the codes were made. */
export function quantiseBytes({ bits, group }: AffineLayout, dtype: FloatDtype, bytes: Uint8Array, scaleDtype: FloatDtype): QuantisedBytes {
  const groupBytes = group * (dtype === 'F32' ? 4 : 2);
  const groups = bytes.length / groupBytes;
  if (!Number.isInteger(groups) || group % 16 !== 0) throw new RangeError(`${bytes.length} bytes of ${dtype} are not whole groups of ${group}`);
  const codeBytes = (group * bits) / 8;
  const words = new Uint8Array(groups * codeBytes);
  const scales = new Float32Array(groups);
  const biases = new Float32Array(groups);
  const most = Math.max(1, Math.floor(PART_BYTES / groupBytes));
  const kernels = formatKernels();
  for (let from = 0; from < groups; from += most) {
    const count = Math.min(most, groups - from);
    const { places, memory } = kernels.room([count * groupBytes, count * 4, count * 4, count * codeBytes]);
    const [source, scaleAt, biasAt, codeAt] = places as [number, number, number, number];
    new Uint8Array(memory).set(bytes.subarray(from * groupBytes, (from + count) * groupBytes), source);
    if (kernels.quantise(source, KERNEL_DTYPES[dtype], count, group, bits, scaleAt, biasAt, codeAt) === 0) return { kind: 'not-finite', of: 'source' };
    scales.set(new Float32Array(memory, scaleAt, count), from);
    biases.set(new Float32Array(memory, biasAt, count), from);
    words.set(new Uint8Array(memory, codeAt, count * codeBytes), from * codeBytes);
  }
  const roundedScales = encodeFloats(scaleDtype, scales);
  const roundedBiases = encodeFloats(scaleDtype, biases);
  if (!areFinite(roundedScales, scaleDtype) || !areFinite(roundedBiases, scaleDtype)) return { kind: 'not-finite', of: 'scale' };
  return { kind: 'made', words, scales: roundedScales, biases: roundedBiases };
}

function areFinite(bytes: Uint8Array, dtype: FloatDtype): boolean {
  const words =
    dtype === 'F32' ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) : new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  const exponent = dtype === 'F32' ? 0x7f80_0000 : dtype === 'F16' ? 0x7c00 : 0x7f80;
  return words.every((word) => (word & exponent) !== exponent);
}
