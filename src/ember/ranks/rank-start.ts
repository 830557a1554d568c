import type { MessagePort } from 'node:worker_threads';
import type { Activation, KvTypeCode } from '../kernel-interface.ts';
import type { RankPlan } from '../load/rank-plan.ts';
import type { Rope } from '../models/model-graph.ts';
import type { ExchangeBuffers } from './exchange.ts';

/** Numbers of the graph that a rank needs beside its placements. */
export interface RankModel {
  readonly vocabulary: number;
  readonly hidden: number;
  readonly headDim: number;
  readonly epsilon: number;
  readonly attentionScale: number;
  readonly kvType: KvTypeCode;
  readonly rope: Rope;
  readonly activations: { readonly qkv: Activation; readonly head: Activation; readonly rest: Activation };
}

/** Handed to a rank's thread when it starts. */
export interface RankStart {
  readonly plan: RankPlan;
  readonly model: RankModel;
  readonly ranks: number;
  readonly batchTokens: number;
  /** Ranks 0 … n − 1 have a share of the attention, or of the MLP. */
  readonly attentionRanks: number;
  readonly mlpRanks: number;
  readonly exchange: ExchangeBuffers;
  /** The compiled kernels, or null for the reference. */
  readonly kernels: WebAssembly.Module | null;
  readonly port: MessagePort;
}

/** From a rank to the control thread. */
export type RankReport =
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'loaded' }
  | { readonly kind: 'bytes'; readonly request: number; readonly bytes: Uint8Array }
  | { readonly kind: 'failed'; readonly message: string };

/** From the control thread to a rank, read at the command `messages`. */
export interface RankRequest {
  readonly kind: 'peek';
  readonly request: number;
  readonly offset: number;
  readonly bytes: number;
}
