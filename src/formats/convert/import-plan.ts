import { HearthError } from '../../core/index.ts';
import { type GgufFile, type GgufTensor, ggufNumber, ggufString, ggufTypeByName } from '../gguf/index.ts';
import type { FormatKernels } from '../kernels.ts';
import { DTYPE_BITS, type Dtype } from '../safetensors/index.ts';
import type { ImportedConfig } from './config-from-gguf.ts';
import { K_IMPORT_TYPES } from './import-k-type.ts';
import { fitsHalf, IMPORT_TYPES, type ImportType, type ScaleDtype } from './import-type.ts';
import { isStack, normShift, permutedHeads, splitLeaf, toMlxTensor } from './names.ts';
import { LLAMA3_KEY, recogniseLlama3 } from './rope.ts';
import { longropeMagnitude, shortest } from './rope-keys.ts';
import { rowChunks } from './row-chunks.ts';

/** What becomes of one tensor of a GGUF file. */
export interface ImportStep {
  readonly source: GgufTensor;
  /** MLX module path and leaf. */
  readonly module: string;
  readonly leaf: string;
  /** Heads whose rows have to be put back into MLX order; 0 = none. */
  readonly heads: number;
  /** Taken away from every number: a norm that MLX keeps as its distance from one. */
  readonly shift: 0 | 1;
  /** null: plain numbers, copied as they are unless they are shifted. */
  readonly layout: { readonly type: ImportType; readonly scaleDtype: ScaleDtype } | null;
  /** Of the tensors written for this one. */
  readonly bytesAfter: number;
}

export interface ImportPlan {
  readonly steps: readonly ImportStep[];
  readonly dropped: readonly string[];
  /** Settings that only tensors tell. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** How far each rotation is stretched in a long and in a short text. */
const FACTORS = ['rope_factors_long.weight', 'rope_factors_short.weight'];
const PLAIN = ['F32', 'F16', 'BF16'];

/**
 * Decides name, row order and layout of every tensor before anything is written. Throws `convert_unknown_tensor`,
 * `convert_type_unsupported`, `convert_config_key`.
 */
export async function planImport(file: GgufFile, imported: ImportedConfig, kernels: FormatKernels): Promise<ImportPlan> {
  const steps: ImportStep[] = [];
  const dropped: string[] = [];
  let config = {};
  for (const tensor of file.header.tensors.values()) {
    if (tensor.name === 'rope_freqs.weight') {
      config = { rope_scaling: await readLlama3(file, tensor, imported) };
      dropped.push(tensor.name);
      continue;
    }
    if (FACTORS.includes(tensor.name) && imported.family.architecture === 'phi3') {
      dropped.push(tensor.name);
      continue;
    }
    const name = toMlxTensor(imported.family, tensor.name);
    if (name === undefined || (tensor.dims.length > 2 && !isStack(imported.family, name))) {
      throw new HearthError('convert_unknown_tensor', `The tensor ${tensor.name} has no place in an MLX model of type ${imported.family.modelTypes[0]}.`);
    }
    const { module, leaf } = splitLeaf(name);
    const heads = permutedHeads(imported.family, module, imported.heads);
    steps.push(await planStep(file, tensor, { module, leaf, heads, shift: normShift(imported.family, name) }, kernels));
  }
  if (dropped.includes(FACTORS[0]!)) config = { rope_scaling: await readFactors(file, imported) };
  return { steps, dropped, config };
}

async function planStep(
  file: GgufFile,
  source: GgufTensor,
  target: Pick<ImportStep, 'module' | 'leaf' | 'heads' | 'shift'>,
  kernels: FormatKernels,
): Promise<ImportStep> {
  if (PLAIN.includes(source.type)) return { source, ...target, layout: null, bytesAfter: target.shift === 0 ? source.bytes : source.elements * 4 };
  const type = IMPORT_TYPES[source.type] ?? K_IMPORT_TYPES[source.type];
  if (type === undefined) {
    throw new HearthError('convert_type_unsupported', `The tensor ${source.name} has type ${source.type}, which cannot be imported yet.`);
  }
  if (source.dims.length < 2 || target.leaf !== 'weight' || target.shift !== 0) {
    throw new HearthError('convert_type_unsupported', `The tensor ${source.name} has type ${source.type}, but only matrices may be quantised.`);
  }
  const scaleDtype = await chooseScaleDtype(file, source, type, kernels);
  const groups = source.elements / type.quantization.group;
  const scaleBytes = scaleDtype === 'U8' ? groups : (groups * 2 * DTYPE_BITS[scaleDtype as Dtype]) / 8;
  return {
    source,
    ...target,
    layout: { type, scaleDtype },
    bytesAfter: (source.elements * type.quantization.bits) / 8 + scaleBytes,
  };
}

/** F16 wherever it is exact: only a bias that is a multiple of d may leave its range. */
async function chooseScaleDtype(file: GgufFile, source: GgufTensor, type: ImportType, kernels: FormatKernels): Promise<ScaleDtype> {
  if (type.quantization.mode !== 'affine') return 'U8';
  if (IMPORT_TYPES[source.type] === undefined) return 'F32';
  if (type.biasFactor === undefined) return 'F16';
  for await (const chunk of rowChunks(file, source, 0)) {
    if (!fitsHalf(chunk, ggufTypeByName(source.type).bytes, type.biasFactor, kernels)) return 'F32';
  }
  return 'F16';
}

async function readFactors(file: GgufFile, imported: ImportedConfig): Promise<Record<string, unknown>> {
  const read = async (name: string): Promise<number[]> => {
    const tensor = file.header.tensors.get(name);
    if (tensor?.type !== 'F32' || tensor.elements !== imported.rotaryDim / 2) {
      throw new HearthError('convert_config_key', `The tensor ${name} is missing, or does not have one float32 factor for each rotation.`);
    }
    return Array.from(new Float32Array((await file.readTensor(name)).slice().buffer), shortest);
  };
  const magnitude = ggufNumber(file.header, 'phi3.rope.scaling.attn_factor') ?? 1;
  if (Math.abs(magnitude - longropeMagnitude(imported.config)) > 1e-5 * magnitude)
    throw new HearthError('convert_config_key', `phi3.rope.scaling.attn_factor is ${magnitude}, which does not follow from the lengths of the context.`);
  return { type: 'longrope', long_factor: await read(FACTORS[0]!), short_factor: await read(FACTORS[1]!) };
}

async function readLlama3(file: GgufFile, tensor: GgufTensor, imported: ImportedConfig): Promise<Record<string, unknown>> {
  const bytes = await file.readTensor(tensor.name);
  const rope =
    tensor.type === 'F32' && tensor.elements === imported.headDim / 2
      ? recogniseLlama3(new Float32Array(bytes.buffer), imported.ropeBase, ggufString(file.header, LLAMA3_KEY))
      : undefined;
  if (rope === undefined) {
    throw new HearthError('convert_config_key', 'The tensor rope_freqs.weight holds rotations that hearth cannot express in config.json.');
  }
  return {
    rope_type: 'llama3',
    factor: rope.factor,
    low_freq_factor: rope.low,
    high_freq_factor: rope.high,
    original_max_position_embeddings: rope.original,
  };
}
