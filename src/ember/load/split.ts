/** Contiguous part [first, first + count) of a dimension. */
export interface Range {
  readonly first: number;
  readonly count: number;
}

/** A rank's heads of one attention layer. */
export interface HeadSplit {
  readonly heads: Range;
  /** kv heads that its query heads read; one that two ranks need is held by both. */
  readonly kvHeads: Range;
  /** Per own query head: index into the own kv heads. */
  readonly headToKv: readonly number[];
  /** Index of the first own kv head that no earlier rank has. */
  readonly firstUnsharedKvHead: number;
}

/** Rows of the output head are cut at multiples of this, so that kernels keep whole tiles. */
const VOCABULARY_UNIT = 8;
/** So is the width of a network, where it is a multiple. */
const WIDTH_UNIT = 8;

/**
 * Query heads over ranks, as even as the borders allow, larger parts first; a rank may have none. `columns` of the output matrix belong to a
 * head, and it may be cut at multiples of `unit` columns (its quantisation group).
 */
export function splitHeads(heads: number, kvHeads: number, columns: number, ranks: number, unit: number): readonly HeadSplit[] {
  const perKv = heads / kvHeads;
  let endOfEarlier = 0;
  return splitEvenly(heads, ranks, leastCommonMultiple(columns, unit) / columns).map((own) => {
    const first = own.count === 0 ? 0 : Math.floor(own.first / perKv);
    const end = own.count === 0 ? 0 : Math.floor((own.first + own.count - 1) / perKv) + 1;
    const firstUnsharedKvHead = Math.max(0, Math.min(end, endOfEarlier) - first);
    endOfEarlier = Math.max(endOfEarlier, end);
    return {
      heads: own,
      kvHeads: { first, count: end - first },
      headToKv: Array.from({ length: own.count }, (_, i) => Math.floor((own.first + i) / perKv) - first),
      firstUnsharedKvHead,
    };
  });
}

/** Intermediate values of a network (or channels) over ranks; its row-parallel matrix may be cut at multiples of `unit`. */
export const splitWidth = (width: number, ranks: number, unit: number): readonly Range[] =>
  splitEvenly(width, ranks, leastCommonMultiple(unit, width % WIDTH_UNIT === 0 ? WIDTH_UNIT : 1));

export const splitVocabulary = (vocabulary: number, ranks: number): readonly Range[] => splitEvenly(vocabulary, ranks, VOCABULARY_UNIT);

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
