import type { AdapterModule } from './adapter-table.ts';

/**
 * Rows `from` … of the fused weights: W' = W + scale·B·A, with DoRA each row then scaled to the length m. `weights` holds whole rows of the base
 * [rows, inputs]; for experts, rows count over all experts. Arithmetic in float64.
 */
export function fuseRows(module: AdapterModule, weights: ArrayLike<number>, from: number): Float64Array {
  const { rank, inputs, outputs, scale, a, b, m } = module;
  const rows = weights.length / inputs;
  const fused = Float64Array.from(weights);
  for (let row = 0; row < rows; row++) {
    const factors = (from + row) * rank;
    const expert = Math.floor((from + row) / outputs) * rank * inputs;
    const at = row * inputs;
    for (let j = 0; j < rank; j++) {
      const factor = scale * b[factors + j]!;
      const line = expert + j * inputs;
      for (let i = 0; i < inputs; i++) fused[at + i] = fused[at + i]! + factor * a[line + i]!;
    }
    if (m === null) continue;
    const own = fused.subarray(at, at + inputs);
    const length = Math.sqrt(own.reduce((sum, x) => sum + x * x, 0));
    for (let i = 0; i < inputs; i++) own[i] = (own[i]! * m[from + row]!) / length;
  }
  return fused;
}
