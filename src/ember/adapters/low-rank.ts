import { type Kernels, PLAIN_TYPE } from '../kernel-interface.ts';
import type { MatrixPlacement } from '../load/rank-plan.ts';
import { readRow } from '../ranks/read-row.ts';
import type { AdapterPlacement, RankAdapter } from './adapter-plan.ts';
import { gatherSegments, type RowSegment, readSegments } from './row-segments.ts';

/** The adapters of one rank, and what they add to its products. */
export interface LowRank {
  /** Reads which rows of the step use which adapter. */
  begin(step: Int32Array, stepFloats: Float32Array): void;
  /** From here on rows are those whose output is wanted. */
  trim(): void;
  /** The next products are of rows in another order: row i is row `rowOf(i)` of the step; absent: they are those of the step again. */
  order(rows: number, rowOf?: (row: number) => number): void;
  /** Adds to y [rows, matrix rows] = x [rows, matrix columns] · matrixᵀ what the rows' adapters change; before a bias. */
  apply(matrix: MatrixPlacement, x: number, y: number, rows: number): void;
  /** Adds to y [hidden], row `row` of the rank's part of the embedding, what the adapter of token `token` changes. */
  applyToRow(table: MatrixPlacement, row: number, token: number, y: number): void;
  /** Copies an adapter into its block; the memory grows to hold it, or throws. */
  load(slot: number, adapter: RankAdapter, block: number): void;
  drop(slot: number): void;
  /** DoRA: [rows, 3] norms of some rows of a placement, over the rank's own columns. */
  measure(slot: number, placement: number, first: number, rows: number): Float32Array<ArrayBuffer>;
  /** DoRA: [rows, 3] norms over all columns. */
  setNorms(slot: number, placement: number, norms: Float32Array): void;
}

interface Resident {
  readonly block: number;
  readonly adapter: Omit<RankAdapter, 'values'>;
  readonly byWeight: ReadonlyMap<number, AdapterPlacement>;
  /** Scale of the request that a placement's DoRA factors are for. */
  readonly factorScales: Map<AdapterPlacement, number>;
  /** DoRA, while it is measured: A·Aᵀ of a placement. */
  readonly grams: Map<AdapterPlacement, Float64Array>;
}

const PAGE_BYTES = 65_536;
const F32 = PLAIN_TYPE.f32;

