import type { PlainType, ScaleType } from '../kernel-interface.ts';
import type { RankSplit } from './split.ts';

/** Where everything of one rank lies in its memory, and what it reads from which file. Plain data, sent to the rank's thread. */

/** Offsets are bytes into the rank's memory; `bias` is f32, 0 when there is none. */
export type MatrixPlacement = AffinePlacement | PlainPlacement;

export interface AffinePlacement {
  readonly form: 'affine';
  readonly bits: number;
  readonly group: number;
  readonly scaleType: ScaleType;
  readonly weight: number;
  readonly scales: number;
  readonly biases: number;
  readonly bias: number;
  readonly rows: number;
  readonly columns: number;
}

export interface PlainPlacement {
  readonly form: 'plain';
  readonly type: PlainType;
  readonly weight: number;
  readonly bias: number;
  readonly rows: number;
  readonly columns: number;
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
}

/** null where the rank has no share. */
export interface LayerPlacement {
  readonly attentionNorm: number;
  readonly query: MatrixPlacement | null;
  readonly key: MatrixPlacement | null;
  readonly value: MatrixPlacement | null;
  readonly attentionOutput: MatrixPlacement | null;
  /** 0 = none. */
  readonly queryNorm: number;
  readonly keyNorm: number;
  readonly window: number;
  readonly mlpNorm: number;
  readonly gate: MatrixPlacement | null;
  readonly up: MatrixPlacement | null;
  readonly down: MatrixPlacement | null;
  readonly kvBase: number;
}

/** Buffers of one step; f32 unless said. T = tokens of a batch. */
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
  /** [T, own vocabulary]. */
  readonly logits: number;
  /** [own vocabulary]: a row with penalties applied. */
  readonly adjusted: number;
  /** u32 [vocabulary / 32]: the mask of one sequence. */
  readonly mask: number;
  readonly cosines: number;
  readonly sines: number;
  readonly prepared: number;
  readonly attendScratch: number;
  /** u32 per own query head. */
  readonly headToKv: number;
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
  readonly split: RankSplit;
  readonly layers: readonly LayerPlacement[];
  readonly embedding: MatrixPlacement | null;
  readonly head: MatrixPlacement | null;
  readonly finalNorm: number;
  /** Bytes of one page of one layer. */
  readonly pageStride: number;
  readonly buffers: Buffers;
  readonly reads: readonly ReadPiece[];
  readonly weightsBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
  /** All of it, with what the kernels keep for themselves. */
  readonly memoryBytes: number;
}
