import { type Kernels, KV_TYPE, PAGE_TOKENS } from '../kernel-interface.ts';
import { type Bytes, bfloat16ToNumber, numberToBfloat16, roundHalfEven } from './bytes.ts';

type AttentionKernels = Pick<Kernels, 'pageBytes' | 'storeKv' | 'attendScratchBytes' | 'attend'>;

/** Eight BF16 that belong together lie as 0 4 1 5 2 6 3 7: the even places are the first four. */
const PLACE = [0, 2, 4, 6, 1, 3, 5, 7];
const WIDTH = { [KV_TYPE.bf16]: 2, [KV_TYPE.f32]: 4, [KV_TYPE.int8]: 1 };

const headBytes = (kvType: number, headDim: number, shared: boolean): number =>
  (shared ? 1 : 2) * PAGE_TOKENS * (headDim * WIDTH[kvType as keyof typeof WIDTH] + (kvType === KV_TYPE.int8 ? 4 : 0));

/** Reads and writes (cell, kv head, element) of the keys and of the values of one sequence. */
function createCells(bytes: Bytes, kvType: number, layerBase: number, pageStride: number, pages: number, headDim: number, shared: boolean) {
  const { f32, i8, u16, u32 } = bytes;
  const width = WIDTH[kvType as keyof typeof WIDTH];
  const valuesAt = PAGE_TOKENS * headDim * width;
  const place = (i: number): number => (kvType === KV_TYPE.bf16 ? PLACE[i % 8]! : i % 8);
  const block = (cell: number, head: number): number =>
    layerBase + u32[pages / 4 + Math.floor(cell / PAGE_TOKENS)]! * pageStride + head * headBytes(kvType, headDim, shared);
  const keyAt = (cell: number, head: number, i: number): number =>
    block(cell, head) + (Math.floor((cell % PAGE_TOKENS) / 8) * headDim * 8 + i * 8 + place(cell)) * width;
  const valueAt = (cell: number, head: number, i: number): number =>
    block(cell, head) + valuesAt + (Math.floor(i / 8) * PAGE_TOKENS * 8 + (cell % PAGE_TOKENS) * 8 + place(i)) * width;
  const scaleAt = (cell: number, head: number, of: 0 | 1): number =>
    (block(cell, head) + (shared ? 1 : 2) * valuesAt) / 4 + of * PAGE_TOKENS + (cell % PAGE_TOKENS);
  const placeOf = [keyAt, valueAt] as const;

  return {
    /** Writes a key (0) or a value (1) of one cell and kv head. */
    write(row: Float32Array, cell: number, head: number, of: 0 | 1): void {
      const scale = Math.fround(row.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 127);
      if (kvType === KV_TYPE.int8) f32[scaleAt(cell, head, of)] = scale;
      for (const [i, x] of row.entries()) {
        const at = placeOf[of](cell, head, i);
        if (kvType === KV_TYPE.f32) f32[at / 4] = x;
        else if (kvType === KV_TYPE.bf16) u16[at / 2] = numberToBfloat16(x);
        else i8[at] = scale === 0 ? 0 : roundHalfEven(Math.fround(x / scale));
      }
    },
    read(cell: number, head: number, of: 0 | 1): Float64Array {
      const scale = kvType === KV_TYPE.int8 ? f32[scaleAt(cell, head, of)]! : 1;
      return Float64Array.from({ length: headDim }, (_, i) => {
        const at = placeOf[of](cell, head, i);
        return kvType === KV_TYPE.f32 ? f32[at / 4]! : kvType === KV_TYPE.bf16 ? bfloat16ToNumber(u16[at / 2]!) : i8[at]! * scale;
      });
    },
  };
}

export function createAttentionReference(bytes: Bytes): AttentionKernels {
  const { f32, u32 } = bytes;
  return {
    pageBytes: (kvType, kvHeads, headDim, shared) => kvHeads * headBytes(kvType, headDim, shared === 1),

    storeKv(kvType, k, v, stride, layerBase, pageStride, pages, position, tokens, kvHeads, headDim) {
      const cells = createCells(bytes, kvType, layerBase, pageStride, pages, headDim, v === 0);
      for (let t = 0; t < tokens; t++) {
        for (let h = 0; h < kvHeads; h++) {
          const from = t * stride + h * headDim;
          cells.write(f32.slice(k / 4 + from, k / 4 + from + headDim), position + t, h, 0);
          if (v !== 0) cells.write(f32.slice(v / 4 + from, v / 4 + from + headDim), position + t, h, 1);
        }
      }
    },

    attendScratchBytes: () => 0,

    attend(
      ...[
        kvType,
        q,
        qStride,
        out,
        outStride,
        layerBase,
        pageStride,
        pages,
        position,
        tokens,
        qHeads,
        headToKv,
        kvHeads,
        headDim,
        scale,
        window,
        softCap,
        sinks,
        mask,
        shared,
      ]
    ) {
      const cells = createCells(bytes, kvType, layerBase, pageStride, pages, headDim, shared === 1);
      const context = position + tokens;
      const rows = (of: 0 | 1): Float64Array[][] =>
        Array.from({ length: kvHeads }, (_, kv) => Array.from({ length: context }, (_, cell) => cells.read(cell, kv, of)));
      const [keys, values] = [rows(0), rows(shared === 1 ? 0 : 1)];
      for (let t = 0; t < tokens; t++) {
        const last = mask === 1 ? context - 1 : position + t;
        const first = window > 0 && mask === 0 ? Math.max(0, last - window + 1) : 0;
        for (let h = 0; h < qHeads; h++) {
          const kv = u32[headToKv / 4 + h]!;
          const query = f32.subarray(q / 4 + t * qStride + h * headDim, q / 4 + t * qStride + (h + 1) * headDim);
          const scores = keys[kv]!.slice(first, last + 1).map((key) => {
            const score = scale * key.reduce((sum, x, i) => sum + x * query[i]!, 0);
            return softCap > 0 ? softCap * Math.tanh(score / softCap) : score;
          });
          const sink = sinks === 0 ? Number.NEGATIVE_INFINITY : f32[sinks / 4 + h]!;
          const most = scores.reduce((a, b) => Math.max(a, b), sink);
          const weights = scores.map((score) => Math.exp(score - most));
          const sum = weights.reduce((a, b) => a + b, Math.exp(sink - most));
          const seen = values[kv]!.slice(first, last + 1);
          for (let i = 0; i < headDim; i++)
            f32[out / 4 + t * outStride + h * headDim + i] = seen.reduce((total, value, cell) => total + weights[cell]! * value[i]!, 0) / sum;
        }
      }
    },
  };
}
