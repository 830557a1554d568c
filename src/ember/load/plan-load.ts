import { HearthError } from '../../core/index.ts';
import type { Checkpoint, ShardedTensorEntry } from '../../formats/index.ts';
import { ACTIVATION, type Activation, type Kernels, KV_TYPE, PAGE_TOKENS } from '../kernel-interface.ts';
import { modelGraph } from '../models/architectures.ts';
import type { Linear, ModelGraph } from '../models/model-graph.ts';
import type { RankModel } from '../ranks/rank-start.ts';
import type { ActivationPath, EmberOptions } from '../types.ts';
import { layRank } from './lay-rank.ts';
import { cutUnit, type MatrixSource, matrixSource, vectorSource } from './matrix-source.ts';
import type { RankPlan } from './rank-plan.ts';
import { splitGraph } from './split.ts';

export interface LoadPlan {
  readonly graph: ModelGraph;
  readonly model: RankModel;
  readonly ranks: readonly RankPlan[];
  readonly pageCount: number;
  /** Ranks 0 … n − 1 have a share of the attention, or of the MLP. */
  readonly attentionRanks: number;
  readonly mlpRanks: number;
  readonly readBytes: number;
}

/** A WebAssembly memory has 65,536 pages of 64 KiB; the last is left out, so that padding never wraps. */
export const RANK_ROOM_BYTES = 65_535 * 65_536;

const ACTIVATIONS: Readonly<Record<ActivationPath, { qkv: Activation; head: Activation; rest: Activation }>> = {
  mixed: { qkv: ACTIVATION.int16, head: ACTIVATION.int16, rest: ACTIVATION.int8 },
  int8: { qkv: ACTIVATION.int8, head: ACTIVATION.int8, rest: ACTIVATION.int8 },
  int16: { qkv: ACTIVATION.int16, head: ACTIVATION.int16, rest: ACTIVATION.int16 },
  f32: { qkv: ACTIVATION.f32, head: ACTIVATION.f32, rest: ACTIVATION.f32 },
};

/** Checks a checkpoint against its graph and lays out all ranks, before any memory is taken. Throws `model_load_failed` with the reason. */
export function planLoad(
  checkpoint: Checkpoint,
  options: Pick<EmberOptions, 'ranks' | 'activations' | 'kvType' | 'contextTokens' | 'batchTokens'>,
  kernels: { readonly memoryBase: number; readonly sizes: Pick<Kernels, 'preparedBytes' | 'attendScratchBytes' | 'pageBytes'> },
): LoadPlan {
  const graph = modelGraph(checkpoint.config);
  const layout = checkpoint.quantization?.layout ?? 'mlx';
  if (layout !== 'mlx') throw new HearthError('not_implemented', `Weights in the layout of ${layout} cannot be run yet; MLX checkpoints can.`);
  const matrices = new Map<string, MatrixSource>();
  const vectors = new Map<string, ShardedTensorEntry>();
  for (const linear of linears(graph)) matrices.set(linear.path, matrixSource(checkpoint, linear));
  for (const [name, length] of norms(graph)) vectors.set(name, vectorSource(checkpoint, name, length));
  refuseStrayTensors(checkpoint, graph, matrices, vectors);

  const units = (paths: readonly string[]) => Math.max(...paths.map((path) => cutUnit(matrices.get(path)!)));
  const splits = splitGraph(graph, options.ranks, {
    attentionOutput: units(graph.layers.map((l) => l.attentionOutput.path)),
    down: units(graph.layers.map((l) => l.down.path)),
  });
  const activations = ACTIVATIONS[options.activations];
  const qkv = new Set(graph.layers.flatMap((l) => [l.query.path, l.key.path, l.value.path]));
  const kvType = KV_TYPE[options.kvType ?? 'bf16'];
  const pageCount = Math.ceil(options.contextTokens / PAGE_TOKENS);
  const shape = {
    graph,
    matrices,
    vectors,
    batchTokens: options.batchTokens,
    pageCount,
    kvType,
    ...kernels,
    activationOf: (path: string) => (qkv.has(path) ? activations.qkv : path === graph.head.path ? activations.head : activations.rest),
  };
  const ranks = splits.map((split, rank) => layRank(shape, rank, split));
  refuseTooLarge(ranks);
  const { vocabulary, hidden, headDim, epsilon, attentionScale, rope } = graph;
  return {
    graph,
    model: { vocabulary, hidden, headDim, epsilon, attentionScale, kvType, rope, activations },
    ranks,
    pageCount,
    attentionRanks: splits.filter((s) => s.heads.count > 0).length,
    mlpRanks: splits.filter((s) => s.mlp.count > 0).length,
    readBytes: ranks.reduce((sum, rank) => sum + rank.reads.reduce((bytes, r) => bytes + r.rows * r.bytes, 0), 0),
  };
}

function linears(graph: ModelGraph): Linear[] {
  const own = graph.layers.flatMap((l) => [l.query, l.key, l.value, l.attentionOutput, l.gate, l.up, l.down]);
  return [graph.embedding, graph.head, ...own];
}

function norms(graph: ModelGraph): [name: string, length: number][] {
  const own = graph.layers.flatMap((l): [string | null, number][] => [
    [l.attentionNorm, graph.hidden],
    [l.mlpNorm, graph.hidden],
    [l.queryNorm, graph.headDim],
    [l.keyNorm, graph.headDim],
  ]);
  return [...own.filter((norm): norm is [string, number] => norm[0] !== null), [graph.finalNorm, graph.hidden]];
}

/** A tensor that the graph has no place for means that the model computes something else than we would. */
function refuseStrayTensors(
  checkpoint: Checkpoint,
  graph: ModelGraph,
  matrices: ReadonlyMap<string, MatrixSource>,
  vectors: ReadonlyMap<string, ShardedTensorEntry>,
): void {
  const known = new Set(vectors.keys());
  for (const source of matrices.values()) {
    known.add(source.weight.name);
    if (source.bias) known.add(source.bias.name);
    if (source.form === 'affine') known.add(source.scales.name).add(source.biases.name);
  }
  const tied = graph.head.path === graph.embedding.path;
  for (const name of checkpoint.tensors.keys()) {
    // Rotary tables of old exports are computed here; a tied head is a copy of the embedding.
    if (known.has(name) || name.endsWith('.rotary_emb.inv_freq') || (tied && name.startsWith('lm_head.'))) continue;
    throw new HearthError('model_load_failed', `The checkpoint holds the tensor ${name}, which this architecture does not have.`, {
      details: { tensor: name },
    });
  }
}

function refuseTooLarge(ranks: readonly RankPlan[]): void {
  const largest = Math.max(...ranks.map((r) => r.memoryBytes));
  if (largest <= RANK_ROOM_BYTES) return;
  const sum = (of: (plan: RankPlan) => number) => gib(ranks.reduce((total, plan) => total + of(plan), 0));
  throw new HearthError(
    'model_load_failed',
    `Out of room: on ${ranks.length} compute threads the model needs ${gib(largest)} in one of them, and each has ${gib(RANK_ROOM_BYTES)} ` +
      `(in all: weights ${sum((p) => p.weightsBytes)}, KV cache ${sum((p) => p.kvBytes)}, buffers ${sum((p) => p.computeBytes)}). ` +
      'Use more threads, a smaller context or a smaller model.',
    { details: { neededBytes: largest, roomBytes: RANK_ROOM_BYTES, ranks: ranks.length } },
  );
}

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
