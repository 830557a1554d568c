/**
 * An architecture's graph as plain data: what the loader places and what the ranks run. It crosses to worker threads by structured clone.
 * A model is an embedding, layers and a head. A layer is two branches on the residual stream, a mixer of tokens and a feed-forward network.
 */

/** y = W x (+ bias); tensors `<path>.weight`, `.scales`, `.biases` and, with `bias`, `<path>.bias`. */
export interface Linear {
  readonly path: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly bias: boolean;
  /** Its rows lie in a larger tensor (fused projections), from `firstRow` on; the tensor has `rows`. */
  readonly within?: { readonly firstRow: number; readonly rows: number };
  /** Tensors have one more leading dimension: this many matrices, one per expert or head. */
  readonly stack?: number;
}

/** rms: x / rms(x) · (weight + plus). layer: (x − mean) / deviation · weight (+ bias). Tensors `<path>.weight` and, with `bias`, `<path>.bias`. */
export interface Norm {
  readonly kind: 'rms' | 'layer';
  readonly path: string;
  readonly size: number;
  readonly epsilon: number;
  readonly bias: boolean;
  /** Added to the weight at load: 1 where a checkpoint holds the distance from one. */
  readonly plus: 0 | 1;
}

/** Rotary embedding: angle = position · inverseFrequencies[i] in float32; cos and sin are multiplied by `magnitude`. */
export interface Rope {
  readonly inverseFrequencies: readonly number[];
  readonly magnitude: number;
  /** Neighbours are rotated together instead of halves. */
  readonly traditional: boolean;
  /** The magnitude grows with the position, by 1 + beta · ln(1 + ⌊position / period⌋). */
  readonly growth?: { readonly beta: number; readonly period: number };
}

export type Activation =
  | { readonly kind: 'silu' }
  | { readonly kind: 'gelu'; readonly form: 'tanh' | 'erf' }
  /** The square of what is above 0; in plain networks only. */
  | { readonly kind: 'relu2' }
  /** g · sigmoid(alpha · g) · (u + 1) with g ≤ limit and |u| ≤ limit. */
  | { readonly kind: 'clamped-swiglu'; readonly alpha: number; readonly limit: number };

/** output(softmax(scale · q·k) v), with grouped heads. */
export interface Attention {
  readonly kind: 'attention';
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  /** Norms of q and k before the rotation: of each head (size = headDim) or of the whole projection (size = its outputs). */
  readonly queryNorm: Norm | null;
  readonly keyNorm: Norm | null;
  /** Index into the graph's ropes; null = no rotation. */
  readonly queryRope: number | null;
  readonly keyRope: number | null;
  readonly scale: number;
  /** Positions that a token sees, itself included; 0 = all. */
  readonly window: number;
  /** cap · tanh(score / cap); 0 = none. */
  readonly softCap: number;
  /** Tensor [heads]: one more logit per head in the softmax's denominator. */
  readonly sinks: string | null;
  /** causal, or every token sees the whole step (encoders: a text is one step). */
  readonly mask: 'causal' | 'full';
  /** `query` gives each head its query and then a gate; the head's output is multiplied by the gate's sigmoid. */
  readonly gated?: boolean;
}

/** Attention over one latent vector per token (DeepSeek's MLA): keys and values of a head are maps of it, moved to the query and to the output. */
export interface LatentAttention {
  readonly kind: 'latent-attention';
  readonly heads: number;
  /** Size of the latent vector, of the part of a head that meets it, of the rotated part, and of a head's value. */
  readonly latent: number;
  readonly plain: number;
  readonly rotated: number;
  readonly valueDim: number;
  /** To [heads, plain + rotated]: directly, or through a normed low-rank vector. */
  readonly query: Linear;
  readonly queryDown: Linear | null;
  readonly queryDownNorm: Norm | null;
  /** To [latent + rotated]. */
  readonly keyValue: Linear;
  readonly latentNorm: Norm;
  /** One matrix per head, plain → latent and latent → valueDim. */
  readonly queryToLatent: Linear;
  readonly latentToValue: Linear;
  readonly output: Linear;
  readonly rope: number;
  readonly scale: number;
}

