import { HearthError } from '../../core/index.ts';
import { type FormatKernels, KERNEL_DTYPES, SCALE_FACTS } from '../kernels.ts';
import type { Checkpoint } from '../mlx/index.ts';
import type { FloatDtype } from '../safetensors/index.ts';
import type { ScaleSummary } from './export-type.ts';

const SCALES_AT_ONCE = 2 ** 18;

export interface LayerScales extends ScaleSummary {
  /** fp16 holds each of them. */
  readonly areHalves: boolean;
  /** Groups whose scale or bias is subnormal in fp16: some GPU kernels take those for zero. */
  readonly subnormalGroups: number;
}

/** A look at all scales and biases of an affine layer, some at a time. `kernels`: used by nobody else meanwhile. Throws `convert_not_finite`. */
export async function readLayerScales(checkpoint: Checkpoint, module: string, kernels: FormatKernels): Promise<LayerScales> {
  const { shape, dtype } = checkpoint.tensors.get(`${module}.scales`)!;
  const groups = shape.at(-1)!;
  const rows = shape.slice(0, -1).reduce((product, dimension) => product * dimension, 1);
  const step = Math.max(1, Math.floor(SCALES_AT_ONCE / groups));
  let facts = 0;
  let subnormalGroups = 0;
  for (let from = 0; from < rows; from += step) {
    const flatRows = [from, Math.min(rows, from + step)] as const;
    const count = (flatRows[1] - from) * groups;
    const bytes = count * (dtype === 'F32' ? 4 : 2);
    const { places, memory } = kernels.room([bytes, bytes]);
    const [scales, biases] = places as [number, number];
    await checkpoint.readTensor(`${module}.scales`, { flatRows, into: new Uint8Array(memory, scales, bytes) });
    await checkpoint.readTensor(`${module}.biases`, { flatRows, into: new Uint8Array(memory, biases, bytes) });
    const found = kernels.lookAtScales(scales, biases, KERNEL_DTYPES[dtype as FloatDtype], count);
    facts |= found & 15;
    subnormalGroups += found >>> 4;
    if (facts & SCALE_FACTS.notFinite) throw new HearthError('convert_not_finite', `A scale or bias of ${module} is infinite or not a number.`);
  }
  const has = (fact: number): boolean => (facts & fact) !== 0;
  return { fitsHalf: !has(SCALE_FACTS.beyondHalf), centred: !has(SCALE_FACTS.notCentred), areHalves: !has(SCALE_FACTS.notHalves), subnormalGroups };
}
