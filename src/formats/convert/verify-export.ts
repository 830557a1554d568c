import { decodeBlocks, type GgufFile } from '../gguf/index.ts';
import type { Checkpoint } from '../mlx/index.ts';
import { comparedRows, gatherRows, requireAsTold, type ToldErrors, type VerifyMode } from './compared-rows.ts';
import { type ExportStep, layerRows } from './export-plan.ts';
import { valuesOf } from './export-type.ts';
import { rowOrder } from './names.ts';
import { release } from './release.ts';
import { createErrorCounter } from './report.ts';

export interface VerifyExportOptions {
  readonly verify?: VerifyMode;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly step: 'verify'; readonly doneBytes: number; readonly totalBytes: number }) => void;
}

/**
 * Reads rows of the written file and compares them with the source's: blocks by the block decoders, layers by the formulas of MLX
 * (docs/spec/formats.md §8.3). In tensors that were reported exact nothing may differ; in the others no more and no farther than was counted.
 * Gives how many rows were compared. Throws `internal_error`.
 */
export async function verifyExport(
  file: GgufFile,
  checkpoint: Checkpoint,
  steps: readonly ExportStep[],
  errorsOf: (step: ExportStep) => ToldErrors,
  { verify = 'none', signal, onProgress }: VerifyExportOptions,
): Promise<number> {
  if (verify === 'none') return 0;
  const totalBytes = steps.reduce((sum, step) => sum + step.bytesAfter, 0);
  let doneBytes = 0;
  let rows = 0;
  for (const step of steps) {
    const counter = createErrorCounter();
    const columns = step.dims[0]!;
    const total = step.dims.length === 1 ? 1 : step.elements / columns;
    const order = step.heads === 0 || step.dims.length === 1 ? null : rowOrder(total, step.heads);
    for (const [from, to] of comparedRows(verify, step.name, total, columns)) {
      signal?.throwIfAborted();
      const bytes = await file.readTensor(step.name, { rows: [from, to] });
      const found = decodeBlocks(step.type, bytes);
      const wanted = await sourceNumbers(checkpoint, step, order, from, to);
      counter.add(wanted, found, 32);
      for (const done of [bytes, found, wanted]) release(done);
      rows += to - from;
    }
    requireAsTold(step.name, counter.result(step.elements), errorsOf(step), verify);
    doneBytes += step.bytesAfter;
    onProgress?.({ step: 'verify', doneBytes, totalBytes });
  }
  return rows;
}

/** Rows `[from, to)` of the file, as the source has them. */
async function sourceNumbers(checkpoint: Checkpoint, step: ExportStep, order: Uint32Array | null, from: number, to: number): Promise<Float64Array> {
  const read = async (rows?: readonly [number, number]): Promise<Float64Array> => {
    const values = valuesOf(await layerRows(checkpoint, step, rows));
    return step.shift === 0 ? values : values.map((value) => value + step.shift);
  };
  const columns = step.dims[0]!;
  if (step.dims.length === 1) {
    const values = await read();
    return step.heads === 0 ? values : Float64Array.from(rowOrder(columns, step.heads), (mlxRow) => values[mlxRow]!);
  }
  return order === null ? await read([from, to]) : await gatherRows(order.subarray(from, to), columns, (first, end) => read([first, end]));
}
