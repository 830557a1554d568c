import { encodeMxfp4, encodeQ41, encodeQ51, encodeQ80Codes, type GgufTypeName, quantiseQ40, quantiseQ80 } from '../gguf/index.ts';
import { dequantise, type Quantization, toWords, unpackCodes } from '../mlx/index.ts';
import { encodeFloats, type FloatDtype } from '../safetensors/index.ts';

/** Rows of one MLX layer as they are read: packed codes with decoded scales, or plain numbers. */
export type LayerRows =
  | { readonly kind: 'plain'; readonly values: Float32Array; readonly shift: 0 | 1 }
  | {
      readonly kind: 'quantised';
      readonly quantization: Quantization;
      readonly weight: Uint8Array;
      readonly scales: Float32Array | Uint8Array;
      readonly biases?: Float32Array;
    };

/** The real numbers that the rows stand for. */
export const valuesOf = (rows: LayerRows): Float64Array =>
  rows.kind === 'plain' ? new Float64Array(rows.values) : dequantise(rows.quantization, { ...rows, words: toWords(rows.weight) });

/** What a look at all scales of a layer says: which GGML type keeps its numbers. */
export interface ScaleSummary {
  readonly fitsHalf: boolean;
  /** Every bias is −128 · scale. */
  readonly centred: boolean;
}

/** Type for a layer (docs/spec/formats.md §8.1, §8.2), given the look at its scales. */
export function chooseType(quantization: Quantization, columns: number, summary: ScaleSummary): GgufTypeName {
  if (quantization.mode === 'mxfp4') return 'MXFP4';
  if (quantization.mode === 'nvfp4') return 'F16';
  if (quantization.mode === 'mxfp8') return 'BF16';
  if (!summary.fitsHalf || columns % 32 !== 0) return 'F32';
  if (quantization.bits <= 4) return 'Q4_1';
  if (quantization.bits === 5) return 'Q5_1';
  return 'Q8_0';
}

/** Encodes rows; `keepCodes`: an 8-bit layer whose codes may be copied; `values`: gives the numbers where they are needed. */
export function encodeRows(rows: LayerRows, type: GgufTypeName, keepCodes: boolean, values: () => Float64Array): Uint8Array {
  if (type === 'Q4_0') return quantiseQ40(new Float32Array(values()));
  if (type === 'F32' || type === 'F16' || type === 'BF16') {
    return encodeFloats(
      type as FloatDtype,
      rows.kind === 'plain' ? (rows.shift === 0 ? rows.values : rows.values.map((x) => x + rows.shift)) : new Float32Array(values()),
    );
  }
  if (rows.kind === 'plain' || (type === 'Q8_0' && !keepCodes)) return quantiseQ80(values());
  const { quantization, weight } = rows;
  if (type === 'MXFP4') return encodeMxfp4(weight, rows.scales as Uint8Array);
  const scales = halvesOf(rows.scales as Float32Array);
  const biases = halvesOf(rows.biases!);
  if (type === 'Q8_0') return encodeQ80Codes(weight, scales, quantization.group);
  if (type === 'Q5_1') return encodeQ51(unpackCodes(5, toWords(weight)), scales, biases, quantization.group);
  return encodeQ41(quantization.bits === 4 ? weight : widenToNibbles(unpackCodes(quantization.bits, toWords(weight))), scales, biases, quantization.group);
}

const halvesOf = (numbers: Float32Array): Uint16Array => new Uint16Array(encodeFloats('F16', numbers).slice().buffer);

/** Codes of 2 or 3 bits as packed nibbles. */
function widenToNibbles(codes: Uint8Array): Uint8Array {
  const out = new Uint8Array(codes.length / 2);
  for (let i = 0; i < out.length; i += 1) out[i] = codes[2 * i]! | (codes[2 * i + 1]! << 4);
  return out;
}
