/** Public surface of ember: weights in, logits out. It knows no HTTP, no model names and no home directory. */

import type { Adapter } from '../formats/index.ts';
import type { RankThreads } from './ranks/rank-threads.ts';

export type ActivationPath = 'mixed' | 'int8' | 'int16' | 'f32';
/** Form of the cells of the KV cache. int8: symmetric, one scale per cell and head. */
export type KvType = 'bf16' | 'f32' | 'int8';

export interface EmberOptions {
  /** Directory of an MLX checkpoint: config.json and safetensors. */
  readonly directory: string;
  /** Compute threads; weights and KV cache are split over them. */
  readonly ranks: number;
  readonly activations: ActivationPath;
  /** Default bf16. */
  readonly kvType?: KvType;
  /** Cells of the KV pool, shared by all sequences; rounded up to whole pages of 32. Layers with a window have fewer (`Ember.pageGroups`). */
  readonly contextTokens: number;
  /** Largest number of tokens in one step. */
  readonly batchTokens: number;
  /** Sequences that run at once: there is room for so many windows, and for so many running states of recurrent layers. Default 1. */
  readonly sequences?: number;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  readonly signal?: AbortSignal;
  /** Threads that were started before, for a quicker load. */
  readonly threads?: RankThreads;
}

/** Penalty or bias on one token of one sequence: l = l > 0 ? l / multiply : l·multiply; l += add. */
export interface LogitAdjustment {
  readonly id: number;
  readonly multiply: number;
  readonly add: number;
}

/** Layers that see equally far keep their cells in the same pages. Numbers of pages are those of the group. */
export interface PageGroup {
  /** Positions that a token sees, itself included; 0: all. */
  readonly window: number;
  readonly pageCount: number;
}

/** Pages of a sequence: of each group, a table of page numbers in the order of the cells. */
export type PageTables = readonly Uint32Array[];
/** In a table: the place of a page that has left the window. */
export const NO_PAGE = 0xffff_ffff;

/** What one sequence brings to a step. */
export interface StepSequence {
  /** One table per group of `Ember.pageGroups`, enough for position + tokens.length cells. Of those before a group's window at `position` none is read. */
  readonly pages: PageTables;
  /** Position of the first of `tokens`; the cells before it are already in the cache. */
  readonly position: number;
  readonly tokens: readonly number[];
  /**
   * What is wanted: nothing (prefill goes on), the logits of the last `rows` tokens, the logits of all tokens (scoring), or the hidden rows of
   * the last `rows` tokens behind the final norm (embeddings; such sequences come last in a step).
   */
  readonly output: 'none' | 'last' | 'all' | 'hidden';
  /** For 'last' (absent: 1) and 'hidden' (absent: all of `tokens`). */
  readonly rows?: number;
  /** Temperature of `StepOutput.sum`; 1 when 0. */
  readonly temperature: number;
  /** Applied to each row that is summarised before its candidates are taken. */
  readonly adjustments: readonly LogitAdjustment[];
  /** One bit per id of the vocabulary, id i in word i >> 5: ids whose bit is 0 get −Infinity, after the adjustments. For the same rows. */
  readonly mask?: Uint32Array;
  /** Candidates wanted, ≤ 256. */
  readonly candidates: number;
  /** Candidates wanted of the raw logits too, ≤ 256; absent: no `raw` in the output. */
  readonly rawCandidates?: number;
  /** For 'all': of each token, the id whose log probability is wanted (mostly the next token). */
  readonly targets?: readonly number[];
  /** Of an encoder with types: from this one on, `tokens` are the second text of a pair; absent: there is one text. */
  readonly secondText?: number;
  /** Slot of its running state, where `Ember.states` is not null; 0 unless said. */
  readonly state?: number;
  /** Low-rank adapter in this slot, its delta times `scale` (0 … 2); absent: the base model. */
  readonly adapter?: { readonly slot: number; readonly scale: number };
}

