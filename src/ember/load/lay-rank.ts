import type { ShardedTensorEntry } from '../../formats/index.ts';
import { type Activation, type Kernels, type KvTypeCode, PAGE_TOKENS } from '../kernel-interface.ts';
import type { Linear, ModelGraph } from '../models/model-graph.ts';
import { MAX_CANDIDATES, maskWords, stepWords } from '../ranks/step-words.ts';
import { floatType, type MatrixSource } from './matrix-source.ts';
import type { Buffers, LayerPlacement, MatrixPlacement, RankPlan, ReadPiece } from './rank-plan.ts';
import type { Range, RankSplit } from './split.ts';

export interface RankShape {
  readonly graph: ModelGraph;
  /** By module path. */
  readonly matrices: ReadonlyMap<string, MatrixSource>;
  /** Norm weights by tensor name. */
  readonly vectors: ReadonlyMap<string, ShardedTensorEntry>;
  readonly batchTokens: number;
  readonly pageCount: number;
  /** First byte that the kernels do not use themselves. */
  readonly memoryBase: number;
  readonly kvType: KvTypeCode;
  readonly sizes: Pick<Kernels, 'preparedBytes' | 'attendScratchBytes' | 'pageBytes'>;
  /** Activations that enter a matrix of this path. */
  activationOf(path: string): Activation;
}

/** Every buffer starts on a cache line, with readable padding after it. */
const ALIGNMENT = 64;
const PADDING = 64;

/** Lays out the memory of one rank: weights, KV pages, buffers. */
export function layRank(shape: RankShape, rank: number, split: RankSplit): RankPlan {
  const { graph } = shape;
  const reads: ReadPiece[] = [];
  let used = shape.memoryBase;
  const take = (bytes: number): number => {
    const offset = Math.ceil(used / ALIGNMENT) * ALIGNMENT;
    used = offset + bytes + PADDING;
    return offset;
  };

  const read = (source: ShardedTensorEntry, rows: Range, firstByte: number, bytes: number): number => {
    const destination = take(rows.count * bytes);
    reads.push({ ...piece(source), firstRow: rows.first, rows: rows.count, firstByte, bytes, destination, widen: null });
    return destination;
  };
  const rowBytes = (source: ShardedTensorEntry) => source.bytes / source.shape[0]!;
  /** A part of a vector, widened to f32. */
  const vector = (source: ShardedTensorEntry, part: Range): number => {
    const destination = take(part.count * 4);
    reads.push({ ...piece(source), firstRow: part.first, rows: part.count, firstByte: 0, bytes: rowBytes(source), destination, widen: floatType(source) });
    return destination;
  };
  const norm = (name: string): number => {
    const source = shape.vectors.get(name)!;
    return vector(source, { first: 0, count: source.shape[0]! });
  };
  /** Rows × columns of a linear layer; null when the part is empty. `withBias`: the rank adds the bias. */
  const matrix = (linear: Linear, rows: Range, columns: Range, withBias: boolean): MatrixPlacement | null => {
    if (rows.count === 0 || columns.count === 0) return null;
    const source = shape.matrices.get(linear.path)!;
    const part = (tensor: ShardedTensorEntry) => {
      const perColumn = rowBytes(tensor) / linear.inputs;
      return read(tensor, rows, columns.first * perColumn, columns.count * perColumn);
    };
    const common = { rows: rows.count, columns: columns.count, bias: source.bias && withBias ? vector(source.bias, rows) : 0 };
    if (source.form === 'plain') return { form: 'plain', type: source.type, weight: part(source.weight), ...common };
    const { bits, group, scaleType } = source;
    return { form: 'affine', bits, group, scaleType, weight: part(source.weight), scales: part(source.scales), biases: part(source.biases), ...common };
  };
  const all = (count: number): Range => ({ first: 0, count });
  const byRows = (linear: Linear, rows: Range) => matrix(linear, rows, all(linear.inputs), true);
  // Partial sums meet in the residual: one rank alone adds the bias.
  const byColumns = (linear: Linear, columns: Range) => matrix(linear, all(linear.outputs), columns, rank === 0);
  const headRows = (heads: Range): Range => ({ first: heads.first * graph.headDim, count: heads.count * graph.headDim });

  const weightsStart = used;
  const placed = graph.layers.map((layer) => ({
    attentionNorm: norm(layer.attentionNorm),
    query: byRows(layer.query, headRows(split.heads)),
    key: byRows(layer.key, headRows(split.kvHeads)),
    value: byRows(layer.value, headRows(split.kvHeads)),
    attentionOutput: byColumns(layer.attentionOutput, headRows(split.heads)),
    queryNorm: layer.queryNorm && split.heads.count > 0 ? norm(layer.queryNorm) : 0,
    keyNorm: layer.keyNorm && split.heads.count > 0 ? norm(layer.keyNorm) : 0,
    window: layer.window,
    mlpNorm: norm(layer.mlpNorm),
    gate: byRows(layer.gate, split.mlp),
    up: byRows(layer.up, split.mlp),
    down: byColumns(layer.down, split.mlp),
  }));
  const embedding = byRows(graph.embedding, split.vocabulary);
  const head = graph.head.path === graph.embedding.path ? embedding : byRows(graph.head, split.vocabulary);
  const finalNorm = norm(graph.finalNorm);

  const kvStart = used;
  const pageStride = shape.sizes.pageBytes(shape.kvType, split.kvHeads.count, graph.headDim);
  const layers: LayerPlacement[] = placed.map((layer) => ({ ...layer, kvBase: take(shape.pageCount * pageStride) }));

  const computeStart = used;
  const buffers = layBuffers(shape, split, layers, head, reads, take);
  return {
    rank,
    split,
    layers,
    embedding,
    head,
    finalNorm,
    pageStride,
    buffers,
    reads,
    weightsBytes: kvStart - weightsStart,
    kvBytes: computeStart - kvStart,
    computeBytes: used - computeStart,
    memoryBytes: used,
  };
}

