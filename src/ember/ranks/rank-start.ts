import type { MessagePort } from 'node:worker_threads';
import type { RankAdapter } from '../adapters/adapter-plan.ts';
import type { KvTypeCode } from '../kernel-interface.ts';
import type { RankPlan } from '../load/rank-plan.ts';
import type { Rope } from '../models/model-graph.ts';
import type { ExchangeBuffers } from './exchange.ts';

/** Numbers of the graph that a rank needs beside its placements. */
export interface RankModel {
  readonly vocabulary: number;
  readonly hidden: number;
  readonly kvType: KvTypeCode;
  readonly ropes: readonly Rope[];
}

/** The first message to a rank's thread. */
export interface RankStart {
  readonly plan: RankPlan;
  readonly model: RankModel;
  readonly ranks: number;
  readonly batchTokens: number;
  readonly exchange: ExchangeBuffers;
  /** The compiled kernels, or null for the reference. */
  readonly kernels: WebAssembly.Module | null;
  readonly port: MessagePort;
}

/** From a rank to the control thread. */
export type RankReport =
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'loaded'; readonly memory: WebAssembly.Memory }
  | { readonly kind: 'bytes'; readonly request: number; readonly bytes: Uint8Array }
  | { readonly kind: 'refused'; readonly request: number; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string };

/** From the control thread to a rank, read at the command `messages`. */
export interface RankRequest {
  readonly request: number;
  readonly question: RankQuestion;
}

/** The memory of another rank, and where in it there is scratch for whoever is asked. */
export interface NeighbourMemory {
  readonly rank: number;
  readonly memory: WebAssembly.Memory;
  readonly room: number;
}

/** Answered by bytes, none where nothing is asked for, or refused. */
export type RankQuestion =
  | { readonly kind: 'neighbours'; readonly neighbours: readonly NeighbourMemory[] }
  | { readonly kind: 'peek'; readonly offset: number; readonly bytes: number }
  | { readonly kind: 'adapter-load'; readonly slot: number; readonly block: number; readonly adapter: RankAdapter }
  | { readonly kind: 'adapter-measure'; readonly slot: number; readonly placement: number; readonly first: number; readonly rows: number }
  | { readonly kind: 'adapter-norms'; readonly slot: number; readonly placement: number; readonly norms: Float32Array }
  | { readonly kind: 'adapter-drop'; readonly slot: number };
