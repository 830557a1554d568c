import { createHash } from 'node:crypto';
import { HearthError } from '../../core/index.ts';
import { decodeBlocks, type GgufFile } from '../gguf/index.ts';
import { type Checkpoint, dequantise, openCheckpoint, toWords } from '../mlx/index.ts';
import { decodeFloats, type FloatDtype } from '../safetensors/index.ts';
import type { ImportStep } from './import-plan.ts';
import { rowOrder } from './names.ts';
import { release } from './release.ts';
import { createErrorCounter, type TensorReport } from './report.ts';

export interface ImportVerification {
  readonly rows: number;
  /** By GGUF tensor name, for tensors that are not exact by construction; counted over all their rows. */
  readonly errors: ReadonlyMap<string, Pick<TensorReport, 'inexactElements' | 'maxAbsError' | 'rmsError' | 'maxBlockRelError'>>;
}

const RUN = 8;

/**
 * Opens what was written and compares rows with the source: blocks decoded by the block decoders, layers by the formulas of MLX.
 * Throws `convert_unknown_tensor` for a tensor that is missing, `internal_error` for numbers that differ where they must not.
 */
export async function verifyImport(
  file: GgufFile,
  directory: string,
  steps: readonly ImportStep[],
  mode: 'none' | 'sample' | 'full',
  signal?: AbortSignal,
): Promise<ImportVerification> {
  await using checkpoint = await openCheckpoint(directory);
  const errors = new Map<string, ReturnType<ReturnType<typeof createErrorCounter>['result']>>();
  let rows = 0;
  for (const step of steps) {
    const exact = step.layout === null ? step.shift === 0 : step.layout.exact;
    if (mode === 'none' && exact) continue;
    const total = step.source.elements / step.source.dims[0]!;
    const counter = createErrorCounter();
    for (const [from, to] of mode === 'full' || !exact ? wholeTensor(step, total) : sampleRuns(step.source.name, total)) {
      signal?.throwIfAborted();
      const read = await sourceRows(file, step, total, from, to);
      const source = step.shift === 0 ? read : read.map((value) => value - step.shift);
      const target = await targetRows(checkpoint, step, from, to);
      counter.add(source, target, 32);
      for (const done of new Set([read, source, target])) release(done);
      rows += to - from;
    }
    const result = counter.result(step.source.elements);
    if (!exact) errors.set(step.source.name, result);
    else if (result.inexactElements > 0) {
      throw new HearthError(
        'internal_error',
        `${step.source.name} was not converted exactly: ${result.inexactElements} checked numbers differ. Nothing was kept.`,
      );
    }
  }
  return { rows, errors };
}

function* wholeTensor(step: ImportStep, rows: number): Generator<readonly [number, number]> {
  const step1 = Math.max(1, Math.floor(2 ** 18 / step.source.dims[0]!));
  for (let from = 0; from < rows; from += step1) yield [from, Math.min(rows, from + step1)];
}

/** First row, last row, and 64 rows in eight runs at places that the name decides. */
function* sampleRuns(name: string, rows: number): Generator<readonly [number, number]> {
  if (rows <= 8 * RUN + 2) return yield [0, rows];
  yield [0, 1];
  const hash = createHash('sha256').update(name).digest();
  for (let run = 0; run < 8; run += 1) {
    const from = hash.readUInt32LE(4 * run) % (rows - RUN);
    yield [from, from + RUN];
  }
  yield [rows - 1, rows];
}

/** Rows `[from, to)` in MLX order; where rows are interleaved each is looked up by itself. */
async function sourceRows(file: GgufFile, step: ImportStep, total: number, from: number, to: number): Promise<Float64Array> {
  if (step.heads === 0) return decodeBlocks(step.source.type, await file.readTensor(step.source.name, { rows: [from, to] }));
  if (step.source.dims.length === 1) {
    const values = decodeBlocks(step.source.type, await file.readTensor(step.source.name));
    const order = rowOrder(values.length, step.heads);
    return values.map((_, row) => values[order.indexOf(row)]!);
  }
  const order = rowOrder(total, step.heads);
  const out = new Float64Array((to - from) * step.source.dims[0]!);
  for (let row = from; row < to; row += 1) {
    const place = order.indexOf(row);
    out.set(decodeBlocks(step.source.type, await file.readTensor(step.source.name, { rows: [place, place + 1] })), (row - from) * step.source.dims[0]!);
  }
  return out;
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
