import type { Activation as ActivationForm, PlainType, ScaleType } from '../kernel-interface.ts';
import type { Activation, Router } from '../models/model-graph.ts';
import type { Range } from './split.ts';

/** Where everything of one rank lies in its memory, and what it reads from which file. Plain data, sent to the rank's thread. */

/** Offsets are bytes into the rank's memory; `bias` is f32, 0 when there is none. */
export type MatrixPlacement = AffinePlacement | PlainPlacement;

interface MatrixPart {
  /** Which part of which module it is: rows and columns of its (flattened) tensor. */
  readonly path: string;
  readonly firstRow: number;
  readonly firstColumn: number;
  readonly rows: number;
  readonly columns: number;
  readonly weight: number;
  readonly bias: number;
}

/** Packed codes: affine, or small floats where the scales are bytes (then `biases` is 0). */
export interface AffinePlacement extends MatrixPart {
  readonly form: 'affine';
  /** Form of the activations that enter it. */
  readonly activation: ActivationForm;
  readonly bits: number;
  readonly group: number;
  readonly scaleType: ScaleType;
  readonly scales: number;
  readonly biases: number;
}

export interface PlainPlacement extends MatrixPart {
  readonly form: 'plain';
  readonly type: PlainType;
}

/** f32 [size]; `bias` 0 = none. */
export interface NormPlacement {
  readonly kind: 'rms' | 'layer';
  readonly size: number;
  readonly epsilon: number;
  readonly weight: number;
  readonly bias: number;
}

/** A block of a tensor, rows × byte columns, that is copied to `destination` without gaps; `widen`: plain values become f32. */
export interface ReadPiece {
  readonly tensor: string;
  readonly file: string;
  /** Of the tensor's first byte in the file. */
  readonly fileOffset: number;
  readonly rowBytes: number;
  readonly firstRow: number;
  readonly rows: number;
  readonly firstByte: number;
  readonly bytes: number;
  readonly destination: number;
  readonly widen: PlainType | null;
  /** Added to widened values. */
  readonly plus: number;
  /** Bytes that mean "not a number" where each byte is a scale. */
  readonly noNumber?: readonly number[];
}

/** Cells of one layer: page p of its group starts at kvBase + p · pageStride. Of a layer with running states: slot p does. */
interface CachePlacement {
  readonly kvBase: number;
  readonly pageStride: number;
}

/** `heads` is 0 where the rank has no share: then matrices are null. */
export interface AttentionPlacement extends CachePlacement {
  readonly kind: 'attention';
  /** Index into the page groups; all other kinds with pages belong to the first. */
  readonly pageGroup: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Index of the first own kv head that no earlier rank has. */
  readonly firstUnsharedKvHead: number;
  readonly query: MatrixPlacement | null;
  readonly key: MatrixPlacement | null;
  readonly value: MatrixPlacement | null;
  readonly output: MatrixPlacement | null;
  readonly queryNorm: NormPlacement | null;
  readonly keyNorm: NormPlacement | null;
  /** Widths of the whole projections when the norms go over them; 0: they go over each head. */
  readonly wholeQueryWidth: number;
  readonly wholeKeyWidth: number;
  readonly queryRope: number | null;
  readonly keyRope: number | null;
  readonly scale: number;
  readonly window: number;
  readonly softCap: number;
  /** f32 [heads]; 0 = none. */
  readonly sinks: number;
  /** As `attend` takes it: 0 causal, 1 full. */
  readonly mask: 0 | 1;
  /** `query` gives each head its query and its gate. */
  readonly gated: boolean;
  /** Per own query head: index into the own kv heads; u32 at `headToKvAt`. */
  readonly headToKv: readonly number[];
  readonly headToKvAt: number;
}

