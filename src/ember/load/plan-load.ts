import { HearthError } from '../../core/index.ts';
import type { Checkpoint, ShardedTensorEntry } from '../../formats/index.ts';
import { ACTIVATION, type Activation, type Kernels, KV_TYPE } from '../kernel-interface.ts';
import { planPageGroups } from '../kv/page-groups.ts';
import { modelGraph } from '../models/architectures.ts';
import { type GraphTensors, graphTensors, projectionsOf } from '../models/graph-tensors.ts';
import { hasRunningState, type Linear, type Mixer, type ModelGraph, windowsOf } from '../models/model-graph.ts';
import type { RankModel } from '../ranks/rank-start.ts';
import type { ActivationPath, EmberOptions, PageGroup } from '../types.ts';
import { layRank } from './lay-rank.ts';
import { type MatrixSource, matrixSource, vectorSource } from './matrix-source.ts';
import type { RankPlan } from './rank-plan.ts';

export interface LoadPlan {
  readonly graph: ModelGraph;
  readonly model: RankModel;
  readonly ranks: readonly RankPlan[];
  readonly pageGroups: readonly PageGroup[];
  /** Slots of running states, and of those that are kept for prefixes; null where no layer has one. */
  readonly states: { readonly running: number; readonly kept: number } | null;
  readonly readBytes: number;
}

/** States kept beside one for each sequence. */
const KEPT_STATES = 4;
/** Slots of running states and of kept ones. */
export const stateSlots = (sequences: number): number => 2 * sequences + KEPT_STATES;
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
  options: Pick<EmberOptions, 'ranks' | 'activations' | 'kvType' | 'contextTokens' | 'batchTokens' | 'sequences'>,
  kernels: { readonly memoryBase: number; readonly sizes: Pick<Kernels, 'preparedBytes' | 'attendScratchBytes' | 'pageBytes'> },
): LoadPlan {
  const graph = modelGraph(checkpoint.config);
  const layout = checkpoint.quantization?.layout ?? 'mlx';
  if (layout !== 'mlx') throw new HearthError('not_implemented', `Weights in the layout of ${layout} cannot be run yet; MLX checkpoints can.`);
  const tensors = graphTensors(graph);
  const matrices = new Map(tensors.linears.map((linear) => [linear.path, matrixSource(checkpoint, linear)]));
  const vectors = new Map(vectorsOf(tensors).map(({ name, shape }) => [name, vectorSource(checkpoint, name, shape)]));
  refuseStrayTensors(checkpoint, graph, matrices, vectors);

  const activations = ACTIVATIONS[options.activations];
  const exact = exactPaths(graph);
  const headPath = graph.head?.linear.path;
  const kvType = KV_TYPE[options.kvType ?? 'bf16'];
  const sequences = options.sequences ?? 1;
  const pageGroups = planPageGroups(windowsOf(graph), { ...options, sequences });
  const stateCount = graph.layers.some((layer) => hasRunningState(layer.mixer?.body)) ? stateSlots(sequences) : 0;
  const shape = {
    graph,
    sources: {
      matrices,
      vectors,
      activationOf: (path: string) => (path === headPath ? activations.head : exact.has(path) ? activations.qkv : activations.rest),
    },
    ranks: options.ranks,
    refineHead: options.activations === 'mixed',
    batchTokens: options.batchTokens,
    pageGroups,
    stateCount,
    kvType,
    ...kernels,
  };
  const ranks = Array.from({ length: options.ranks }, (_, rank) => layRank(shape, rank));
  refuseTooLarge(ranks);
  return {
    graph,
    model: { vocabulary: graph.vocabulary, hidden: graph.hidden, kvType, ropes: graph.ropes },
    ranks,
    pageGroups,
    states: stateCount === 0 ? null : { running: sequences, kept: stateCount - sequences },
    readBytes: ranks.reduce((sum, rank) => sum + rank.reads.reduce((bytes, r) => bytes + r.rows * r.bytes, 0), 0),
  };
}

/** Matrices whose inputs are kept more exactly in the `mixed` path: what makes queries, keys and values, and what chooses experts. */
function exactPaths(graph: ModelGraph): ReadonlySet<string> {
  const linears = graph.layers.flatMap(({ mixer, feedForward }): (Linear | null)[] => [
    ...(mixer === null ? [] : exactOf(mixer.body)),
    ...(feedForward?.body.kind === 'experts' ? [feedForward.body.router.linear, feedForward.body.sharedGate] : []),
  ]);
  return new Set(linears.filter((linear) => linear !== null).map((linear) => linear.path));
}

function exactOf(body: Mixer): readonly (Linear | null)[] {
  if (body.kind === 'attention') return [body.query, body.key, body.value];
  if (body.kind === 'latent-attention') return [body.query, body.queryDown, body.keyValue, body.queryToLatent, body.latentToValue];
  if (body.kind === 'short-convolution') return [body.gateIn, body.gateOut, body.value];
  return body.kind === 'state-space' ? [body.gate, body.x, body.b, body.c, body.step] : projectionsOf(body);
}

const vectorsOf = ({ norms, vectors }: GraphTensors) => [
  ...norms.flatMap(({ path, size, bias }) => (bias ? ['weight', 'bias'] : ['weight']).map((leaf) => ({ name: `${path}.${leaf}`, shape: [size] }))),
  ...vectors,
];

/** A tensor that the graph has no place for means that the model computes something else than we would. */
function refuseStrayTensors(
  checkpoint: Checkpoint,
  graph: ModelGraph,
  matrices: ReadonlyMap<string, MatrixSource>,
  vectors: ReadonlyMap<string, ShardedTensorEntry>,
): void {
  const known = new Set(vectors.keys());
  for (const source of matrices.values()) {
    const parts = source.form === 'affine' ? [source.weight, source.scales, source.biases, source.bias] : [source.weight, source.bias];
    for (const part of parts) if (part) known.add(part.name);
  }
  const tied = graph.head?.linear.path === graph.embedding.table.path;
  for (const name of checkpoint.tensors.keys()) {
    if (known.has(name) || graph.otherTensors.some((start) => name.startsWith(start))) continue;
    // Rotary tables of old exports are computed here; a tied head is a copy of the embedding.
    if (name.endsWith('.rotary_emb.inv_freq') || (tied && /^(language_model\.)?lm_head\./.test(name))) continue;
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
