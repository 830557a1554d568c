import { join } from 'node:path';
import { HearthError, writeFileAtomic } from '../../core/index.ts';
import { decodeFloats, encodeFloats, isFloatDtype, type TensorSource, writeShardedCheckpoint } from '../safetensors/index.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { checkGroupIndex, type ForeignModule, fromAwq, fromGptq, type RowModule } from './foreign-layout.ts';
import { packCodes, toWords } from './packing.ts';
import type { QuantizationPlan } from './quantization.ts';

const PARTS = ['qweight', 'qzeros', 'scales', 'g_idx'];

/**
 * Writes an AWQ or GPTQ checkpoint as an MLX one with the same numbers: config.json and weights; other files are the caller's.
 * Scales and biases become F32, in which they are exact. Throws `mlx_quant_unsupported`, `mlx_quant_missing`, `mlx_quant_shape`.
 */
export async function rewriteForeignCheckpoint(source: string, target: string): Promise<void> {
  await using checkpoint = await openCheckpoint(source);
  const plan = checkpoint.quantization;
  if (!plan || plan.layout === 'mlx') throw new HearthError('mlx_quant_unsupported', `${source} is neither an AWQ nor a GPTQ checkpoint.`);
  const modules = [...checkpoint.tensors.keys()].filter((name) => name.endsWith('.qweight')).map((name) => name.slice(0, -'.qweight'.length));
  const parts = new Set(modules.flatMap((path) => PARTS.map((part) => `${path}.${part}`)));
  const tensors: TensorSource[] = [];
  for (const path of modules) tensors.push(...(await rewriteModule(checkpoint, plan, path)));
  for (const { name, dtype, shape } of checkpoint.tensors.values())
    if (!parts.has(name)) tensors.push({ name, dtype, shape, data: onDemand(() => checkpoint.readTensor(name)) });
  await writeShardedCheckpoint(target, tensors);
  const { quantization_config: _, ...config } = checkpoint.config;
  const block = { group_size: plan.fallback.group, bits: plan.fallback.bits, mode: plan.fallback.mode };
  await writeFileAtomic(join(target, 'config.json'), `${JSON.stringify({ ...config, quantization: block, quantization_config: block }, null, 2)}\n`, 0o644);
}

/** Checks the module's tensors now, reads and turns its numbers when they are written: one module is in memory at a time. */
async function rewriteModule(checkpoint: Checkpoint, plan: QuantizationPlan, path: string): Promise<TensorSource[]> {
  const { group } = plan.fallback;
  const entry = (part: string) => {
    const found = checkpoint.tensors.get(`${path}.${part}`);
    if (!found) throw new HearthError('mlx_quant_missing', `${path}.qweight exists without ${path}.${part}.`);
    return found;
  };
  const [rows = 0, columns = 0] = entry('qweight').shape;
  const [inputs, outputs] = plan.layout === 'awq' ? [rows, columns * 8] : [rows * 8, columns];
  const groups = inputs / group;
  const zeros = checkpoint.tensors.get(`${path}.qzeros`);
  const scales = entry('scales');
  const fits =
    is32Bit(entry('qweight').dtype) &&
    isFloatDtype(scales.dtype) &&
    String(scales.shape) === String([groups, outputs]) &&
    (!zeros || (is32Bit(zeros.dtype) && String(zeros.shape) === String([groups, outputs / 8])));
  if (!fits || !Number.isInteger(groups) || outputs % 8 !== 0)
    throw new HearthError('mlx_quant_shape', `${path}: the shapes of qweight, qzeros and scales do not fit 4 bits in groups of ${group}.`);
  const words = async (part: string): Promise<Uint32Array> => toWords(await checkpoint.readTensor(`${path}.${part}`));
  if (checkpoint.tensors.has(`${path}.g_idx`)) checkGroupIndex(path, await words('g_idx'), group);
  const read = async (): Promise<RowModule> => {
    const dtype = isFloatDtype(scales.dtype) ? scales.dtype : 'F32';
    const module: ForeignModule = {
      inputs,
      outputs,
      group,
      qweight: await words('qweight'),
      scales: decodeFloats(dtype, await checkpoint.readTensor(`${path}.scales`)),
      ...(zeros ? { qzeros: await words('qzeros') } : {}),
    };
    return plan.layout === 'awq' ? fromAwq(module) : fromGptq(module, zeroOffset(checkpoint));
  };
  const plane = (leaf: 'scales' | 'biases'): TensorSource => ({
    name: `${path}.${leaf}`,
    dtype: 'F32',
    shape: [outputs, groups],
    data: onDemand(async () => encodeFloats('F32', (await read())[leaf])),
  });
  const weight: TensorSource = {
    name: `${path}.weight`,
    dtype: 'U32',
    shape: [outputs, inputs / 8],
    data: onDemand(async () => new Uint8Array(packCodes(4, (await read()).codes).buffer)),
  };
  return [weight, plane('scales'), plane('biases')];
}

function zeroOffset(checkpoint: Checkpoint): 0 | 1 {
  const config = checkpoint.config['quantization_config'] as Readonly<Record<string, unknown>> | undefined;
  return config?.['checkpoint_format'] === 'gptq_v2' ? 0 : 1;
}

const is32Bit = (dtype: string): boolean => dtype === 'I32' || dtype === 'U32';

const onDemand = (read: () => Promise<Uint8Array>): (() => AsyncIterable<Uint8Array>) =>
  async function* () {
    yield await read();
  };
