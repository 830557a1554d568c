import { HearthError } from '../../core/index.ts';
import type { Checkpoint, Quantization, ShardedTensorEntry } from '../../formats/index.ts';
import { PLAIN_TYPE, type PlainType, SCALE_TYPE, type ScaleType } from '../kernel-interface.ts';
import type { Linear } from '../models/model-graph.ts';

/** A linear layer found in the checkpoint, with every shape checked against the graph. */
export type MatrixSource = AffineSource | PlainSource;

export interface AffineSource {
  readonly form: 'affine';
  readonly bits: number;
  readonly group: number;
  readonly scaleType: ScaleType;
  readonly weight: ShardedTensorEntry;
  readonly scales: ShardedTensorEntry;
  /** null where the codes are small floats. */
  readonly biases: ShardedTensorEntry | null;
  readonly bias: ShardedTensorEntry | null;
}

export interface PlainSource {
  readonly form: 'plain';
  readonly type: PlainType;
  readonly weight: ShardedTensorEntry;
  readonly bias: ShardedTensorEntry | null;
}

const FLOATS: Readonly<Record<string, PlainType>> = { F16: PLAIN_TYPE.f16, BF16: PLAIN_TYPE.bf16, F32: PLAIN_TYPE.f32 };
const SCALES: Readonly<Record<string, ScaleType>> = { F16: SCALE_TYPE.f16, BF16: SCALE_TYPE.bf16, F32: SCALE_TYPE.f32 };

/** Small floats have scales of one byte, in one of two formats. */
const BYTE_SCALES = { mxfp4: SCALE_TYPE.e8m0, mxfp8: SCALE_TYPE.e8m0, nvfp4: SCALE_TYPE.e4m3 } as const;
const BYTES: ReadonlySet<string> = new Set(['U8', 'F8_E8M0', 'F8_E4M3']);
/** Codes of every width fill whole words after this many. */
const WORDS = 32;
const AFFINE = { bits: new Set([2, 3, 4, 5, 6, 8]), groups: new Set([32, 64, 128]) } as const;

/** Whether the kernels know codes of this kind. */
export const runsQuantization = ({ mode, bits, group }: Quantization): boolean =>
  mode === 'affine' ? AFFINE.bits.has(bits) && AFFINE.groups.has(group) : mode in BYTE_SCALES;

/** Finds the tensors of a linear layer; `model_load_failed` names the tensor that is missing or has another shape or type. */
export function matrixSource(checkpoint: Checkpoint, linear: Linear): MatrixSource {
  const { path, inputs, stack } = linear;
  const rows = linear.within?.rows ?? linear.outputs;
  const shape = (...last: number[]) => (stack === undefined ? last : [stack, ...last]);
  const bias = linear.bias ? vectorSource(checkpoint, `${path}.bias`, shape(rows)) : null;
  const quantisation = checkpoint.quantizationOf(path);
  if (!quantisation) {
    const weight = tensor(checkpoint, `${path}.weight`, shape(rows, inputs));
    return { form: 'plain', type: floatType(weight), weight, bias };
  }
  const { mode, bits, group } = quantisation;
  if (!runsQuantization(quantisation))
    throw new HearthError('not_implemented', `${path}: ${mode} weights of ${bits} bits in groups of ${group} cannot be run.`);
  const unit = Math.max(group, WORDS);
  if (inputs % unit !== 0) throw wrongShape(`${path}.weight`, `${inputs} columns are not whole groups of ${unit}`);
  const weight = tensor(checkpoint, `${path}.weight`, shape(rows, (inputs * bits) / 32));
  if (weight.dtype !== 'U32') throw wrongShape(weight.name, `dtype ${weight.dtype} instead of U32`);
  const scales = tensor(checkpoint, `${path}.scales`, shape(rows, inputs / group));
  if (mode !== 'affine') {
    if (!BYTES.has(scales.dtype)) throw wrongShape(scales.name, `dtype ${scales.dtype} instead of U8`);
    return { form: 'affine', bits, group, scaleType: BYTE_SCALES[mode], weight, scales, biases: null, bias };
  }
  const biases = tensor(checkpoint, `${path}.biases`, shape(rows, inputs / group));
  const scaleType = SCALES[scales.dtype];
  if (scaleType === undefined || biases.dtype !== scales.dtype)
    throw wrongShape(scales.name, `dtypes ${scales.dtype} and ${biases.dtype}, but one float type is needed`);
  return { form: 'affine', bits, group, scaleType, weight, scales, biases, bias };
}

/** A norm's weight, a bias or another tensor of plain values that is widened at load. */
export function vectorSource(checkpoint: Checkpoint, name: string, shape: readonly number[]): ShardedTensorEntry {
  const found = tensor(checkpoint, name, shape);
  floatType(found);
  return found;
}

/** Columns at which a matrix may be cut: whole groups, and whole words of codes. */
export const cutUnit = (source: MatrixSource): number => (source.form === 'affine' ? Math.max(source.group, WORDS) : 1);

export function floatType(source: ShardedTensorEntry): PlainType {
  const type = FLOATS[source.dtype];
  if (type === undefined) throw wrongShape(source.name, `dtype ${source.dtype} instead of F16, BF16 or F32`);
  return type;
}

function tensor(checkpoint: Checkpoint, name: string, shape: readonly number[]): ShardedTensorEntry {
  const found = checkpoint.tensors.get(name);
  if (!found) throw new HearthError('model_load_failed', `The checkpoint lacks the tensor ${name}.`, { details: { tensor: name } });
  if (found.shape.length !== shape.length || found.shape.some((n, i) => n !== shape[i]))
    throw wrongShape(name, `shape [${found.shape.join(', ')}], but config.json asks for [${shape.join(', ')}]`);
  return found;
}

const wrongShape = (name: string, what: string) => new HearthError('model_load_failed', `Tensor ${name}: ${what}.`, { details: { tensor: name } });
