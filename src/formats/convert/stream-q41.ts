import { type FormatKernels, KERNEL_DTYPES } from '../kernels.ts';
import type { Checkpoint } from '../mlx/index.ts';
import { decodeFloats, type FloatDtype } from '../safetensors/index.ts';
import { rowRanges } from './exact-types.ts';
import type { ExportStep } from './export-plan.ts';
import type { LayerRows } from './export-type.ts';
import { splitLeaf } from './names.ts';

/** Whether the step copies 4-bit codes. */
export const copiesNibbles = ({ type, quantization }: ExportStep): boolean => type === 'Q4_1' && quantization?.mode === 'affine' && quantization.bits === 4;

/**
 * Q4_1 blocks of a layer, some rows at a time, without a buffer of their own for each: files are read into the kernels' memory, and what is yielded
 * is good until the next is asked for. `kernels`: used by nobody else meanwhile. `onLost` gets rows of which fp16 does not hold every scale and bias.
 */
export async function* streamQ41(
  checkpoint: Checkpoint,
  step: ExportStep,
  kernels: FormatKernels,
  onLost: (rows: Extract<LayerRows, { kind: 'quantised' }>) => void,
  signal?: AbortSignal,
): AsyncGenerator<{ readonly blocks: Uint8Array; readonly rows: number }> {
  const quantization = step.quantization!;
  const { group } = quantization;
  const { module } = splitLeaf(step.source);
  const columns = step.dims[0]!;
  const dtype = checkpoint.tensors.get(`${module}.scales`)!.dtype as FloatDtype;
  const size = dtype === 'F32' ? 4 : 2;
  for (const flatRows of rowRanges(step)) {
    signal?.throwIfAborted();
    const rows = flatRows === undefined ? 1 : flatRows[1] - flatRows[0];
    const groups = (rows * columns) / group;
    const sizes = [(rows * columns) / 2, groups * size, groups * size, (rows * columns * 20) / 32] as const;
    const { places, memory } = kernels.room(sizes);
    const [codes, scales, biases, blocks] = places as [number, number, number, number];
    const part = (i: 0 | 1 | 2 | 3): Uint8Array => new Uint8Array(memory, places[i]!, sizes[i]);
    const range = flatRows === undefined ? {} : { flatRows };
    await checkpoint.readTensor(step.source, { ...range, into: part(0) });
    await checkpoint.readTensor(`${module}.scales`, { ...range, into: part(1) });
    await checkpoint.readTensor(`${module}.biases`, { ...range, into: part(2) });
    if (kernels.encodeQ41(codes, scales, biases, KERNEL_DTYPES[dtype], groups, group / 32, blocks) > 0)
      onLost({ kind: 'quantised', quantization, weight: part(0), scales: decodeFloats(dtype, part(1)), biases: decodeFloats(dtype, part(2)) });
    yield { blocks: part(3), rows };
  }
}
