import { HearthError } from '../../core/index.ts';
import { ggufRowBytes, ggufTypeByName } from '../gguf/index.ts';
import { type FormatKernels, KERNEL_DTYPES } from '../kernels.ts';
import type { Checkpoint } from '../mlx/index.ts';
import type { FloatDtype } from '../safetensors/index.ts';
import { rowRanges } from './exact-types.ts';
import type { ExportStep } from './export-plan.ts';
import { splitLeaf } from './names.ts';
import type { ErrorCounter } from './report.ts';
import { notFinite } from './require-finite.ts';

/** Rows of a step, encoded; a vector is one row. */
export interface EncodedRows {
  readonly bytes: Uint8Array;
  readonly rows: number;
}

interface StreamContext {
  /** Used by nobody else meanwhile. */
  readonly kernels: FormatKernels;
  readonly counter: ErrorCounter;
}

/**
 * The encoded rows of a step, some at a time, without a buffer of their own for each: files are read into the kernels' memory, and what is yielded is
 * good until the next is asked for. null: the kernels have no loop for the step.
 */
export function streamRows(checkpoint: Checkpoint, step: ExportStep, context: StreamContext, signal?: AbortSignal): AsyncGenerator<EncodedRows> | null {
  if (step.shift !== 0) return null;
  if (step.quantization === null) return step.type === step.from ? copyRows(checkpoint, step, context, signal) : null;
  const isAffine = step.quantization.mode === 'affine';
  return isAffine && ['Q4_1', 'Q5_1', 'Q8_0'].includes(step.type) ? encodeBlocks(checkpoint, step, context, signal) : null;
}

async function* copyRows(checkpoint: Checkpoint, step: ExportStep, { kernels }: StreamContext, signal?: AbortSignal): AsyncGenerator<EncodedRows> {
  const dtype = step.type as FloatDtype;
  for (const flatRows of rowRanges(step)) {
    signal?.throwIfAborted();
    const rows = flatRows === undefined ? 1 : flatRows[1] - flatRows[0];
    const size = rows * step.dims[0]! * (dtype === 'F32' ? 4 : 2);
    const { places, memory } = kernels.room([size]);
    const bytes = new Uint8Array(memory, places[0], size);
    await checkpoint.readTensor(step.source, { ...(flatRows === undefined ? {} : { flatRows }), into: bytes });
    if (!kernels.areFinite(places[0]!, KERNEL_DTYPES[dtype], size)) throw notFinite(step.source);
    yield { bytes, rows };
  }
}

async function* encodeBlocks(checkpoint: Checkpoint, step: ExportStep, { kernels, counter }: StreamContext, signal?: AbortSignal): AsyncGenerator<EncodedRows> {
  const { bits, group } = step.quantization!;
  const { module } = splitLeaf(step.source);
  const columns = step.dims[0]!;
  const scaleDtype = checkpoint.tensors.get(`${module}.scales`)!.dtype as FloatDtype;
  const dtype = KERNEL_DTYPES[scaleDtype];
  const perGroup = group / 32;
  for (const flatRows of rowRanges(step)) {
    signal?.throwIfAborted();
    const rows = flatRows === undefined ? 1 : flatRows[1] - flatRows[0];
    const groups = (rows * columns) / group;
    const sideBytes = groups * (scaleDtype === 'F32' ? 4 : 2);
    const sizes = [(rows * columns * bits) / 8, sideBytes, sideBytes, rows * ggufRowBytes(ggufTypeByName(step.type), columns)] as const;
    const { places, memory } = kernels.room(sizes);
    const [codes, scales, biases, blocks] = places as [number, number, number, number];
    const part = (i: 0 | 1 | 2 | 3): Uint8Array => new Uint8Array(memory, places[i]!, sizes[i]);
    const range = flatRows === undefined ? {} : { flatRows };
    await checkpoint.readTensor(step.source, { ...range, into: part(0) });
    await checkpoint.readTensor(`${module}.scales`, { ...range, into: part(1) });
    await checkpoint.readTensor(`${module}.biases`, { ...range, into: part(2) });
    if (step.type !== 'Q8_0') kernels.encodeMinimum(codes, bits, scales, biases, dtype, groups, perGroup, blocks);
    else if (step.keepCodes) kernels.encodeCentred(codes, scales, dtype, groups, perGroup, blocks);
    else if (!kernels.encodeNearest(codes, bits, scales, biases, dtype, groups, perGroup, blocks))
      throw new HearthError('convert_not_finite', `The tensor ${step.source} holds a number that is too large for an fp16 scale.`);
    counter.addCounts(kernels.takeCounts());
    yield { bytes: part(3), rows };
  }
}