const piece = (source: ShardedTensorEntry) => ({
  tensor: source.name,
  file: source.file,
  fileOffset: source.offset,
  rowBytes: source.bytes / source.shape[0]!,
});

function layBuffers(
  shape: RankShape,
  split: RankSplit,
  layers: readonly LayerPlacement[],
  head: MatrixPlacement | null,
  reads: readonly ReadPiece[],
  take: (bytes: number) => number,
): Buffers {
  const { graph, batchTokens, pageCount, sizes } = shape;
  const floats = (perToken: number) => take(batchTokens * perToken * 4);
  const queryWidth = split.heads.count * graph.headDim;
  const keyWidth = split.kvHeads.count * graph.headDim;
  const rotaryPairs = graph.rope.inverseFrequencies.length;
  const prepared = (path: string, matrix: MatrixPlacement | null) =>
    matrix?.form === 'affine' ? sizes.preparedBytes(shape.activationOf(path), matrix.bits, matrix.group, batchTokens, matrix.columns) : 0;
  const preparedBytes = graph.layers.flatMap((layer, i) => {
    const placed = layers[i]!;
    return [
      prepared(layer.query.path, placed.query),
      prepared(layer.key.path, placed.key),
      prepared(layer.value.path, placed.value),
      prepared(layer.attentionOutput.path, placed.attentionOutput),
      prepared(layer.gate.path, placed.gate),
      prepared(layer.up.path, placed.up),
      prepared(layer.down.path, placed.down),
    ];
  });
  const scratchBytes = split.heads.count === 0 ? 0 : sizes.attendScratchBytes(batchTokens, split.heads.count, graph.headDim, pageCount * PAGE_TOKENS);
  return {
    residual: floats(graph.hidden),
    normed: floats(graph.hidden),
    query: floats(queryWidth),
    key: floats(keyWidth),
    value: floats(keyWidth),
    attention: floats(queryWidth),
    gate: floats(split.mlp.count),
    up: floats(split.mlp.count),
    partial: floats(graph.hidden),
    incoming: floats(graph.hidden),
    cosines: floats(rotaryPairs),
    sines: floats(rotaryPairs),
    prepared: take(Math.max(0, prepared(graph.head.path, head), ...preparedBytes)),
    attendScratch: take(scratchBytes),
    headToKv: take(split.heads.count * 4),
    maxAndSum: take(8),
    candidateIds: take(MAX_CANDIDATES * 4),
    candidateValues: take(MAX_CANDIDATES * 4),
    staging: take(Math.max(0, ...reads.map((r) => (r.widen === null ? 0 : r.rows * r.bytes)))),
    step: take(stepWords(batchTokens, pageCount) * 4),
    adjusted: take(split.vocabulary.count * 4),
    mask: take(maskWords(graph.vocabulary) * 4),
    logits: floats(split.vocabulary.count),
  };
}