export interface LatentAttentionPlacement extends CachePlacement {
  readonly kind: 'latent-attention';
  readonly heads: number;
  readonly latent: number;
  readonly plain: number;
  readonly rotated: number;
  readonly valueDim: number;
  readonly query: MatrixPlacement | null;
  readonly queryDown: MatrixPlacement | null;
  readonly queryDownNorm: NormPlacement | null;
  readonly keyValue: MatrixPlacement | null;
  readonly latentNorm: NormPlacement | null;
  /** One per own head. */
  readonly queryToLatent: readonly MatrixPlacement[];
  readonly latentToValue: readonly MatrixPlacement[];
  readonly output: MatrixPlacement | null;
  readonly rope: number;
  readonly scale: number;
  readonly headToKvAt: number;
}

/** A page of the cache holds the last kernel − 1 gated values of each own channel, as they were behind its newest cell. */
export interface ShortConvolutionPlacement extends CachePlacement {
  readonly kind: 'short-convolution';
  readonly channels: number;
  readonly kernel: number;
  readonly gateIn: MatrixPlacement | null;
  readonly gateOut: MatrixPlacement | null;
  readonly value: MatrixPlacement | null;
  /** f32 [channels, kernel] and [channels]; bias 0 = none. */
  readonly weight: number;
  readonly bias: number;
  readonly output: MatrixPlacement | null;
}

/** Channels in parts that lie apart in the checkpoint; f32 weights [channels, kernel] and biases [channels], 0 = none. */
export interface ConvolutionPlacement {
  readonly kernel: number;
  /** Room for the weights of all parts [kernel, channels], their biases [channels] and the sums of one token [channels]. */
  readonly table: number;
  readonly parts: readonly { readonly channels: number; readonly weight: number; readonly bias: number }[];
}

/** A state: the convolution's last kernel − 1 inputs [kernel − 1, channels], then [heads, headDim, state]. Vectors are f32 [own heads]. */
export interface StateSpacePlacement extends CachePlacement {
  readonly kind: 'state-space';
  readonly heads: number;
  readonly groups: number;
  readonly headDim: number;
  readonly state: number;
  /** Per own head: index into the own groups. */
  readonly headToGroup: readonly number[];
  readonly gate: MatrixPlacement | null;
  readonly x: MatrixPlacement | null;
  readonly b: MatrixPlacement | null;
  readonly c: MatrixPlacement | null;
  readonly step: MatrixPlacement | null;
  readonly convolution: ConvolutionPlacement;
  readonly decay: number;
  readonly skip: number;
  readonly stepBias: number;
  readonly stepLimits: readonly [number, number];
  /** Own part of the norm's weights; the whole is normed in parts of `normSize` values, and the first own value has this number in it. */
  readonly normWeight: number;
  readonly epsilon: number;
  readonly normSize: number;
  readonly normGroups: number;
  readonly firstValue: number;
  readonly output: MatrixPlacement | null;
}

/** A state: the convolution's last inputs, then [value heads, valueDim, keyDim]. Vectors are f32 [own value heads]. */
export interface GatedDeltaPlacement extends CachePlacement {
  readonly kind: 'gated-delta';
  readonly keyHeads: number;
  readonly valuesPerKey: number;
  readonly keyDim: number;
  readonly valueDim: number;
  /** Query, key, value, gate, beta, decay; or vectors and numbers by key head. Empty where the rank has no share. */
  readonly projections: readonly MatrixPlacement[];
  readonly byHead: boolean;
  readonly convolution: ConvolutionPlacement;
  readonly decay: number;
  readonly decayBias: number;
  readonly norm: NormPlacement | null;
  readonly output: MatrixPlacement | null;
}

export type MixerPlacement = AttentionPlacement | LatentAttentionPlacement | ShortConvolutionPlacement | StateSpacePlacement | GatedDeltaPlacement;

/** `width` is the rank's share of the intermediate values; 0: matrices are null. */
export interface NetworkPlacement {
  readonly kind: 'gated' | 'plain';
  readonly width: number;
  /** null in a plain network. */
  readonly gate: MatrixPlacement | null;
  readonly up: MatrixPlacement | null;
  readonly down: MatrixPlacement | null;
  readonly activation: Activation;
}

