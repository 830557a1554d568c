import type { PageGroup } from '../types.ts';

/** How one step is written into 32-bit words that every rank copies into its memory, so that kernels read page tables and adjustments in place. */

/** Largest number of candidates that a sequence can ask for. */
export const MAX_CANDIDATES = 256;
/** Penalties and biases in one step, over all sequences. */
export const MAX_ADJUSTMENTS = 65_536;

/** Masks in one step, over all sequences. */
export const MAX_MASKS = 64;
/** Header; `logitRows`: the first ones of the rows; the others are wanted as they enter the head. */
export const HEADER = { words: 8, sequences: 0, tokens: 1, rows: 2, used: 3, firstToken: 4, logitRows: 5 } as const;
/** Record of one sequence; `pages`, `adjustments` and `targets` are word offsets; `firstToken`, `firstRow` and `firstSummary` count over the batch. */
export const RECORD = {
  words: 24,
  position: 0,
  tokens: 1,
  firstToken: 2,
  /** Rows wanted: the last ones of the tokens. */
  rows: 3,
  firstRow: 4,
  temperature: 5,
  candidates: 6,
  adjustments: 7,
  adjustmentCount: 8,
  pages: 9,
  /** Raw candidates wanted; −1: no summary of the raw logits. */
  rawCandidates: 10,
  /** 1: adjustments and mask go to a copy of the row. */
  keepRow: 11,
  /** Rows that are summarised: the last ones of the rows. */
  summaries: 12,
  firstSummary: 13,
  /** Number of its mask in the exchange; −1: none. */
  mask: 14,
  /** One id per row whose log probability is wanted; 0: none. */
  targets: 15,
  /** Slot of its adapter; −1: the base model. */
  adapter: 16,
  adapterScale: 17,
  /** First token of the second text of a pair. */
  secondText: 18,
  /** Slot of its running state, and of the kept one that it starts from; −1: it goes on. */
  state: 19,
  stateFrom: 20,
  /** Tokens after which its state is kept, and the slot for it; −1: it is not kept. */
  keepAfter: 21,
  keepIn: 22,
  /** Words of a table of pages; at `pages` lies one per group. */
  pageCount: 23,
} as const;

/** Words of the largest step. */
export const stepWords = (batchTokens: number, groups: readonly PageGroup[]): number =>
  HEADER.words + batchTokens * (RECORD.words + 2 + groups.length * groups[0]!.pageCount) + 3 * MAX_ADJUSTMENTS;
/** Words of one mask. */
export const maskWords = (vocabulary: number): number => Math.ceil(vocabulary / 32);

/** What a rank reports of one row of logits: max, sum, count, then ids and values of its candidates. */
export const SUMMARY = { words: 4 + 2 * MAX_CANDIDATES, max: 0, sum: 1, count: 2, ids: 4, values: 4 + MAX_CANDIDATES } as const;
/** Of a summarised row: two summaries. */
export const RESULT = { words: 2 * SUMMARY.words, adjusted: 0, raw: SUMMARY.words } as const;
/** Of a row with a target: max and sum at temperature 1 of the rank's part, and the target's logit, −Infinity where another rank has it. */
export const SCORE = { words: 4, max: 0, sum: 1, logit: 2 } as const;
