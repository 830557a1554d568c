/** How one step is written into 32-bit words that every rank copies into its memory, so that kernels read page tables and adjustments in place. */

/** Largest number of candidates that a sequence can ask for. */
export const MAX_CANDIDATES = 256;
/** Penalties and biases in one step, over all sequences. */
export const MAX_ADJUSTMENTS = 65_536;

/** Header: */
export const HEADER = { words: 8, sequences: 0, tokens: 1, rows: 2, used: 3, firstToken: 4 } as const;
/** Record of one sequence; `pages` and `adjustments` are word offsets, `firstToken` and `firstRow` count over the batch. */
export const RECORD = {
  words: 12,
  position: 0,
  tokens: 1,
  firstToken: 2,
  /** Rows of logits wanted: 0, 1 (the last token's) or all. */
  rows: 3,
  firstRow: 4,
  temperature: 5,
  candidates: 6,
  adjustments: 7,
  adjustmentCount: 8,
  pages: 9,
  /** Raw candidates wanted; −1: no summary of the raw logits. */
  rawCandidates: 10,
  /** 1: adjustments go to a copy of the row. */
  keepRow: 11,
} as const;

/** Words of the largest step. */
export const stepWords = (batchTokens: number, pageCount: number): number => HEADER.words + batchTokens * (RECORD.words + 1 + pageCount) + 3 * MAX_ADJUSTMENTS;

/** What a rank reports of one row of logits: max, sum, count, then ids and values of its candidates. */
export const SUMMARY = { words: 4 + 2 * MAX_CANDIDATES, max: 0, sum: 1, count: 2, ids: 4, values: 4 + MAX_CANDIDATES } as const;
/** Of a sequence's last token: two summaries. */
export const RESULT = { words: 2 * SUMMARY.words, adjusted: 0, raw: SUMMARY.words } as const;
