import type { ModelGraph } from '../models/model-graph.ts';

/** Contiguous part [first, first + count) of a dimension. */
export interface Range {
  readonly first: number;
  readonly count: number;
}

/** What one rank computes of every layer (tensor parallel). A rank may have no heads or no MLP rows when a matrix has too few groups. */
export interface RankSplit {
  readonly heads: Range;
  /** kv heads that its query heads read; one that two ranks need is held by both. */
  readonly kvHeads: Range;
  /** Per own query head: index into the own kv heads. */
  readonly headToKv: readonly number[];
  readonly mlp: Range;
  readonly vocabulary: Range;
}

/** Columns that a row-parallel matrix may be cut at: its quantisation group, 1 when it is plain. */
export interface CutUnits {
  readonly attentionOutput: number;
  readonly down: number;
}

/** Rows of the output head are cut at multiples of this, so that kernels keep whole tiles. */
const VOCABULARY_UNIT = 8;

/** Splits a graph over `ranks`: as even as the group borders allow, larger parts first. */
export function splitGraph(graph: ModelGraph, ranks: number, units: CutUnits): readonly RankSplit[] {
  const headUnit = leastCommonMultiple(graph.headDim, units.attentionOutput) / graph.headDim;
  const heads = splitEvenly(graph.heads, ranks, headUnit);
  const mlp = splitEvenly(graph.intermediate, ranks, leastCommonMultiple(units.down, graph.intermediate % 8 === 0 ? 8 : 1));
  const vocabulary = splitEvenly(graph.vocabulary, ranks, VOCABULARY_UNIT);
  const perKv = graph.heads / graph.kvHeads;
  return heads.map((own, rank) => {
    const firstKv = Math.floor(own.first / perKv);
    const kvCount = own.count === 0 ? 0 : Math.floor((own.first + own.count - 1) / perKv) - firstKv + 1;
    return {
      heads: own,
      kvHeads: { first: kvCount === 0 ? 0 : firstKv, count: kvCount },
      headToKv: Array.from({ length: own.count }, (_, i) => Math.floor((own.first + i) / perKv) - firstKv),
      mlp: mlp[rank]!,
      vocabulary: vocabulary[rank]!,
    };
  });
}

/** `total` in contiguous parts at multiples of `unit` (the last may hold the rest); later parts may be empty. */
export function splitEvenly(total: number, parts: number, unit: number): Range[] {
  const units = Math.ceil(total / unit);
  const border = (part: number) => Math.min(total, Math.ceil((units * part) / parts) * unit);
  return Array.from({ length: parts }, (_, part) => ({ first: border(part), count: border(part + 1) - border(part) }));
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}
