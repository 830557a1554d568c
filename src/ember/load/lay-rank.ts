import type { Kernels, KvTypeCode } from '../kernel-interface.ts';
import type { ModelGraph } from '../models/model-graph.ts';
import type { PageGroup } from '../types.ts';
import { layBuffers } from './lay-buffers.ts';
import { layCache, layLayer } from './lay-layer.ts';
import { createRankLayout, type GraphSources } from './rank-layout.ts';
import type { EmbeddingPlacement, HeadPlacement, RankPlan } from './rank-plan.ts';
import { splitVocabulary } from './split.ts';

export interface RankShape {
  readonly graph: ModelGraph;
  readonly sources: GraphSources;
  readonly ranks: number;
  /** Whether only the largest logits take int16 activations. */
  readonly refineHead: boolean;
  readonly batchTokens: number;
  readonly pageGroups: readonly PageGroup[];
  /** Running states that each recurrent layer has room for. */
  readonly stateCount: number;
  /** First byte that the kernels do not use themselves. */
  readonly memoryBase: number;
  readonly kvType: KvTypeCode;
  readonly sizes: Pick<Kernels, 'preparedBytes' | 'attendScratchBytes' | 'pageBytes'>;
}

/** Lays out the memory of one rank: weights, cells of the cache, buffers. */
export function layRank(shape: RankShape, rank: number): RankPlan {
  const { graph, pageGroups } = shape;
  const layout = createRankLayout(shape.sources, rank, shape.memoryBase);
  const vocabulary = splitVocabulary(graph.vocabulary, shape.ranks)[rank]!;
  const whole = (table: ModelGraph['embedding']['positions']) => (table === null ? null : layout.whole(table));

  const weightsStart = layout.used;
  const weights = graph.layers.map((layer) => layLayer(layer, shape, rank, layout));
  const embedding: EmbeddingPlacement = {
    table: layout.rows(graph.embedding.table, vocabulary),
    factor: graph.embedding.factor,
    positions: whole(graph.embedding.positions),
    types: whole(graph.embedding.types),
    norm: layout.normOrNull(graph.embedding.norm),
  };
  const tied = graph.head?.linear.path === graph.embedding.table.path;
  const headMatrix = graph.head && (tied ? embedding.table : layout.rows(graph.head.linear, vocabulary));
  const head: HeadPlacement | null = graph.head && {
    matrix: headMatrix,
    refined: shape.refineHead && headMatrix?.form === 'affine' && headMatrix.bits < 8,
    factor: graph.head.factor,
    softCap: graph.head.softCap,
  };
  const finalNorm = layout.normOrNull(graph.finalNorm);

  const kvStart = layout.used;
  const layers = weights.map((layer) => layCache(layer, { groups: pageGroups, states: shape.stateCount }, layout));

  const computeStart = layout.used;
  const buffers = layBuffers({ ...shape, vocabulary: vocabulary.count }, layers, head, layout);
  return {
    rank,
    vocabulary,
    embedding,
    layers,
    finalNorm,
    head,
    buffers,
    reads: layout.reads,
    weightsBytes: kvStart - weightsStart,
    kvBytes: computeStart - kvStart,
    computeBytes: layout.used - computeStart,
    memoryBytes: layout.used,
  };
}
