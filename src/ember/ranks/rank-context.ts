import type { Kernels, KvTypeCode } from '../kernel-interface.ts';
import type { Buffers, NormPlacement } from '../load/rank-plan.ts';
import type { MatrixRunner } from './matrix-runner.ts';
import type { RankSum } from './rank-sum.ts';
import type { Rotation } from './rotation.ts';

/** What the blocks of a rank work with. */
export interface RankContext {
  readonly rank: number;
  readonly ranks: number;
  readonly hidden: number;
  readonly batchTokens: number;
  readonly kernels: Kernels;
  readonly kvType: KvTypeCode;
  readonly buffers: Buffers;
  readonly matrices: MatrixRunner;
  readonly rotation: Rotation;
  readonly sum: RankSum;
  /** The rank's memory. */
  readonly floats: Float32Array;
  readonly words: Int32Array;
  /** Words of the step (step-words.ts). */
  readonly step: Int32Array;
}

/** Mixes tokens of a sequence. Between its two halves rows that nobody needs any more may be dropped. */
export interface Mixer {
  /** Reads `normed` of all tokens; writes the cache. */
  remember(tokens: number, sequences: number): void;
  /** Rows of buffers that `finish` reads, with their widths in f32 values. */
  readonly kept: readonly { readonly buffer: number; readonly width: number }[];
  /** `partial` [rows] = the rank's part of the output. `trimmed`: only the wanted rows of each sequence are left. */
  finish(rows: number, sequences: number, trimmed: boolean): void;
}

/** y [tokens] = the network of x [tokens], the rank's part; `x` is an f32 [tokens, hidden] buffer. */
export type FeedForward = (x: number, y: number, tokens: number) => void;

/** y [tokens, size] = norm(x); y may be x. */
export type Norm = (x: number, y: number, tokens: number) => void;

export function createNorm(kernels: Kernels, { kind, size, epsilon, weight, bias }: NormPlacement): Norm {
  return kind === 'rms'
    ? (x, y, tokens) => kernels.rmsNorm(x, weight, y, tokens, size, epsilon)
    : (x, y, tokens) => kernels.layerNorm(x, weight, bias, y, tokens, size, epsilon);
}