/** What is told of one row of logits. */
export interface LogitSummary {
  /** Largest logit. */
  readonly max: number;
  /** Σ exp((logit − max) / temperature) over the whole vocabulary. */
  readonly sum: number;
  /** The largest logits, largest first, lowest id first on a tie. */
  readonly ids: Uint32Array;
  readonly values: Float32Array;
}

/** One row after its adjustments and its mask. */
export interface RowSummary extends LogitSummary {
  /** Before adjustments and mask, at temperature 1: what log probabilities are taken from. Present when `rawCandidates` was given. */
  readonly raw?: LogitSummary;
}

/** Of the last token of a sequence. */
export interface StepOutput extends RowSummary {
  /** Of the rows before the last one, in order: present when `rows` > 1. */
  readonly earlier?: readonly RowSummary[];
  /** Log-softmax of the raw logits at each of `targets`. */
  readonly logProbabilities?: Float32Array;
}

/**
 * Recurrent layers have no cells that could be read again: a running sequence has a state in a slot of its own (StepSequence.state), and prefixes are
 * used again only where a state was kept, at borders of pages.
 */
export interface RecurrentStates {
  readonly slots: number;
  /**
   * A new sequence takes the slot and would like to go on behind `pages` (of the first group), which are full and evaluated. Returns how many of them
   * it can: its first step starts there, or at 0.
   */
  resume(slot: number, pages: Uint32Array): number;
}

export interface EmberMemory {
  readonly weightsBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
}

export interface Ember extends AsyncDisposable {
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  /** Every token sees all others and there is no head: hidden rows only, of inputs that come whole in one step. */
  readonly encoder: boolean;
  /** Layers carry a state from token to token: a position that was evaluated cannot be evaluated again with another token. */
  readonly recurrent: boolean;
  /** Score of a text or a pair (before any sigmoid), from the hidden row of its first token; null: the model has no such head. */
  readonly classify: ((firstRow: Float32Array) => number) | null;
  /** Running states that belong to sequences; null where all that layers remember lies in pages. */
  readonly states: RecurrentStates | null;
  /** Limit that the checkpoint declares (max_position_embeddings after its own scaling). */
  readonly modelContextTokens: number;
  readonly ranks: number;
  /** The first is of all cells, the others of one window each. */
  readonly pageGroups: readonly PageGroup[];
  readonly memory: EmberMemory;
  /** From the next step on, at most this many ranks compute at a time; the others pause. Clipped to 1 … ranks. */
  setThreads(threads: number): Promise<void>;
  /** Evaluates one batch: one pass over the weights. Steps run one at a time. Outputs in the order of the sequences; null for 'none' and 'hidden'. */
  step(sequences: readonly StepSequence[]): Promise<readonly (StepOutput | null)[]>;
  /**
   * The whole logit row of output row `row` of the last step: all rows of 'all' and 'last' sequences, in order.
   * Before adjustments and mask for 'all', after them for 'last'.
   */
  logits(row: number): Promise<Float32Array>;
  /** Hidden rows of the last step from row `first` on, f32 [count, hiddenSize]: rows of its 'hidden' sequences, in order. */
  hidden(first: number, count: number): Promise<Float32Array>;
  /**
   * Holds a low-rank adapter beside the base, for the sequences of later steps that name its slot (0 … 255). Steps go on meanwhile. Throws
   * `adapter_*` for one that does not fit the base, `insufficient_memory`, `invalid_value` for a slot that is taken; the model is unharmed.
   */
  loadAdapter(slot: number, adapter: Adapter): Promise<void>;
  /** Empties a slot, between two steps. */
  dropAdapter(slot: number): Promise<void>;
  /** Memory of the adapters that are held, over all ranks. */
  readonly adapterBytes: number;
  /** Bytes of one tensor put together again from the ranks (checks only). */
  tensorBytes(name: string): Promise<Uint8Array>;
}
