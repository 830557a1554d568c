// Imported by the threads: no index, so that each loads little more than the arithmetic.
import { type AffineLayout, type QuantisedBytes, quantiseBytes } from '../mlx/quantise-bytes.ts';
import { decodeFloats, encodeFloats, type FloatDtype } from '../safetensors/float-codec.ts';
import { release } from './release.ts';

/** Whole rows of one tensor. */
export interface QuantisePiece {
  /** Given up: their memory is free when the piece is done. */
  readonly bytes: Uint8Array;
  readonly dtype: FloatDtype;
  /** Numbers are rounded to it first; absent: they are taken as they are. */
  readonly castTo?: FloatDtype;
  /** Of the scales and biases that are made. */
  readonly scaleDtype: FloatDtype;
  readonly quantization: AffineLayout;
}

export type QuantisedPiece = QuantisedBytes;

/** What a thread does with one piece: MLX's rule, and the bytes that a file holds. */
export function quantisePiece({ bytes, dtype, castTo, scaleDtype, quantization }: QuantisePiece): QuantisedPiece {
  const made =
    castTo === undefined || castTo === dtype
      ? quantiseBytes(quantization, dtype, bytes, scaleDtype)
      : quantiseBytes(quantization, castTo, encodeFloats(castTo, decodeFloats(dtype, bytes)), scaleDtype);
  release(bytes);
  return made;
}
