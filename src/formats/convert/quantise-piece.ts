import { type Quantization, quantiseWords } from '../mlx/index.ts';
import { decodeFloats, encodeFloats, type FloatDtype } from '../safetensors/index.ts';
import { hasInfinite } from './require-finite.ts';

/** Whole rows of one tensor. */
export interface QuantisePiece {
  readonly bytes: Uint8Array;
  readonly dtype: FloatDtype;
  /** Of the scales and biases that are made. */
  readonly scaleDtype: FloatDtype;
  readonly quantization: Quantization;
}

export type QuantisedPiece =
  | { readonly kind: 'made'; readonly words: Uint8Array<ArrayBuffer>; readonly scales: Uint8Array; readonly biases: Uint8Array }
  /** A number of the source, or a scale that was made of it, is infinite or NaN. */
  | { readonly kind: 'not-finite'; readonly of: 'source' | 'scale' };

/** What a thread does with one piece: MLX's rule, and the bytes that a file holds. */
export function quantisePiece({ bytes, dtype, scaleDtype, quantization }: QuantisePiece): QuantisedPiece {
  if (hasInfinite(dtype, bytes)) return { kind: 'not-finite', of: 'source' };
  const made = quantiseWords(quantization, decodeFloats(dtype, bytes), scaleDtype);
  const scales = made.scales as Float32Array;
  if (!scales.every(Number.isFinite) || !made.biases!.every(Number.isFinite)) return { kind: 'not-finite', of: 'scale' };
  return {
    kind: 'made',
    words: new Uint8Array(made.words.buffer as ArrayBuffer),
    scales: encodeFloats(scaleDtype, scales),
    biases: encodeFloats(scaleDtype, made.biases!),
  };
}
