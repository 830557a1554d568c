import { HearthError } from '../../core/index.ts';
import { decodeFloats, encodeFloats, isFloatDtype, type TensorSource } from '../safetensors/index.ts';
import type { Checkpoint } from './checkpoint.ts';
import { compressedModule } from './compressed-layout.ts';
import { checkGroupIndex, type ForeignModule, fromAwq, fromGptq, type RowModule } from './foreign-layout.ts';
import { fp8Modules } from './fp8-modules.ts';
import { packCodes, toWords } from './packing.ts';
import type { QuantizationPlan } from './quantization.ts';

/** What MLX has in the place of the quantised modules of another tool. */
export interface ForeignModules {
  readonly tensors: readonly TensorSource[];
  /** Names in the checkpoint whose numbers are in `tensors`. */
  readonly consumed: ReadonlySet<string>;
}

const PARTS = ['qweight', 'qzeros', 'scales', 'g_idx'];

/**
 * The quantised modules of an AWQ, GPTQ, compressed-tensors or FP8 checkpoint as MLX ones with the same numbers (docs/spec/formats.md §2.2). Shapes are
 * checked now, numbers are read when they are written. Scales and biases become F32, in which they are exact.
 * Throws `mlx_quant_unsupported`, `mlx_quant_missing`, `mlx_quant_shape`.
 */
export async function foreignModules(checkpoint: Checkpoint): Promise<ForeignModules> {
  const plan = checkpoint.quantization;
  if (!plan) return fp8Modules(checkpoint);
  if (plan.layout === 'mlx') return { tensors: [], consumed: new Set() };
  const isCompressed = plan.layout === 'compressed';
  const ending = isCompressed ? '.weight_packed' : '.qweight';
  const modules = [...checkpoint.tensors.keys()].filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length));
  const parts = isCompressed ? ['weight_packed', 'weight_scale', 'weight_zero_point', 'weight_shape', 'weight_g_idx'] : PARTS;
  const tensors: TensorSource[] = [];
  for (const path of modules) tensors.push(...(isCompressed ? await compressedModule(checkpoint, plan, path) : await rewriteModule(checkpoint, plan, path)));
  return { tensors, consumed: new Set(modules.flatMap((path) => parts.map((part) => `${path}.${part}`))) };
}

/** Checks the module's tensors now, reads and turns its numbers when they are written: one module is in memory at a time, for its three tensors. */
async function rewriteModule(checkpoint: Checkpoint, plan: QuantizationPlan, path: string): Promise<TensorSource[]> {
  const { bits, group } = plan.fallback;
  const entry = (part: string) => {
    const found = checkpoint.tensors.get(`${path}.${part}`);
    if (!found) throw new HearthError('mlx_quant_missing', `${path}.qweight exists without ${path}.${part}.`);
    return found;
  };
  const [rows = 0, columns = 0] = entry('qweight').shape;
  const [inputs, outputs] = plan.layout === 'awq' ? [rows, (columns * 32) / bits] : [(rows * 32) / bits, columns];
  const groups = inputs / group;
  const zeros = checkpoint.tensors.get(`${path}.qzeros`);
  const scales = entry('scales');
  const fits =
    is32Bit(entry('qweight').dtype) &&
    isFloatDtype(scales.dtype) &&
    String(scales.shape) === String([groups, outputs]) &&
    (!zeros || (is32Bit(zeros.dtype) && String(zeros.shape) === String([groups, (outputs * bits) / 32])));
  if (!fits || !Number.isInteger(groups) || (outputs * bits) % 32 !== 0)
    throw new HearthError('mlx_quant_shape', `${path}: the shapes of qweight, qzeros and scales do not fit ${bits} bits in groups of ${group}.`);
  const words = async (part: string): Promise<Uint32Array> => toWords(await checkpoint.readTensor(`${path}.${part}`));
  if (checkpoint.tensors.has(`${path}.g_idx`)) checkGroupIndex(path, await words('g_idx'), group);
  const turn = async (): Promise<RowModule> => {
    const dtype = isFloatDtype(scales.dtype) ? scales.dtype : 'F32';
    const module: ForeignModule = {
      bits,
      inputs,
      outputs,
      group,
      qweight: await words('qweight'),
      scales: decodeFloats(dtype, await checkpoint.readTensor(`${path}.scales`)),
      ...(zeros ? { qzeros: await words('qzeros') } : {}),
    };
    return plan.layout === 'awq' ? fromAwq(module) : fromGptq(module, zeroOffset(checkpoint));
  };
  const read = forThree(turn);
  const plane = (leaf: 'scales' | 'biases'): TensorSource => ({
    name: `${path}.${leaf}`,
    dtype: 'F32',
    shape: [outputs, groups],
    data: onDemand(async () => encodeFloats('F32', (await read())[leaf])),
  });
  const weight: TensorSource = {
    name: `${path}.weight`,
    dtype: 'U32',
    shape: [outputs, (inputs * bits) / 32],
    data: onDemand(async () => new Uint8Array(packCodes(bits, (await read()).codes).buffer)),
  };
  return [weight, plane('scales'), plane('biases')];
}

/** All three tensors are 32 bits wide and stand side by side in a file: the module is turned once for them, then forgotten. */
export function forThree<T>(turn: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  let uses = 0;
  return () => {
    const found = made ?? turn();
    uses += 1;
    made = uses % 3 === 0 ? undefined : found;
    return found;
  };
}

function zeroOffset(checkpoint: Checkpoint): 0 | 1 {
  const config = checkpoint.config['quantization_config'] as Readonly<Record<string, unknown>> | undefined;
  return config?.['checkpoint_format'] === 'gptq_v2' ? 0 : 1;
}

const is32Bit = (dtype: string): boolean => dtype === 'I32' || dtype === 'U32';

export const onDemand = (read: () => Promise<Uint8Array>): (() => AsyncIterable<Uint8Array>) =>
  async function* () {
    yield await read();
  };