export interface ExpertsPlacement {
  readonly kind: 'experts';
  readonly width: number;
  readonly router: Omit<Router, 'linear' | 'correction'>;
  readonly routerMatrix: MatrixPlacement | null;
  /** f32 [experts]; 0 = none. */
  readonly correction: number;
  /** One per expert; no gates in plain networks. */
  readonly gate: readonly MatrixPlacement[];
  readonly up: readonly MatrixPlacement[];
  readonly down: readonly MatrixPlacement[];
  readonly activation: Activation;
  readonly shared: NetworkPlacement | null;
  readonly sharedGate: MatrixPlacement | null;
}

export type FeedForwardPlacement = NetworkPlacement | ExpertsPlacement;

export interface BranchPlacement<Body> {
  readonly norm: NormPlacement | null;
  readonly body: Body;
  readonly outputNorm: NormPlacement | null;
  readonly residualNorm: NormPlacement | null;
  readonly factor: number;
  /** Ranks 0 … n − 1 have a share. */
  readonly participants: number;
}

export interface LayerPlacement {
  readonly mixer: BranchPlacement<MixerPlacement> | null;
  readonly feedForward: BranchPlacement<FeedForwardPlacement> | null;
  readonly parallel: boolean;
}

export interface EmbeddingPlacement {
  /** The rank's rows of the vocabulary. */
  readonly table: MatrixPlacement | null;
  readonly factor: number;
  /** On every rank. */
  readonly positions: MatrixPlacement | null;
  readonly types: MatrixPlacement | null;
  readonly norm: NormPlacement | null;
}

export interface HeadPlacement {
  readonly matrix: MatrixPlacement | null;
  /** int16 activations for the largest logits alone (ranks/output-head.ts). */
  readonly refined: boolean;
  readonly factor: number;
  readonly softCap: number;
}

/** Cosines and sines of the step's tokens, f32 [T, pairs] each. */
export interface RopePlacement {
  readonly cosines: number;
  readonly sines: number;
}

/** Buffers of one step; f32 unless said. T = tokens of a batch. A width is that of the widest layer. */
export interface Buffers {
  /** [T, hidden]: the residual, equal on all ranks. */
  readonly residual: number;
  /** [T, hidden]. */
  readonly normed: number;
  readonly query: number;
  readonly key: number;
  readonly value: number;
  readonly attention: number;
  readonly gate: number;
  readonly up: number;
  /** [T, hidden]: own part of a sum, and another rank's. */
  readonly partial: number;
  readonly incoming: number;
  /** [T, hidden]: the rows of one expert, and its output; or the second half of a parallel layer. 0 where no layer needs them. */
  readonly gathered: number;
  readonly expertOutput: number;
  /** [T, experts]. */
  readonly routerLogits: number;
  /** [T, low-rank query], [T, one head] twice: of latent attention. `low` holds the numbers per head of recurrent layers too. */
  readonly low: number;
  readonly headIn: number;
  readonly headOut: number;
  /** [T, own vocabulary]. */
  readonly logits: number;
  /** [own vocabulary]: a row with penalties applied. */
  readonly adjusted: number;
  /** u32 [vocabulary / 32]: the mask of one sequence. */
  readonly mask: number;
  readonly ropes: readonly RopePlacement[];
  readonly prepared: number;
  /** Scratch of other ranks that help with this one's products, one room each, `helperRoomBytes` apart. */
  readonly helperRooms: number;
  readonly helperRoomBytes: number;
  readonly attendScratch: number;
  /** Copy of the step's words. */
  readonly step: number;
  /** f32 max and sum. */
  readonly maxAndSum: number;
  readonly candidateIds: number;
  readonly candidateValues: number;
  /** Raw bytes of vectors on their way to f32. */
  readonly staging: number;
}

export interface RankPlan {
  readonly rank: number;
  /** Own rows of the embedding and the head. */
  readonly vocabulary: Range;
  readonly embedding: EmbeddingPlacement;
  readonly layers: readonly LayerPlacement[];
  readonly finalNorm: NormPlacement | null;
  readonly head: HeadPlacement | null;
  readonly buffers: Buffers;
  readonly reads: readonly ReadPiece[];
  readonly weightsBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
  /** All of it, with what the kernels keep for themselves. */
  readonly memoryBytes: number;
}