export function createLowRank(kernels: Kernels, memory: WebAssembly.Memory): LowRank {
  const residents = new Map<number, Resident>();
  let byToken: readonly RowSegment[] = [];
  let byRow: readonly RowSegment[] = [];
  let ofStep: readonly RowSegment[] = [];
  let segments: readonly RowSegment[] = [];
  // A shared memory that grows keeps its old buffer, but only a new view reaches the new part.
  let floats = new Float32Array(memory.buffer);
  /** f32 values at a byte offset. */
  const view = (offset: number, count: number): Float32Array => floats.subarray(offset / 4, offset / 4 + count);

  /** m / ‖w + s·d‖ of every row. */
  function doraFactors({ block, factorScales }: Resident, placement: AdapterPlacement, scale: number): Float32Array {
    const { m, norms, factors } = placement.dora!;
    const { rows } = placement.matrix;
    const result = view(block + factors, rows);
    if (factorScales.get(placement) === scale) return result;
    const lengths = view(block + m, rows);
    const squares = view(block + norms, 3 * rows);
    for (let row = 0; row < rows; row++)
      result[row] = lengths[row]! / Math.sqrt(squares[3 * row]! + scale * (2 * squares[3 * row + 1]! + scale * squares[3 * row + 2]!));
    factorScales.set(placement, scale);
    return result;
  }

  function add(resident: Resident, placement: AdapterPlacement, { first, count, scale }: RowSegment, x: number, y: number): void {
    const { rank, matrix } = placement;
    const { rows, columns } = matrix;
    const low = resident.block + resident.adapter.scratch;
    const out = y + first * rows * 4;
    kernels.matmulPlain(F32, resident.block + placement.a, x + first * columns * 4, low, rank, 0, rank, columns, count);
    kernels.addLowRank(resident.block + placement.b, low, out, rows, rows, rank, count, placement.scale * scale);
    if (placement.dora === null) return;
    const factors = doraFactors(resident, placement, scale);
    const values = view(out, count * rows);
    for (let t = 0; t < count; t++) for (let row = 0, at = t * rows; row < rows; row++, at++) values[at] = values[at]! * factors[row]!;
  }

  return {
    begin(step, stepFloats) {
      byToken = residents.size === 0 ? [] : readSegments(step, stepFloats, 'tokens');
      byRow = byToken.length === 0 ? [] : readSegments(step, stepFloats, 'rows');
      ofStep = byToken;
      segments = ofStep;
    },
    trim() {
      ofStep = byRow;
      segments = ofStep;
    },
    order(rows, rowOf) {
      segments = rowOf === undefined || ofStep.length === 0 ? ofStep : gatherSegments(ofStep, rows, rowOf);
    },
    apply(matrix, x, y, rows) {
      for (const segment of segments) {
        const resident = residents.get(segment.slot);
        const placement = resident?.byWeight.get(matrix.weight);
        if (!resident || !placement || segment.first >= rows) continue;
        // Rows whose logits are not wanted stand behind the others.
        add(resident, placement, segment.first + segment.count <= rows ? segment : { ...segment, count: rows - segment.first }, x, y);
      }
    },
    applyToRow(table, row, token, y) {
      const segment = byToken.find(({ first, count }) => token >= first && token < first + count);
      const resident = segment && residents.get(segment.slot);
      const placement = resident?.byWeight.get(table.weight);
      if (!segment || !resident || !placement) return;
      const { rank, matrix, scale, dora } = placement;
      const { columns } = matrix;
      for (let j = 0; j < rank; j++) {
        const factor = floats[(resident.block + placement.b) / 4 + j * matrix.rows + row]!;
        kernels.addScaled(y, resident.block + placement.a + j * columns * 4, columns, scale * segment.scale * factor);
      }
      if (dora) kernels.scaleBy(y, columns, doraFactors(resident, placement, segment.scale)[row]!);
    },
    load(slot, { values, ...adapter }, block) {
      const missing = block + adapter.blockBytes - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
      floats = new Float32Array(memory.buffer);
      floats.set(values, block / 4);
      const byWeight = new Map(adapter.placements.map((placement) => [placement.matrix.weight, placement]));
      residents.set(slot, { block, adapter, byWeight, factorScales: new Map(), grams: new Map() });
    },
    drop(slot) {
      residents.delete(slot);
    },
    measure(slot, index, first, count) {
      const resident = residents.get(slot)!;
      const placement = resident.adapter.placements[index]!;
      const { rank, scale, matrix } = placement;
      const { columns } = matrix;
      const a = resident.block + placement.a;
      const gram = resident.grams.get(placement) ?? gramOf(view(a, rank * columns), rank);
      resident.grams.set(placement, gram);
      const row = resident.block + resident.adapter.rowScratch;
      const products = resident.block + resident.adapter.scratch;
      const b = new Float32Array(rank);
      const result = new Float32Array(count * 3);
      for (let i = 0; i < count; i++) {
        readRow(kernels, matrix, first + i, row);
        kernels.matmulPlain(F32, row, row, products, 1, 0, 1, columns, 1);
        result[3 * i] = floats[products / 4]!;
        kernels.matmulPlain(F32, a, row, products, rank, 0, rank, columns, 1);
        const own = view(products, rank);
        for (let j = 0; j < rank; j++) b[j] = floats[(resident.block + placement.b) / 4 + j * matrix.rows + first + i]!;
        let cross = 0;
        let square = 0;
        for (let j = 0; j < rank; j++) {
          cross += b[j]! * own[j]!;
          for (let k = 0; k < rank; k++) square += b[j]! * b[k]! * gram[j * rank + k]!;
        }
        result[3 * i + 1] = scale * cross;
        result[3 * i + 2] = scale * scale * square;
      }
      return result;
    },
    setNorms(slot, index, norms) {
      const { block, adapter, factorScales, grams } = residents.get(slot)!;
      const placement = adapter.placements[index]!;
      view(block + placement.dora!.norms, norms.length).set(norms);
      factorScales.delete(placement);
      grams.delete(placement);
    },
  };
}

/** Products of the rows of A [rank, …] with each other. */
function gramOf(a: Float32Array, rank: number): Float64Array {
  const width = a.length / rank;
  const gram = new Float64Array(rank * rank);
  for (let j = 0; j < rank; j++)
    for (let k = 0; k <= j; k++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += a[j * width + i]! * a[k * width + i]!;
      gram[j * rank + k] = sum;
      gram[k * rank + j] = sum;
    }
  return gram;
}
