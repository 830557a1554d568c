import type { LatentAttentionPlacement } from '../load/rank-plan.ts';
import { createNorm, type Mixer, type RankContext } from './rank-context.ts';
import { HEADER, RECORD } from './step-words.ts';

/**
 * Latent attention: a cell holds the normed latent vector and the rotated key of a token, and is key and value of one kv head for all query
 * heads. Queries are brought into the latent space, and outputs out of it, by one matrix per head.
 */
export function createLatentAttention(context: RankContext, layer: LatentAttentionPlacement): Mixer {
  const { kernels, kvType, buffers, matrices, rotation, step, floats } = context;
  const { heads, latent, plain, rotated, valueDim, rope, kvBase, pageStride, headToKvAt } = layer;
  if (heads === 0) return { remember: () => {}, kept: [], finish: () => {} };
  const cell = latent + rotated;
  const queryStride = heads * cell;
  const { weight, epsilon } = layer.latentNorm!;
  const queryDownNorm = layer.queryDownNorm && createNorm(kernels, layer.queryDownNorm);
  context.words.fill(0, headToKvAt / 4, headToKvAt / 4 + heads);

  /** Copies `width` values of each row. Offsets and strides in values. */
  function copyRows(rows: number, width: number, from: number, fromStride: number, to: number, toStride: number): void {
    for (let row = 0; row < rows; row++) floats.copyWithin(to + row * toStride, from + row * fromStride, from + row * fromStride + width);
  }
  /** Rows [width] of `from` through one matrix per head, into rows of `to`. */
  function eachHead(rows: number, list: LatentAttentionPlacement['queryToLatent'], from: number, fromStep: number, to: number, toStep: number): void {
    for (const [h, matrix] of list.entries()) {
      copyRows(rows, matrix.columns, from / 4 + h * fromStep, heads * fromStep, buffers.headIn / 4, matrix.columns);
      matrices.input(buffers.headIn, rows);
      matrices.multiply(matrix, buffers.headOut);
      copyRows(rows, matrix.rows, buffers.headOut / 4, matrix.rows, to / 4 + h * toStep, heads * toStep);
    }
  }

  return {
    kept: [{ buffer: buffers.normed, width: context.hidden }, ...rotation.tables(rope)],

    remember(tokens, sequences) {
      matrices.input(buffers.normed, tokens);
      matrices.multiply(layer.keyValue!, buffers.low);
      for (let t = 0; t < tokens; t++) kernels.rmsNorm(buffers.low + t * cell * 4, weight, buffers.key + t * cell * 4, 1, latent, epsilon);
      copyRows(tokens, rotated, buffers.low / 4 + latent, cell, buffers.key / 4 + latent, cell);
      rotation.rotate(rope, buffers.key + latent * 4, tokens, 1, cell, cell);
      for (let s = 0; s < sequences; s++) {
        const record = HEADER.words + s * RECORD.words;
        const keys = buffers.key + step[record + RECORD.firstToken]! * cell * 4;
        const pages = buffers.step + step[record + RECORD.pages]! * 4;
        kernels.storeKv(kvType, keys, 0, cell, kvBase, pageStride, pages, step[record + RECORD.position]!, step[record + RECORD.tokens]!, 1, cell);
      }
    },

    finish(rows, sequences, trimmed) {
      matrices.input(buffers.normed, rows);
      if (layer.queryDown !== null) {
        matrices.multiply(layer.queryDown, buffers.low);
        queryDownNorm?.(buffers.low, buffers.low, rows);
        matrices.input(buffers.low, rows);
      }
      matrices.multiply(layer.query!, buffers.value);
      eachHead(rows, layer.queryToLatent, buffers.value, plain + rotated, buffers.query, cell);
      for (let h = 0; h < heads; h++)
        copyRows(
          rows,
          rotated,
          buffers.value / 4 + h * (plain + rotated) + plain,
          heads * (plain + rotated),
          buffers.query / 4 + h * cell + latent,
          queryStride,
        );
      rotation.rotate(rope, buffers.query + latent * 4, rows, heads, cell, queryStride);
      for (let s = 0; s < sequences; s++) {
        const record = HEADER.words + s * RECORD.words;
        const tokens = step[record + RECORD.tokens]!;
        const count = trimmed ? step[record + RECORD.rows]! : tokens;
        if (count === 0) continue;
        const first = step[record + (trimmed ? RECORD.firstRow : RECORD.firstToken)]! * queryStride * 4;
        const position = step[record + RECORD.position]! + tokens - count;
        const pages = buffers.step + step[record + RECORD.pages]! * 4;
        const [queries, outputs] = [buffers.query + first, buffers.attention + first];
        kernels.attend(
          kvType,
          queries,
          queryStride,
          outputs,
          queryStride,
          kvBase,
          pageStride,
          pages,
          position,
          count,
          heads,
          headToKvAt,
          1,
          cell,
          layer.scale,
          0,
          0,
          0,
          0,
          1,
          buffers.attendScratch,
        );
      }
      eachHead(rows, layer.latentToValue, buffers.attention, cell, buffers.query, valueDim);
      matrices.input(buffers.query, rows);
      matrices.multiply(layer.output!, buffers.partial);
    },
  };
}
