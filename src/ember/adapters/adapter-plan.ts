import { type AdapterModule, transpose } from '../../formats/index.ts';
import type { MatrixPlacement, RankPlan } from '../load/rank-plan.ts';
import { placedMatrices } from './base-modules.ts';

/** The factors of a placed matrix in a rank's memory; every offset counts bytes from the adapter's block, f32. */
export interface AdapterPlacement {
  readonly matrix: MatrixPlacement;
  readonly rank: number;
  readonly scale: number;
  /** [rank, columns of the matrix]. */
  readonly a: number;
  /** [rank, rows of the matrix]: its lines are long. */
  readonly b: number;
  readonly dora: DoraPlacement | null;
}

/**
 * DoRA scales row r by m / ‖w + s·d‖, d = scale·b_r·A and s the scale of the request. ‖w + s·d‖² = w·w + 2s·w·d + s²·d·d, so three numbers a row
 * serve every s: `norms` holds [rows, 3] of them.
 */
export interface DoraPlacement {
  /** [rows]. */
  readonly m: number;
  readonly norms: number;
  /** [rows]: m / ‖…‖ for the scale that was used last. */
  readonly factors: number;
  /** Whether the rank holds whole rows, so that its norms are not a part of a sum over ranks. */
  readonly wholeRows: boolean;
}

/** An adapter cut for one rank. */
export interface RankAdapter {
  readonly placements: readonly AdapterPlacement[];
  /** The first bytes of the block. */
  readonly values: Float32Array<ArrayBuffer>;
  /** [batch tokens, largest rank], from the block's start. */
  readonly scratch: number;
  /** DoRA: one row of the widest matrix. */
  readonly rowScratch: number;
  readonly blockBytes: number;
}

/** Buffers start on cache lines. */
const ALIGNED_FLOATS = 16;
/** Work of this long stands between two turns of others. */
const TURN_MS = 2;
/** Kernels may read this far behind a buffer. */
const PADDING = 64;

/**
 * Cuts an adapter for one rank: of a matrix that is split by rows, all of A and some rows of B; of one that is split by columns, some columns of
 * A and all of B. `modules` by the base's path. Gives others a turn now and then, so that a large adapter does not hold up a running step loop.
 */
export async function cutAdapter(
  plan: RankPlan,
  modules: ReadonlyMap<string, AdapterModule>,
  batchTokens: number,
  giveTurn: () => Promise<void>,
): Promise<RankAdapter> {
  let used = 0;
  const take = (floats: number): number => {
    const at = used;
    used += Math.ceil(floats / ALIGNED_FLOATS) * ALIGNED_FLOATS;
    return at * 4;
  };
  const fills: ((values: Float32Array) => void)[] = [];
  const places = new Map<string, number>();
  /** A place that `fill` fills later. Matrices that want the same values share it. */
  const place = (key: string, floats: number, fill: (into: Float32Array) => void): number => {
    const known = places.get(key);
    if (known !== undefined) return known;
    const at = take(floats);
    places.set(key, at);
    fills.push((values) => fill(values.subarray(at / 4, at / 4 + floats)));
    return at;
  };
  const placements: AdapterPlacement[] = [];
  const matrices = placedMatrices(plan);
  for (const [path, module] of modules) {
    const { rank, scale, inputs, outputs, m } = module;
    for (const matrix of matrices.get(path) ?? []) {
      const { firstRow, firstColumn, rows, columns } = matrix;
      const expert = Math.floor(firstRow / outputs);
      const a = place(`${path} a ${expert} ${firstColumn}`, rank * columns, (into) => {
        for (let j = 0; j < rank; j++) {
          const from = (expert * rank + j) * inputs + firstColumn;
          into.set(module.a.subarray(from, from + columns), j * columns);
        }
      });
      const b = place(`${path} b ${firstRow}`, rows * rank, (into) =>
        into.set(transpose(module.b.subarray(firstRow * rank, (firstRow + rows) * rank), rows, rank)),
      );
      const dora = m && {
        m: place(`${path} m ${firstRow}`, rows, (into) => into.set(m.subarray(firstRow, firstRow + rows))),
        norms: take(rows * 3),
        factors: take(rows),
        wholeRows: columns === inputs,
      };
      placements.push({ matrix, rank, scale, a, b, dora });
    }
  }
  const filledFloats = used;
  const scratch = take(batchTokens * Math.max(0, ...placements.map(({ rank }) => rank)));
  const rowScratch = take(Math.max(0, ...placements.map(({ dora, matrix }) => (dora ? matrix.columns : 0))));
  const values = new Float32Array(filledFloats);
  let since = performance.now();
  for (const fill of fills) {
    fill(values);
    if (performance.now() - since < TURN_MS) continue;
    await giveTurn();
    since = performance.now();
  }
  return { placements, values, scratch, rowScratch, blockBytes: 4 * used + PADDING };
}
