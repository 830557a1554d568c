import { type Kernels, PLAIN_TYPE } from '../kernel-interface.ts';
import type { MatrixPlacement } from '../load/rank-plan.ts';

/** y [columns] f32 = one row of a placed matrix. */
export function readRow(kernels: Kernels, matrix: MatrixPlacement, row: number, y: number): void {
  const { columns } = matrix;
  if (matrix.form === 'plain') kernels.widen(matrix.type, matrix.weight + row * columns * (matrix.type === PLAIN_TYPE.f32 ? 4 : 2), y, columns);
  else kernels.dequantiseRow(matrix.bits, matrix.group, matrix.scaleType, matrix.weight, matrix.scales, matrix.biases, row, columns, y);
}
