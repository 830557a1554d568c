import type { LowRank } from '../adapters/low-rank.ts';
import type { Kernels } from '../kernel-interface.ts';
import type { MatrixPlacement } from '../load/rank-plan.ts';

export interface MatrixRunner {
  /**
   * Announces x [tokens, columns] f32 as the input of the following products. `rowOf`: the row of the step that row i of x came from, where they
   * were put into another order.
   */
  input(x: number, tokens: number, rowOf?: (row: number) => number): void;
  /** y [tokens, rows] = x · matrixᵀ (+ bias). */
  multiply(matrix: MatrixPlacement, y: number): void;
}

/** Runs matrices over one input, bringing it into each wanted form only once. */
export function createMatrixRunner(kernels: Kernels, prepared: number, lowRank: LowRank): MatrixRunner {
  let x = 0;
  let tokens = 0;
  let form = -1;
  return {
    input(newX, newTokens, rowOf) {
      lowRank.order(newTokens, rowOf);
      x = newX;
      tokens = newTokens;
      form = -1;
    },
    multiply(matrix, y) {
      const { rows, columns, bias } = matrix;
      if (matrix.form === 'plain') kernels.matmulPlain(matrix.type, matrix.weight, x, y, rows, 0, rows, columns, tokens);
      else {
        const { activation, bits, group } = matrix;
        const wanted = (activation << 16) | (bits << 8) | group;
        if (wanted !== form) kernels.prepare(activation, bits, group, x, tokens, columns, prepared);
        form = wanted;
        kernels.matmul(activation, bits, group, matrix.scaleType, matrix.weight, matrix.scales, matrix.biases, prepared, y, rows, 0, rows, columns, tokens);
      }
      lowRank.apply(matrix, x, y, tokens);
      if (bias !== 0) kernels.addBias(y, bias, tokens, rows, rows);
    },
  };
}
