import { ACTIVATION, type Kernels, SCALE_TYPE } from '../kernel-interface.ts';
import { type Bytes, e4m3ToNumber, readPlain, readScale, roundHalfEven } from './bytes.ts';

/** Largest code of an integer activation path; that of int16 leaves room for a split into two signed bytes. */
const LARGEST = { [ACTIVATION.int8]: 127, [ACTIVATION.int16]: 32639 };

const align = (size: number): number => Math.ceil(size / 16) * 16;

/** Where the parts of a prepared buffer lie: codes [tokens, k], scales [tokens, blocks], sums [tokens, blocks]; the f32 path keeps x alone. */
function layout(activation: number, group: number, tokens: number, k: number) {
  const block = Math.min(group, 64);
  const blocks = k / block;
  const codeBytes = activation === ACTIVATION.int8 ? 1 : activation === ACTIVATION.int16 ? 2 : 4;
  const scales = align(tokens * k * codeBytes);
  const sums = scales + align(tokens * blocks * 4);
  return { block, blocks, scales, sums, size: activation === ACTIVATION.f32 ? scales : sums + align(tokens * blocks * 4) };
}

/** Code `index` of a row of packed codes that starts at byte `row`: docs/spec/formats.md §3.1. */
function codeAt(bytes: Bytes, bits: number, row: number, index: number): number {
  const first = index * bits;
  const pair = bytes.u8[row + (first >> 3)]! | (bytes.u8[row + (first >> 3) + 1]! << 8);
  return (pair >> (first & 7)) & (2 ** bits - 1);
}

const E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];

const isSmallFloat = (scaleType: number): boolean => scaleType === SCALE_TYPE.e8m0 || scaleType === SCALE_TYPE.e4m3;

/** What is multiplied by the scale: the code, or the small float that it stands for. */
function valueAt(bytes: Bytes, bits: number, scaleType: number, row: number, index: number): number {
  const code = codeAt(bytes, bits, row, index);
  if (!isSmallFloat(scaleType)) return code;
  return bits === 4 ? E2M1[code]! : e4m3ToNumber(code);
}

const biasAt = (bytes: Bytes, scaleType: number, biases: number, index: number): number =>
  isSmallFloat(scaleType) ? 0 : readPlain(bytes, scaleType, biases, index);

type MatmulKernels = Pick<Kernels, 'preparedBytes' | 'prepare' | 'matmul' | 'useRoom' | 'matmulPlain' | 'matmulPlainAdd' | 'dequantiseRow' | 'widen'>;

export function createMatmulReference(bytes: Bytes): MatmulKernels {
  const { f32, i8, i16 } = bytes;
  return {
    preparedBytes: (activation, _bits, group, tokens, k) => layout(activation, group, tokens, k).size,

    useRoom: () => {},

    prepare(activation, _bits, group, x, tokens, k, prepared) {
      const parts = layout(activation, group, tokens, k);
      if (activation === ACTIVATION.f32) {
        f32.copyWithin(prepared / 4, x / 4, x / 4 + tokens * k);
        return;
      }
      const largest = LARGEST[activation];
      for (let b = 0; b < tokens * parts.blocks; b++) {
        const first = x / 4 + b * parts.block;
        let most = 0;
        for (let i = 0; i < parts.block; i++) most = Math.max(most, Math.abs(f32[first + i]!));
        const scale = Math.fround(most / largest);
        let sum = 0;
        for (let i = 0; i < parts.block; i++) {
          const rounded = scale === 0 ? 0 : roundHalfEven(Math.fround(f32[first + i]! / scale));
          const q = Math.max(-largest, Math.min(largest, rounded)) || 0;
          if (activation === ACTIVATION.int8) i8[prepared + b * parts.block + i] = q;
          else i16[prepared / 2 + b * parts.block + i] = q;
          sum += q;
        }
        f32[(prepared + parts.scales) / 4 + b] = scale;
        f32[(prepared + parts.sums) / 4 + b] = Math.fround(scale * sum);
      }
    },

    matmul(activation, bits, group, scaleType, w, scales, biases, prepared, y, yStride, r0, r1, k, tokens) {
      const parts = layout(activation, group, tokens, k);
      const groups = k / group;
      for (let r = r0; r < r1; r++) {
        const row = w + r * ((k * bits) / 8);
        for (let t = 0; t < tokens; t++) {
          let total = 0;
          for (let b = 0; b < parts.blocks; b++) {
            const index = r * groups + Math.floor((b * parts.block) / group);
            const scale = readScale(bytes, scaleType, scales, index);
            const bias = biasAt(bytes, scaleType, biases, index);
            const first = b * parts.block;
            let dot = 0;
            let sum = 0;
            for (let i = first; i < first + parts.block; i++) {
              const at = t * k + i;
              const q = valueAt(bytes, bits, scaleType, row, i);
              if (activation === ACTIVATION.f32) {
                dot += q * f32[prepared / 4 + at]!;
                sum += f32[prepared / 4 + at]!;
              } else dot += q * (activation === ACTIVATION.int8 ? i8[prepared + at]! : i16[prepared / 2 + at]!);
            }
            if (activation === ACTIVATION.f32) total += scale * dot + bias * sum;
            else {
              const at = t * parts.blocks + b;
              total += scale * f32[(prepared + parts.scales) / 4 + at]! * dot + bias * f32[(prepared + parts.sums) / 4 + at]!;
            }
          }
          f32[y / 4 + t * yStride + r] = total;
        }
      }
    },

    matmulPlain(type, w, x, y, yStride, r0, r1, k, tokens) {
      for (let r = r0; r < r1; r++) {
        for (let t = 0; t < tokens; t++) {
          let total = 0;
          for (let i = 0; i < k; i++) total += readPlain(bytes, type, w, r * k + i) * f32[x / 4 + t * k + i]!;
          f32[y / 4 + t * yStride + r] = total;
        }
      }
    },

    matmulPlainAdd(type, w, x, y, yStride, r0, r1, k, tokens, factor) {
      for (let r = r0; r < r1; r++) {
        for (let t = 0; t < tokens; t++) {
          let total = 0;
          for (let i = 0; i < k; i++) total += readPlain(bytes, type, w, r * k + i) * f32[x / 4 + t * k + i]!;
          f32[y / 4 + t * yStride + r]! += factor * total;
        }
      }
    },

    dequantiseRow(bits, group, scaleType, w, scales, biases, row, k, y) {
      for (let i = 0; i < k; i++) {
        const index = row * (k / group) + Math.floor(i / group);
        const q = valueAt(bytes, bits, scaleType, w + row * ((k * bits) / 8), i);
        f32[y / 4 + i] = readScale(bytes, scaleType, scales, index) * q + biasAt(bytes, scaleType, biases, index);
      }
    },

    widen(type, src, y, n) {
      for (let i = 0; i < n; i++) f32[y / 4 + i] = readPlain(bytes, type, src, i);
    },
  };
}
