import { decodeBlocks, type GgufFile } from '../gguf/index.ts';
import { type Checkpoint, dequantise, openCheckpoint, toWords } from '../mlx/index.ts';
import { decodeFloats, type FloatDtype } from '../safetensors/index.ts';
import { comparedRows, gatherRows, requireAsTold, type ToldErrors, type VerifyMode } from './compared-rows.ts';
import type { ImportStep } from './import-plan.ts';
import { rowOrder } from './names.ts';
import { release } from './release.ts';
import { createErrorCounter } from './report.ts';

/**
 * Opens what was written and compares rows with the source: blocks decoded by the block decoders, layers by the formulas of MLX. What was counted as
 * exact may not differ; the rest no more and no farther than was counted. Gives how many rows were compared.
 * Throws `convert_unknown_tensor` for a tensor that is missing, `internal_error` for numbers that differ where they must not.
 */
export async function verifyImport(
  file: GgufFile,
  directory: string,
  steps: readonly ImportStep[],
  errorsOf: (step: ImportStep) => ToldErrors,
  { verify = 'sample', signal }: { readonly verify?: VerifyMode; readonly signal?: AbortSignal },
): Promise<number> {
  await using checkpoint = await openCheckpoint(directory);
  if (verify === 'none') return 0;
  let rows = 0;
  for (const step of steps) {
    const total = step.source.elements / step.source.dims[0]!;
    const places = step.heads === 0 || step.source.dims.length === 1 ? null : placesOf(total, step.heads);
    const counter = createErrorCounter();
    for (const [from, to] of comparedRows(verify, step.source.name, total, step.source.dims[0]!)) {
      signal?.throwIfAborted();
      const read = await sourceRows(file, step, places, from, to);
      const source = step.shift === 0 ? read : read.map((value) => value - step.shift);
      const target = await targetRows(checkpoint, step, from, to);
      counter.add(source, target, 32);
      for (const done of new Set([read, source, target])) release(done);
      rows += to - from;
    }
    requireAsTold(step.source.name, counter.result(step.source.elements), errorsOf(step), verify);
  }
  return rows;
}

/** Rows `[from, to)` in MLX order, out of the file's. `places`: where each MLX row lies there; null = in the same order. */
async function sourceRows(file: GgufFile, { source, heads }: ImportStep, places: Uint32Array | null, from: number, to: number): Promise<Float64Array> {
  const read = async (rows: readonly [number, number]) => decodeBlocks(source.type, await file.readTensor(source.name, { rows }));
  if (places !== null) return await gatherRows(places.subarray(from, to), source.dims[0]!, (first, end) => read([first, end]));
  const values = await read([from, to]);
  return heads === 0 ? values : Float64Array.from(placesOf(values.length, heads), (place) => values[place]!);
}

/** Of each MLX row, its place in the file. */
function placesOf(rows: number, heads: number): Uint32Array {
  const places = new Uint32Array(rows);
  rowOrder(rows, heads).forEach((mlxRow, place) => {
    places[mlxRow] = place;
  });
  return places;
}

async function targetRows(checkpoint: Checkpoint, step: ImportStep, from: number, to: number): Promise<Float32Array | Float64Array> {
  const isVector = step.source.dims.length === 1;
  // A GGUF vector is one row; in MLX it is a tensor of one dimension, which has as many rows as numbers.
  const read = (leaf: string) => checkpoint.readTensor(`${step.module}.${leaf}`, isVector ? {} : { flatRows: [from, to] });
  const dtypeOf = (leaf: string) => checkpoint.tensors.get(`${step.module}.${leaf}`)?.dtype as FloatDtype;
  const quantization = step.leaf === 'weight' ? checkpoint.quantizationOf(step.module) : null;
  if (quantization === null) return decodeFloats(dtypeOf(step.leaf), await read(step.leaf));
  const words = toWords(await read('weight'));
  if (quantization.mode !== 'affine') return dequantise(quantization, { words, scales: await read('scales') });
  return dequantise(quantization, {
    words,
    scales: decodeFloats(dtypeOf('scales'), await read('scales')),
    biases: decodeFloats(dtypeOf('biases'), await read('biases')),
  });
}