/** output(c · conv(b · x)) with b, c, x the three parts of one projection and a causal convolution of each channel over `kernel` tokens. */
export interface ShortConvolution {
  readonly kind: 'short-convolution';
  readonly channels: number;
  readonly kernel: number;
  readonly gateIn: Linear;
  readonly gateOut: Linear;
  readonly value: Linear;
  /** Tensors `<path>.weight` [channels, kernel, 1] and, with `convolutionBias`, `<path>.bias`. */
  readonly convolution: string;
  readonly convolutionBias: boolean;
  readonly output: Linear;
}

/** A causal convolution of each channel over `kernel` tokens, then SiLU. Tensors `<path>.weight` [channels, kernel, 1] and, with `bias`, `<path>.bias`. */
export interface ChannelConvolution {
  readonly path: string;
  readonly channels: number;
  readonly kernel: number;
  readonly bias: boolean;
}

/**
 * Mamba 2: output(norm(y · silu(gate))) of a state [headDim, state] per head: h = exp(−exp(A)·dt) · h + dt · x ⊗ B, y = h C + D · x with
 * dt = softplus(step + bias) within the limits. x, B and C pass the convolution. B and C belong to groups of heads.
 */
export interface StateSpace {
  readonly kind: 'state-space';
  readonly heads: number;
  readonly groups: number;
  readonly headDim: number;
  readonly state: number;
  readonly gate: Linear;
  readonly x: Linear;
  readonly b: Linear;
  readonly c: Linear;
  readonly step: Linear;
  /** Channels: x, B, C. */
  readonly convolution: ChannelConvolution;
  /** Tensors [heads]. */
  readonly decay: string;
  readonly skip: string;
  readonly stepBias: string;
  readonly stepLimits: readonly [number, number];
  /** Size: all heads; each of `normGroups` parts is normed by itself. */
  readonly norm: Norm;
  readonly normGroups: number;
  readonly output: Linear;
}

/**
 * Gated delta rule: output(norm(y) · silu(gate)) of a state [valueDim, keyDim] per value head: S = g · S + (beta · (v − g · S k)) ⊗ k, y = S q with
 * g = exp(−exp(A) · softplus(decay + bias)) and beta's sigmoid. q, k and v pass the convolution; q and k have length one, q is scaled.
 */
export interface GatedDelta {
  readonly kind: 'gated-delta';
  /** A key head serves valueHeads / keyHeads value heads. */
  readonly keyHeads: number;
  readonly valueHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly projections:
    | {
        readonly kind: 'apart';
        readonly query: Linear;
        readonly key: Linear;
        readonly value: Linear;
        readonly gate: Linear;
        readonly beta: Linear;
        readonly decay: Linear;
      }
    /** Per key head: its query, its key, the values and the gates of its value heads; and their betas and decays. */
    | { readonly kind: 'by-head'; readonly vectors: Linear; readonly numbers: Linear };
  /** Channels: q, k, v. */
  readonly convolution: ChannelConvolution;
  /** Tensors [valueHeads]. */
  readonly decay: string;
  readonly decayBias: string;
  /** Of each value head. */
  readonly norm: Norm;
  readonly output: Linear;
}

export type Mixer = Attention | LatentAttention | ShortConvolution | StateSpace | GatedDelta;

/** Mixers whose state is too large to lie in the pages of the cache: it belongs to a slot (StepSequence.state). */
export const hasRunningState = (mixer: Mixer | undefined): mixer is StateSpace | GatedDelta => mixer?.kind === 'state-space' || mixer?.kind === 'gated-delta';

/** Windows of the layers, 0 for those that see all. Where there are running states nothing counts as a window: they alone say where a prefix can be taken up. */
export function windowsOf({ layers }: ModelGraph): readonly number[] {
  const mixers = layers.flatMap(({ mixer }) => (mixer === null ? [] : [mixer.body]));
  return mixers.some(hasRunningState) ? [] : mixers.map((mixer) => (mixer.kind === 'attention' ? mixer.window : 0));
}

