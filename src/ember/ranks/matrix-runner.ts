import type { LowRank } from '../adapters/low-rank.ts';
import { ACTIVATION, type Activation, type Kernels } from '../kernel-interface.ts';
import type { MatrixPlacement } from '../load/rank-plan.ts';
import type { SharedWork } from './shared-work.ts';

export interface MatrixRunner {
  /**
   * Announces x [tokens, columns] f32 as the input of the following products. `rowOf`: the row of the step that row i of x came from, where they
   * were put into another order.
   */
  input(x: number, tokens: number, rowOf?: (row: number) => number): void;
  /** y [tokens, rows] = x · matrixᵀ (+ bias). */
  multiply(matrix: MatrixPlacement, y: number): void;
  /** The same with int8 activations, where `refine` then writes some of y again. */
  multiplyRefined(matrix: MatrixPlacement, y: number, refine: () => void): void;
}

/** Runs matrices over one input, bringing it into each wanted form only once. */
export function createMatrixRunner(kernels: Pick<Kernels, 'prepare' | 'addBias'>, work: SharedWork, prepared: number, lowRank: LowRank): MatrixRunner {
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
      base(matrix, y, matrix.form === 'plain' ? ACTIVATION.f32 : matrix.activation);
      finish(matrix, y);
    },
    multiplyRefined(matrix, y, refine) {
      base(matrix, y, ACTIVATION.int8);
      refine();
      form = -1;
      finish(matrix, y);
    },
  };

  function base(matrix: MatrixPlacement, y: number, activation: Activation): void {
    const { rows, columns } = matrix;
    if (matrix.form === 'plain') {
      work.matmulPlain(matrix.type, matrix.weight, x, y, rows, columns, tokens);
      return;
    }
    const { bits, group } = matrix;
    const wanted = (activation << 16) | (bits << 8) | group;
    if (wanted !== form) kernels.prepare(activation, bits, group, x, tokens, columns, prepared);
    form = wanted;
    work.matmul(activation, bits, group, matrix.scaleType, matrix.weight, matrix.scales, matrix.biases, prepared, y, rows, columns, tokens);
  }

  function finish(matrix: MatrixPlacement, y: number): void {
    const { rows, bias } = matrix;
    lowRank.apply(matrix, x, y, tokens);
    if (bias !== 0) kernels.addBias(y, bias, tokens, rows, rows);
  }
}
