/** An architecture's graph as plain data: what the loader places and what the ranks run. It crosses to worker threads by structured clone. */

/** y = W x (+ bias); tensors `<path>.weight`, `.scales`, `.biases` and, with `bias`, `<path>.bias`. */
export interface Linear {
  readonly path: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly bias: boolean;
}

/** Rotary embedding: angle = position · inverseFrequencies[i] in float32; cos and sin are multiplied by `magnitude`. */
export interface Rope {
  readonly inverseFrequencies: readonly number[];
  readonly magnitude: number;
  /** Neighbours are rotated together instead of halves. */
  readonly traditional: boolean;
}

/** Pre-norm block: x += o(attention(q, k, v of norm(x))); x += down(silu(gate)·up of norm(x)). Norms are named by tensor. */
export interface DecoderLayer {
  readonly attentionNorm: string;
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly attentionOutput: Linear;
  /** Norms over each head of q and k, before the rotation. */
  readonly queryNorm: string | null;
  readonly keyNorm: string | null;
  /** Positions that a token sees, itself included; 0 = all. */
  readonly window: number;
  readonly mlpNorm: string;
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
}

export interface ModelGraph {
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediate: number;
  readonly vocabulary: number;
  readonly epsilon: number;
  readonly attentionScale: number;
  readonly rope: Rope;
  /** [vocabulary, hidden]; the same path as `head` when the output is tied. */
  readonly embedding: Linear;
  readonly layers: readonly DecoderLayer[];
  readonly finalNorm: string;
  readonly head: Linear;
  /** Context length that the checkpoint declares. */
  readonly contextTokens: number;
}

export type ModelConfig = Readonly<Record<string, unknown>>;

/** One file of this folder: the keys that it understands, and the graph that they give. */
export interface Architecture {
  readonly modelType: string;
  readonly keys: readonly string[];
  graph(config: ModelConfig): ModelGraph;
}
