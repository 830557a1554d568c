import { PAGE_TOKENS } from '../kernel-interface.ts';
import { groupOf, planPageGroups } from '../kv/page-groups.ts';
import { modelGraph } from '../models/architectures.ts';
import { type FeedForward, hasRunningState, type Mixer, type ModelConfig, type ModelGraph, windowsOf } from '../models/model-graph.ts';
import { RESULT, stepWords } from '../ranks/step-words.ts';
import type { KvType, PageGroup } from '../types.ts';
import { stateSlots } from './plan-load.ts';
import { splitHeads } from './split.ts';

export interface MemoryShape {
  readonly ranks: number;
  readonly contextTokens: number;
  readonly batchTokens: number;
  readonly kvType: KvType;
  /** Sequences that run at once; 1 unless said. */
  readonly sequences?: number;
  /** Codes that share a scale: heads are cut at their borders. */
  readonly group: number;
}

export interface MemoryNeed {
  /** Of one more token, had one rank all of it: of layers with a window nothing once it is full. */
  readonly kvBytesPerToken: number;
  /** Of the whole pool, over all ranks. */
  readonly kvBytes: number;
  /** Buffers of a step, over all ranks, and what ranks share. */
  readonly computeBytes: number;
}

const MIB = 1024 * 1024;
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const widest = (values: readonly number[]): number => values.reduce((most, value) => Math.max(most, value), 0);

/** What cache and buffers of a load will take, from config.json alone; throws where `modelGraph` does. */
export function estimateMemory(config: ModelConfig, shape: MemoryShape): MemoryNeed {
  const graph = modelGraph(config);
  const groups = planPageGroups(windowsOf(graph), { ...shape, sequences: shape.sequences ?? 1 });
  const mixers = graph.layers.flatMap(({ mixer }) => (mixer === null ? [] : [mixer.body]));
  const groupIn = (mixer: Mixer): number => (mixer.kind === 'attention' ? groupOf(groups, mixer.window) : 0);
  const pageBytes = (group: number, ranks: number): number =>
    sum(mixers.filter((mixer) => groupIn(mixer) === group).map((mixer) => pageBytesOf(mixer, { ...shape, ranks })));
  return {
    kvBytesPerToken: Math.ceil(pageBytes(0, 1) / PAGE_TOKENS),
    kvBytes:
      sum(groups.map(({ pageCount }, group) => pageCount * pageBytes(group, shape.ranks))) + stateSlots(shape.sequences ?? 1) * sum(mixers.map(stateBytesOf)),
    computeBytes: Math.ceil(computeBytes(graph, mixers, groups, shape)),
  };
}

/** A running state of one sequence; of the groups of state-space heads, ranks that share one hold it each. */
function stateBytesOf(mixer: Mixer): number {
  if (!hasRunningState(mixer)) return 0;
  const { kernel, channels } = mixer.convolution;
  const matrix = mixer.kind === 'state-space' ? mixer.heads * mixer.headDim * mixer.state : mixer.valueHeads * mixer.valueDim * mixer.keyDim;
  return 4 * ((kernel - 1) * channels + matrix);
}

/** Bytes of one value in a cell; int8 has an f32 scale for each cell and head beside it. */
function cellBytes(kvType: KvType, headDim: number): number {
  if (kvType === 'int8') return headDim + 4;
  return headDim * (kvType === 'f32' ? 4 : 2);
}

/** One page of one layer over all ranks: a kv head that the query heads of two ranks read is held by both. */
function pageBytesOf(mixer: Mixer, { ranks, kvType, group }: MemoryShape): number {
  if (mixer.kind === 'short-convolution') return mixer.channels * (mixer.kernel - 1) * 4;
  if (mixer.kind === 'latent-attention') {
    const sharing = splitHeads(mixer.heads, 1, mixer.valueDim, ranks, group).filter((split) => split.heads.count > 0).length;
    return sharing * PAGE_TOKENS * cellBytes(kvType, mixer.latent + mixer.rotated);
  }
  if (hasRunningState(mixer)) return 0;
  const splits = splitHeads(mixer.heads, mixer.kvHeads, mixer.headDim, ranks, group);
  return sum(splits.map((split) => split.kvHeads.count)) * 2 * PAGE_TOKENS * cellBytes(kvType, mixer.headDim);
}

/** f32 values of one token over all ranks, and what a step's words and results take. */
function computeBytes(graph: ModelGraph, mixers: readonly Mixer[], groups: readonly PageGroup[], { ranks, batchTokens }: MemoryShape): number {
  const { hidden, vocabulary } = graph;
  const networks = graph.layers.flatMap(({ feedForward }) => (feedForward === null ? [] : [feedForward.body]));
  const gathered = networks.some((network) => network.kind === 'experts') || graph.layers.some((layer) => layer.parallel) ? 2 * hidden : 0;
  const rotations = 2 * sum(graph.ropes.map((rope) => rope.inverseFrequencies.length));
  const everyRank = 4 * hidden + gathered + rotations + (ranks > 1 ? 2 * hidden : 0);
  const shared = widest(mixers.map(mixerWidth)) + 2 * widest(networks.map(networkWidth)) + (graph.head === null ? 0 : vocabulary);
  const prepared = widest([hidden, ...networks.map(networkWidth)]);
  const step = 4 * stepWords(batchTokens, groups);
  return batchTokens * 4 * (shared + ranks * everyRank + prepared) + step + ranks * (step + batchTokens * RESULT.words * 4 + vocabulary / 8 + MIB / 4);
}

function mixerWidth(mixer: Mixer): number {
  if (mixer.kind === 'attention') return 2 * (mixer.heads + mixer.kvHeads) * mixer.headDim;
  if (mixer.kind === 'short-convolution') return 4 * mixer.channels;
  if (mixer.kind === 'state-space') return 4 * mixer.heads * mixer.headDim + 2 * mixer.groups * mixer.state;
  if (mixer.kind === 'gated-delta') return 4 * mixer.keyHeads * mixer.keyDim + 5 * mixer.valueHeads * mixer.valueDim;
  const cell = mixer.latent + mixer.rotated;
  return mixer.heads * (mixer.plain + mixer.rotated + cell + Math.max(cell, mixer.valueDim)) + 3 * cell;
}

function networkWidth(network: FeedForward): number {
  if (network.kind === 'experts') return Math.max(network.up.outputs, network.shared?.up.outputs ?? 0);
  return network.up.outputs;
}