/** down(activation(gate) · up). */
export interface GatedNetwork {
  readonly kind: 'gated';
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
  readonly activation: Activation;
}

/** down(activation(up)). */
export interface PlainNetwork {
  readonly kind: 'plain';
  readonly up: Linear;
  readonly down: Linear;
  readonly activation: Activation;
}

/** Which experts a token goes to, and with what weight. */
export interface Router {
  readonly linear: Linear;
  /** Experts per token. */
  readonly take: number;
  /** softmax: over all experts, then the largest. chosen-softmax: over the largest only. sigmoid: of each expert by itself. */
  readonly score: 'softmax' | 'chosen-softmax' | 'sigmoid';
  /** The weights of a token are divided by their sum. */
  readonly normalise: boolean;
  /** The weights are multiplied by this, last. */
  readonly factor: number;
  /** Tensor [experts] that is added to the scores for the choice only. */
  readonly correction: string | null;
  /** Experts come from the `take` groups (of `count`) whose two best scores have the largest sums. */
  readonly groups: { readonly count: number; readonly take: number } | null;
}

/** Σ over the chosen experts of weight · network, + the shared network. `gate`, `up` and `down` are stacks; without `gate` they are plain networks. */
export interface Experts {
  readonly kind: 'experts';
  readonly router: Router;
  readonly gate: Linear | null;
  readonly up: Linear;
  readonly down: Linear;
  readonly activation: Activation;
  readonly shared: GatedNetwork | PlainNetwork | null;
  /** To one number, whose sigmoid the shared network's output is multiplied by. */
  readonly sharedGate: Linear | null;
}

export type FeedForward = GatedNetwork | PlainNetwork | Experts;

/** x = residualNorm(x + factor · outputNorm(body(norm(x)))); a norm that is null is left out. */
export interface Branch<Body> {
  readonly norm: Norm | null;
  readonly body: Body;
  readonly outputNorm: Norm | null;
  readonly residualNorm: Norm | null;
  readonly factor: number;
}

/** One of the branches may be missing. */
export interface Layer {
  readonly mixer: Branch<Mixer> | null;
  /** Its norm is not used where the branches are parallel: both read the mixer's, and their outputs are added together. */
  readonly feedForward: Branch<FeedForward> | null;
  readonly parallel: boolean;
}

export interface Embedding {
  /** [vocabulary, hidden]. */
  readonly table: Linear;
  readonly factor: number;
  /** Encoders: [positions, hidden], added by position; [types, hidden], added by the part of the text; a norm of the sum. */
  readonly positions: Linear | null;
  readonly types: Linear | null;
  readonly norm: Norm | null;
}

export interface Head {
  /** [vocabulary, hidden]; the same path as the embedding when the output is tied. */
  readonly linear: Linear;
  readonly factor: number;
  /** 0 = none. */
  readonly softCap: number;
}

/** Of encoders with one label: output(tanh(dense(x))) of the first token's hidden row. */
export interface Classifier {
  readonly dense: Linear;
  readonly output: Linear;
}

export interface ModelGraph {
  readonly hidden: number;
  readonly vocabulary: number;
  /** Context length that the checkpoint declares. */
  readonly contextTokens: number;
  readonly ropes: readonly Rope[];
  readonly embedding: Embedding;
  readonly layers: readonly Layer[];
  readonly finalNorm: Norm | null;
  /** null: the hidden rows are the output (encoders). */
  readonly head: Head | null;
  /** Absent: the model scores no pairs of texts. */
  readonly classifier?: Classifier;
  /** Starts of names of tensors that belong to other parts of the checkpoint, such as a vision tower. */
  readonly otherTensors: readonly string[];
}

export type ModelConfig = Readonly<Record<string, unknown>>;

/** One file of this folder: the keys that it understands, and the graph that they give. */
export interface Architecture {
  readonly modelType: string;
  readonly keys: readonly string[];
  graph(config: ModelConfig): ModelGraph;
}
