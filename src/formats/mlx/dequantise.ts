import { unpackCodes } from './packing.ts';
import type { Quantization } from './quantization.ts';
import { E4M3_VALUES, E8M0_VALUES, FP4_VALUES } from './small-floats.ts';

/** Rows of a quantised tensor. Rows are whole groups, so that no row length is needed. */
export interface QuantisedRows {
  /** Packed codes. */
  readonly words: Uint32Array;
  /** One per group: numbers for affine, the bytes of E8M0 or E4M3 for the others. */
  readonly scales: Float32Array | Uint8Array;
  /** One per group, affine only. */
  readonly biases?: Float32Array;
  /** nvfp4 only, where the file gives one. */
  readonly globalScale?: number;
}

/** The numbers that the codes stand for, by the formula of docs/spec/formats.md §3.2 in float64. */
export function dequantise(quantization: Quantization, rows: QuantisedRows): Float64Array {
  const codes = unpackCodes(quantization.bits, rows.words);
  const { group } = quantization;
  const groups = codes.length / group;
  const { scales, biases } = rows;
  if (scales.length !== groups) throw new RangeError(`${codes.length} codes need ${groups} scales, ${scales.length} are given`);
  const values = new Float64Array(codes.length);
  if (quantization.mode === 'affine') {
    if (biases?.length !== groups) throw new RangeError(`${codes.length} codes need ${groups} biases`);
    for (let g = 0, i = 0; g < groups; g++) {
      const scale = scales[g]!;
      const bias = biases[g]!;
      for (const end = i + group; i < end; i++) values[i] = scale * codes[i]! + bias;
    }
    return values;
  }
  const codeValues = quantization.mode === 'mxfp8' ? E4M3_VALUES : FP4_VALUES;
  const scaleValues = quantization.mode === 'nvfp4' ? E4M3_VALUES : E8M0_VALUES;
  const factor = rows.globalScale === undefined ? 1 : rows.globalScale / 2688;
  for (let g = 0, i = 0; g < groups; g++) {
    const scale = scaleValues[scales[g]!]! * factor;
    for (const end = i + group; i < end; i++) values[i] = codeValues[codes[i]!]! * scale;
  }
  return values;
}
