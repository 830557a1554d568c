import type { Checkpoint } from '../mlx/index.ts';
import { type Quantization, toWords, unpackCodes } from '../mlx/index.ts';
import { decodeFloats, encodeFloats, type FloatDtype } from '../safetensors/index.ts';
import { type LayerRows, type ScaleSummary, summariseScales } from './export-type.ts';
import type { ErrorCounter } from './report.ts';

const SCALES_AT_ONCE = 2 ** 19;
const SMALLEST_NORMAL_HALF = 2 ** -14;

export interface LayerScales extends ScaleSummary {
  /** fp16 holds each of them. */
  readonly areHalves: boolean;
  /** Groups whose scale or bias is subnormal in fp16: some GPU kernels take those for zero. */
  readonly subnormalGroups: number;
}

/** A look at all scales and biases of an affine layer, some at a time. Throws `convert_not_finite`. */
export async function readLayerScales(checkpoint: Checkpoint, module: string): Promise<LayerScales> {
  const { shape, dtype } = checkpoint.tensors.get(`${module}.scales`)!;
  const groups = shape.at(-1)!;
  const rows = shape.slice(0, -1).reduce((product, dimension) => product * dimension, 1);
  const step = Math.max(1, Math.floor(SCALES_AT_ONCE / groups));
  const found = { fitsHalf: true, centred: true, areHalves: true, subnormalGroups: 0 };
  for (let from = 0; from < rows; from += step) {
    const flatRows = [from, Math.min(rows, from + step)] as const;
    const read = async (leaf: string) => decodeFloats(dtype as FloatDtype, await checkpoint.readTensor(`${module}.${leaf}`, { flatRows }));
    const [scales, biases] = [await read('scales'), await read('biases')];
    const { fitsHalf, centred } = summariseScales(scales, biases);
    found.fitsHalf &&= fitsHalf;
    found.centred &&= centred;
    found.areHalves &&= areHalves(scales) && areHalves(biases);
    for (let i = 0; i < scales.length; i++) if (isSubnormal(scales[i]!) || isSubnormal(biases[i]!)) found.subnormalGroups++;
  }
  return found;
}

const isSubnormal = (x: number): boolean => x !== 0 && Math.abs(x) < SMALLEST_NORMAL_HALF;

function areHalves(numbers: Float32Array): boolean {
  const rounded = toHalves(numbers);
  for (let i = 0; i < numbers.length; i++) if (numbers[i] !== rounded[i]) return false;
  return true;
}

const toHalves = (numbers: Float32Array): Float32Array => decodeFloats('F16', encodeFloats('F16', numbers));

/**
 * Counts what codes that are copied lose with their scales in fp16: scale·q + bias against d·q + m, in float64. Groups whose scale and bias
 * fp16 holds are exact for every code, and are not looked at.
 */
export function countScaleErrors(rows: Extract<LayerRows, { kind: 'quantised' }>, counter: ErrorCounter): void {
  const { bits, group } = rows.quantization as Quantization;
  const scales = rows.scales as Float32Array;
  const biases = rows.biases!;
  const [d, m] = [toHalves(scales), toHalves(biases)];
  const groupBytes = (group * bits) / 8;
  const [wanted, found] = [new Float64Array(group), new Float64Array(group)];
  for (let g = 0; g < scales.length; g++) {
    if (scales[g] === d[g] && biases[g] === m[g]) continue;
    const codes = unpackCodes(bits, toWords(rows.weight.subarray(g * groupBytes, (g + 1) * groupBytes)));
    for (let i = 0; i < group; i++) {
      wanted[i] = scales[g]! * codes[i]! + biases[g]!;
      found[i] = d[g]! * codes[i]! + m[g]!;
    }
    counter.add(wanted, found, 32);
  }
}
