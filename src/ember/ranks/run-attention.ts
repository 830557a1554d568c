import type { AttentionPlacement } from '../load/rank-plan.ts';
import { createNorm, type Mixer, type RankContext } from './rank-context.ts';
import { HEADER, RECORD } from './step-words.ts';
import { createWholeNorm } from './whole-norm.ts';

/** Attention over the paged cache, for the rank's heads. */
export function createAttention(context: RankContext, layer: AttentionPlacement): Mixer {
  const { kernels, kvType, buffers, matrices, rotation, step } = context;
  const { pageGroup, heads, kvHeads, headDim, kvBase, pageStride, headToKvAt, scale, window, softCap, queryRope, keyRope } = layer;
  const queryStride = heads * headDim;
  const keyStride = kvHeads * headDim;
  context.words.set(layer.headToKv, headToKvAt / 4);
  const pagesOf = (record: number): number => buffers.step + (step[record + RECORD.pages]! + pageGroup * step[record + RECORD.pageCount]!) * 4;
  const wholeNorm = layer.wholeQueryWidth > 0 ? createWholeNorm(context, layer) : null;
  const queryNorm = layer.queryNorm && !wholeNorm ? createNorm(kernels, layer.queryNorm) : null;
  const keyNorm = layer.keyNorm && !wholeNorm ? createNorm(kernels, layer.keyNorm) : null;

  /** Each head's query, and behind it its gate, which stays in `value`: keys and values are in the cache by then. */
  function multiplyGated(rows: number): void {
    matrices.multiply(layer.query!, buffers.value);
    const { floats } = context;
    for (let i = 0; i < rows * heads; i++) {
      const from = buffers.value / 4 + 2 * i * headDim;
      floats.copyWithin(buffers.query / 4 + i * headDim, from, from + headDim);
    }
  }
  function applyGates(rows: number): void {
    for (let i = 0; i < rows * heads; i++) {
      const own = buffers.attention + i * headDim * 4;
      kernels.sigmoidMultiply(buffers.value + (2 * i + 1) * headDim * 4, own, own, headDim);
    }
  }

  if (heads === 0)
    return {
      // The others wait for this rank where a norm goes over all heads.
      remember: (tokens) => wholeNorm?.(tokens),
      kept: [],
      finish: () => {},
    };
  return {
    kept: [
      ...(wholeNorm ? [{ buffer: buffers.query, width: queryStride }] : [{ buffer: buffers.normed, width: context.hidden }]),
      ...rotation.tables(queryRope),
    ],

    /** Keys and values of all tokens, into the cache. */
    remember(tokens, sequences) {
      matrices.input(buffers.normed, tokens);
      matrices.multiply(layer.key!, buffers.key);
      matrices.multiply(layer.value!, buffers.value);
      if (wholeNorm) {
        matrices.multiply(layer.query!, buffers.query);
        wholeNorm(tokens);
      }
      keyNorm?.(buffers.key, buffers.key, tokens * kvHeads);
      if (keyRope !== null) rotation.rotate(keyRope, buffers.key, tokens, kvHeads, headDim, keyStride);
      for (let s = 0; s < sequences; s++) {
        const record = HEADER.words + s * RECORD.words;
        const position = step[record + RECORD.position]!;
        const keys = step[record + RECORD.firstToken]! * keyStride * 4;
        const pages = pagesOf(record);
        const count = step[record + RECORD.tokens]!;
        kernels.storeKv(kvType, buffers.key + keys, buffers.value + keys, keyStride, kvBase, pageStride, pages, position, count, kvHeads, headDim);
      }
    },

    /** Queries of the rows that are still needed. */
    finish(rows, sequences, trimmed) {
      if (!wholeNorm) {
        if (trimmed) matrices.input(buffers.normed, rows);
        if (layer.gated) multiplyGated(rows);
        else matrices.multiply(layer.query!, buffers.query);
        queryNorm?.(buffers.query, buffers.query, rows * heads);
      }
      if (queryRope !== null) rotation.rotate(queryRope, buffers.query, rows, heads, headDim, queryStride);
      for (let s = 0; s < sequences; s++) {
        const record = HEADER.words + s * RECORD.words;
        const tokens = step[record + RECORD.tokens]!;
        const count = trimmed ? step[record + RECORD.rows]! : tokens;
        if (count === 0) continue;
        const first = step[record + (trimmed ? RECORD.firstRow : RECORD.firstToken)]! * queryStride * 4;
        kernels.attend(
          kvType,
          buffers.query + first,
          queryStride,
          buffers.attention + first,
          queryStride,
          kvBase,
          pageStride,
          pagesOf(record),
          step[record + RECORD.position]! + tokens - count,
          count,
          heads,
          headToKvAt,
          kvHeads,
          headDim,
          scale,
          window,
          softCap,
          layer.sinks,
          layer.mask,
          0,
          buffers.attendScratch,
        );
      }
      if (layer.gated) applyGates(rows);
      matrices.input(buffers.attention, rows);
      matrices.multiply(layer.output!, buffers.partial);
    },
  };
}
