import { HearthError } from '../../core/index.ts';
import { decodeFloats, encodeFloats, isFloatDtype, type TensorSource } from '../safetensors/index.ts';
import type { Checkpoint } from './checkpoint.ts';
import { checkGroupIndex } from './foreign-layout.ts';
import { toWords, unpackCodes } from './packing.ts';
import type { QuantizationPlan } from './quantization.ts';

/**
 * One module of a compressed-tensors checkpoint (`pack-quantized`): the packed codes are MLX's own, value + 2^(bits − 1). `weight_scale`
 * [out, groups]; `weight_zero_point` [out · bits ÷ 32, groups], packed along the outputs and shifted likewise, or absent: then all are 2^(bits − 1).
 */
export async function compressedModule(checkpoint: Checkpoint, plan: QuantizationPlan, path: string): Promise<TensorSource[]> {
  const { bits, group } = plan.fallback;
  const entry = (part: string) => checkpoint.tensors.get(`${path}.${part}`);
  const packed = entry('weight_packed')!;
  const scale = entry('weight_scale');
  const zeros = entry('weight_zero_point');
  if (!scale) throw new HearthError('mlx_quant_missing', `${path}.weight_packed exists without ${path}.weight_scale.`);
  const [outputs = 0, words = 0] = packed.shape;
  const groups = (words * 32) / bits / group;
  const perWord = 32 / bits;
  const fits =
    (bits === 4 || bits === 8) &&
    (packed.dtype === 'I32' || packed.dtype === 'U32') &&
    isFloatDtype(scale.dtype) &&
    String(scale.shape) === String([outputs, groups]) &&
    (!zeros || ((zeros.dtype === 'I32' || zeros.dtype === 'U32') && String(zeros.shape) === String([outputs / perWord, groups])));
  if (!fits) throw new HearthError('mlx_quant_shape', `${path}: the shapes of weight_packed and weight_scale do not fit ${bits} bits in groups of ${group}.`);
  const shape = await logicalShape(checkpoint, `${path}.weight_shape`);
  if (shape && (shape[0] !== outputs || shape[1] !== groups * group))
    throw new HearthError('mlx_quant_shape', `${path}.weight_shape says [${shape.join(', ')}], but the codes are [${outputs}, ${groups * group}].`);
  if (entry('weight_g_idx')) checkGroupIndex(`${path}.weight`, toWords(await checkpoint.readTensor(`${path}.weight_g_idx`)), group);

  const scales = async (): Promise<Float32Array> => decodeFloats(scale.dtype as 'F16', await checkpoint.readTensor(`${path}.weight_scale`));
  const biases = async (): Promise<Float32Array> => {
    const values = await scales();
    const zeroCodes = zeros && unpackCodes(bits, toWords(await checkpoint.readTensor(`${path}.weight_zero_point`)));
    return values.map((value, at) => -value * (zeroCodes ? zeroCodes[zeroPlace(at, groups, perWord)]! : 2 ** (bits - 1)));
  };
  const side = (leaf: string, read: () => Promise<Float32Array>): TensorSource => ({
    name: `${path}.${leaf}`,
    dtype: 'F32',
    shape: [outputs, groups],
    data: async function* () {
      yield encodeFloats('F32', await read());
    },
  });
  const codes = async function* () {
    yield await checkpoint.readTensor(packed.name);
  };
  return [{ name: `${path}.weight`, dtype: 'U32', shape: packed.shape, data: codes }, side('scales', scales), side('biases', biases)];
}

/** Unpacked zeros are in words [out ÷ perWord, groups] of `perWord` neighbouring outputs each. */
function zeroPlace(at: number, groups: number, perWord: number): number {
  const [output, g] = [Math.floor(at / groups), at % groups];
  return (Math.floor(output / perWord) * groups + g) * perWord + (output % perWord);
}

async function logicalShape(checkpoint: Checkpoint, name: string): Promise<readonly number[] | null> {
  const entry = checkpoint.tensors.get(name);
  if (!entry || (entry.dtype !== 'I64' && entry.dtype !== 'I32')) return null;
  const bytes = (await checkpoint.readTensor(name)).slice().buffer;
  return entry.dtype === 'I64' ? [...new BigInt64Array(bytes)].map(Number) : [...new Int32Array(bytes)];
}
