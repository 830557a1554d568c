/** Public surface of ember: weights in, logits out. It knows no HTTP, no model names and no home directory. */

export type ActivationPath = 'mixed' | 'int8' | 'int16' | 'f32';

export interface EmberOptions {
  /** Directory of an MLX checkpoint: config.json and safetensors. */
  readonly directory: string;
  /** Compute threads; weights and KV cache are split over them. */
  readonly ranks: number;
  readonly activations: ActivationPath;
  /** Cells of the KV pool, shared by all sequences; rounded up to whole pages of 32. */
  readonly contextTokens: number;
  /** Largest number of tokens in one step. */
  readonly batchTokens: number;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  readonly signal?: AbortSignal;
}

/** Penalty or bias on one token of one sequence: l = l > 0 ? l / multiply : l·multiply; l += add. */
export interface LogitAdjustment {
  readonly id: number;
  readonly multiply: number;
  readonly add: number;
}

/** What one sequence brings to a step. */
export interface StepSequence {
  /** Page numbers of the sequence, enough for position + tokens.length cells. */
  readonly pages: Uint32Array;
  /** Position of the first of `tokens`; the cells before it are already in the cache. */
  readonly position: number;
  readonly tokens: readonly number[];
  /** Which tokens' logits are wanted: none (prefill goes on), the last one's, or all (scoring). */
  readonly output: 'none' | 'last' | 'all';
  /** Temperature of `StepOutput.sum`; 1 when 0. */
  readonly temperature: number;
  /** Applied to the last token's logits before candidates are taken. */
  readonly adjustments: readonly LogitAdjustment[];
  /** Candidates wanted, ≤ 256. */
  readonly candidates: number;
  /** Candidates wanted of the raw logits too, ≤ 256; absent: no `raw` in the output. */
  readonly rawCandidates?: number;
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

/** Of the last token of a sequence, after its adjustments. */
export interface StepOutput extends LogitSummary {
  /** Before adjustments, at temperature 1: what log probabilities are taken from. Present when `rawCandidates` was given. */
  readonly raw?: LogitSummary;
}

export interface EmberMemory {
  readonly weightsBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
}

export interface Ember extends AsyncDisposable {
  readonly vocabularySize: number;
  /** Limit that the checkpoint declares (max_position_embeddings after its own scaling). */
  readonly modelContextTokens: number;
  readonly ranks: number;
  readonly pageCount: number;
  readonly memory: EmberMemory;
  /** From the next step on, at most this many ranks compute at a time; the others pause. Clipped to 1 … ranks. */
  setThreads(threads: number): Promise<void>;
  /** Evaluates one batch: one pass over the weights. Steps run one at a time. Outputs in the order of the sequences; null for output 'none'. */
  step(sequences: readonly StepSequence[]): Promise<readonly (StepOutput | null)[]>;
  /**
   * The whole logit row of output row `row` of the last step: all rows of 'all' and 'last' sequences, in order.
   * Before adjustments for 'all', after them for 'last'.
   */
  logits(row: number): Promise<Float32Array>;
  /** Bytes of one tensor put together again from the ranks (checks only). */
  tensorBytes(name: string): Promise<Uint8Array>;
}
