import type { ShardedTensorEntry } from '../../formats/index.ts';
import { type Activation, SCALE_TYPE } from '../kernel-interface.ts';
import type { Linear, Norm } from '../models/model-graph.ts';
import { floatType, type MatrixSource } from './matrix-source.ts';
import type { MatrixPlacement, NormPlacement, ReadPiece } from './rank-plan.ts';
import type { Range } from './split.ts';

/** Tensors of a checkpoint that the graph names, checked. */
export interface GraphSources {
  /** By module path. */
  readonly matrices: ReadonlyMap<string, MatrixSource>;
  /** Norm weights, biases and other vectors by tensor name. */
  readonly vectors: ReadonlyMap<string, ShardedTensorEntry>;
  /** Activations that enter the matrix of this path. */
  activationOf(path: string): Activation;
}

/** Hands out the memory of one rank, and notes what is read into it. */
export interface RankLayout {
  take(bytes: number): number;
  /** End of what was taken. */
  readonly used: number;
  readonly reads: readonly ReadPiece[];
  /** Rows of a column-parallel matrix, with its bias; null when the part is empty. */
  rows(linear: Linear, rows: Range): MatrixPlacement | null;
  /** Columns of a row-parallel matrix. Partial sums meet in the residual: rank 0 alone adds the bias. */
  columns(linear: Linear, columns: Range): MatrixPlacement | null;
  /** The same of each matrix of a stack; empty when the part is. `which`: not all matrices, but these. */
  stackRows(linear: Linear, rows: Range, which?: Range): readonly MatrixPlacement[];
  stackColumns(linear: Linear, columns: Range): readonly MatrixPlacement[];
  /** The whole matrix. */
  whole(linear: Linear): MatrixPlacement;
  norm(norm: Norm): NormPlacement;
  normOrNull(norm: Norm | null): NormPlacement | null;
  /** Part of a norm over a whole projection. */
  normPart(norm: Norm, part: Range): NormPlacement;
  /** Part of a vector, widened to f32; `perUnit` values belong to each counted unit. */
  vector(name: string, part: Range, perUnit?: number): number;
}

/** Every buffer starts on a cache line, with readable padding after it. */
const ALIGNMENT = 64;
const PADDING = 64;

/** Scales of one byte that are no number: E8M0 has one, E4M3 two. */
const NO_NUMBERS: Readonly<Record<number, readonly number[]>> = { [SCALE_TYPE.e8m0]: [255], [SCALE_TYPE.e4m3]: [127, 255] };

const all = (count: number): Range => ({ first: 0, count });

export function createRankLayout(sources: GraphSources, rank: number, memoryBase: number): RankLayout {
  const reads: ReadPiece[] = [];
  let used = memoryBase;
  const take = (bytes: number): number => {
    const offset = Math.ceil(used / ALIGNMENT) * ALIGNMENT;
    used = offset + bytes + PADDING;
    return offset;
  };

  /** `count` values of a tensor, taken as one row of values after another, widened. */
  const widened = (source: ShardedTensorEntry, first: number, count: number, plus: number): number => {
    const destination = take(count * 4);
    const bytes = source.bytes / valuesOf(source);
    reads.push({ ...pieceOf(source, bytes), firstRow: first, rows: count, firstByte: 0, bytes, destination, widen: floatType(source), plus });
    return destination;
  };
  const vector = (name: string, part: Range, perUnit = 1): number => widened(sources.vectors.get(name)!, part.first * perUnit, part.count * perUnit, 0);

  /** Matrix `index` of a linear layer: rows × columns. */
  const matrix = (linear: Linear, index: number, rows: Range, columns: Range, withBias: boolean): MatrixPlacement => {
    const { path, inputs, within } = linear;
    const source = sources.matrices.get(path)!;
    const firstRow = index * (within?.rows ?? linear.outputs) + (within?.firstRow ?? 0) + rows.first;
    const part = (tensor: ShardedTensorEntry, noNumber: readonly number[] = []): number => {
      const rowBytes = tensor.bytes / (valuesOf(tensor) / tensor.shape.at(-1)!);
      const bytes = (columns.count * rowBytes) / inputs;
      const destination = take(rows.count * bytes);
      const firstByte = (columns.first * rowBytes) / inputs;
      reads.push({ ...pieceOf(tensor, rowBytes), firstRow, rows: rows.count, firstByte, bytes, destination, widen: null, plus: 0, noNumber });
      return destination;
    };
    const common = {
      path,
      firstRow,
      firstColumn: columns.first,
      rows: rows.count,
      columns: columns.count,
      bias: source.bias && withBias ? widened(source.bias, firstRow, rows.count, 0) : 0,
    };
    if (source.form === 'plain') return { form: 'plain', type: source.type, weight: part(source.weight), ...common };
    const { bits, group, scaleType } = source;
    const biases = source.biases ? part(source.biases) : 0;
    const activation = sources.activationOf(path);
    return {
      form: 'affine',
      activation,
      bits,
      group,
      scaleType,
      weight: part(source.weight),
      scales: part(source.scales, NO_NUMBERS[scaleType]),
      biases,
      ...common,
    };
  };
  const stackOf = (linear: Linear, rows: Range, columns: Range, withBias: boolean, which: Range): MatrixPlacement[] =>
    rows.count === 0 || columns.count === 0 ? [] : Array.from({ length: which.count }, (_, i) => matrix(linear, which.first + i, rows, columns, withBias));
  const one = (linear: Linear, rows: Range, columns: Range, withBias: boolean) => stackOf(linear, rows, columns, withBias, all(1))[0] ?? null;

  const normPart = (norm: Norm, part: Range): NormPlacement => ({
    kind: norm.kind,
    size: part.count,
    epsilon: norm.epsilon,
    weight: widened(sources.vectors.get(`${norm.path}.weight`)!, part.first, part.count, norm.plus),
    bias: norm.bias ? vector(`${norm.path}.bias`, part) : 0,
  });
  const norm = (whole: Norm): NormPlacement => normPart(whole, all(whole.size));

  return {
    take,
    get used() {
      return used;
    },
    reads,
    rows: (linear, rows) => one(linear, rows, all(linear.inputs), true),
    columns: (linear, columns) => one(linear, all(linear.outputs), columns, rank === 0),
    stackRows: (linear, rows, which = all(linear.stack!)) => stackOf(linear, rows, all(linear.inputs), true, which),
    stackColumns: (linear, columns) => stackOf(linear, all(linear.outputs), columns, rank === 0, all(linear.stack!)),
    whole: (linear) => one(linear, all(linear.outputs), all(linear.inputs), true)!,
    norm,
    normOrNull: (whole) => (whole === null ? null : norm(whole)),
    normPart,
    vector,
  };
}

const valuesOf = (source: ShardedTensorEntry): number => source.shape.reduce((product, size) => product * size, 1);

const pieceOf = (source: ShardedTensorEntry, rowBytes: number) => ({
  tensor: source.name,
  file: source.file,
  fileOffset: source.offset,
  rowBytes,
});
