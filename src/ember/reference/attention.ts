import { type Kernels, PAGE_TOKENS } from '../kernel-interface.ts';
import { type Bytes, bfloat16ToNumber, numberToBfloat16 } from './bytes.ts';

type AttentionKernels = Pick<Kernels, 'storeKv' | 'attendScratchBytes' | 'attend'>;

/** Eight values that belong together lie as 0 4 1 5 2 6 3 7: the even places are the first four. */
const PLACE = [0, 2, 4, 6, 1, 3, 5, 7];

/** Indices of u16 values: K of (cell, head, element) and V likewise, in the page that holds the cell. */
function cellIndices(bytes: Bytes, layerBase: number, pageStride: number, pages: number, headDim: number) {
  const block = (cell: number, head: number): number => {
    const page = bytes.u32[pages / 4 + Math.floor(cell / PAGE_TOKENS)]!;
    return (layerBase + page * pageStride) / 2 + head * 2 * PAGE_TOKENS * headDim;
  };
  return {
    key: (cell: number, head: number, i: number): number => block(cell, head) + Math.floor((cell % PAGE_TOKENS) / 8) * headDim * 8 + i * 8 + PLACE[cell % 8]!,
    value: (cell: number, head: number, i: number): number =>
      block(cell, head) + PAGE_TOKENS * headDim + Math.floor(i / 8) * PAGE_TOKENS * 8 + (cell % PAGE_TOKENS) * 8 + PLACE[i % 8]!,
  };
}

export function createAttentionReference(bytes: Bytes): AttentionKernels {
  const { f32, u16, u32 } = bytes;
  return {
    storeKv(k, v, stride, layerBase, pageStride, pages, position, tokens, kvHeads, headDim) {
      const at = cellIndices(bytes, layerBase, pageStride, pages, headDim);
      for (let t = 0; t < tokens; t++) {
        for (let h = 0; h < kvHeads; h++) {
          for (let i = 0; i < headDim; i++) {
            const from = t * stride + h * headDim + i;
            u16[at.key(position + t, h, i)] = numberToBfloat16(f32[k / 4 + from]!);
            u16[at.value(position + t, h, i)] = numberToBfloat16(f32[v / 4 + from]!);
          }
        }
      }
    },

    attendScratchBytes: () => 0,

    attend(q, qStride, out, outStride, layerBase, pageStride, pages, position, tokens, qHeads, headToKv, _kvHeads, headDim, scale, window, softCap) {
      const at = cellIndices(bytes, layerBase, pageStride, pages, headDim);
      for (let t = 0; t < tokens; t++) {
        const last = position + t;
        const first = window > 0 ? Math.max(0, last - window + 1) : 0;
        for (let h = 0; h < qHeads; h++) {
          const kv = u32[headToKv / 4 + h]!;
          const scores: number[] = [];
          for (let cell = first; cell <= last; cell++) {
            let dot = 0;
            for (let i = 0; i < headDim; i++) dot += f32[q / 4 + t * qStride + h * headDim + i]! * bfloat16ToNumber(u16[at.key(cell, kv, i)]!);
            dot *= scale;
            scores.push(softCap > 0 ? softCap * Math.tanh(dot / softCap) : dot);
          }
          const most = scores.reduce((a, b) => Math.max(a, b));
          const weights = scores.map((score) => Math.exp(score - most));
          const sum = weights.reduce((a, b) => a + b);
          for (let i = 0; i < headDim; i++) {
            let total = 0;
            for (let cell = first; cell <= last; cell++) total += weights[cell - first]! * bfloat16ToNumber(u16[at.value(cell, kv, i)]!);
            f32[out / 4 + t * outStride + h * headDim + i] = total / sum;
          }
        }
      }
    },
  };
}
