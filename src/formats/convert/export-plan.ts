import { HearthError } from '../../core/index.ts';
import { type GgufTypeName, ggufRowBytes, ggufTypeByName } from '../gguf/index.ts';
import type { FormatKernels } from '../kernels.ts';
import type { Checkpoint, Quantization } from '../mlx/index.ts';
import { decodeFloats, type FloatDtype, isFloatDtype } from '../safetensors/index.ts';
import type { ExportedConfig } from './config-to-gguf.ts';
import { chooseType, type LayerRows } from './export-type.ts';
import { readLayerScales } from './layer-scales.ts';
import { isRouter, isStack, normShift, permutedHeads, splitLeaf, toGgufTensor } from './names.ts';

/** What becomes of one tensor or quantised layer of a checkpoint. */
export interface ExportStep {
  /** GGUF name. */
  readonly name: string;
  /** Name of the MLX tensor that holds the numbers. */
  readonly source: string;
  readonly from: string;
  readonly type: GgufTypeName;
  readonly dims: readonly number[];
  readonly elements: number;
  readonly heads: number;
  /** Added to every number: a norm that MLX keeps as its distance from one. */
  readonly shift: 0 | 1;
  readonly quantization: Quantization | null;
  /** Codes of 8 bits are copied. */
  readonly keepCodes: boolean;
  /** The type may not hold every number exactly: differences are counted. */
  readonly mayDiffer: boolean;
  /** Groups whose scale or bias is subnormal in fp16. */
  readonly subnormalGroups: number;
  readonly bytesAfter: number;
}

/** Decides name, type and row order of every tensor. Throws `convert_unknown_tensor`, `convert_not_finite`, `convert_type_unsupported`. */
export async function planExport(
  checkpoint: Checkpoint,
  exported: ExportedConfig,
  quant: 'exact' | 'q4_0',
  kernels: FormatKernels,
): Promise<{ steps: ExportStep[]; dropped: string[] }> {
  const steps: ExportStep[] = [];
  const dropped: string[] = [];
  for (const [name, entry] of checkpoint.tensors) {
    const { module, leaf } = splitLeaf(name);
    const own = ownName(name, exported.family.namePrefix);
    if (exported.family.dropped.test(own) || (exported.tied && own.startsWith('lm_head.'))) {
      dropped.push(name);
      continue;
    }
    const quantization = leaf === 'bias' ? null : checkpoint.quantizationOf(module);
    if (quantization !== null && (leaf === 'scales' || leaf === 'biases')) continue;
    const target = toGgufTensor(exported.family, own);
    if (target === undefined || (entry.shape.length > 2 && !isStack(exported.family, own))) {
      throw new HearthError('convert_unknown_tensor', `The tensor ${name} has no place in a GGUF model of the architecture ${exported.family.architecture}.`);
    }
    const heads = permutedHeads(exported.family, splitLeaf(own).module, exported.heads);
    const shift = normShift(exported.family, own);
    const shape = quantization === null ? entry.shape : [...entry.shape.slice(0, -1), (entry.shape.at(-1)! * 32) / quantization.bits];
    const choice = isRouter(exported.family, own)
      ? routerChoice(entry.dtype, quantization)
      : await chooseForTensor(checkpoint, name, quantization, shape, quant, kernels);
    const dims = shape.toReversed();
    const elements = dims.reduce((product, dim) => product * dim, 1);
    const bytesAfter = (elements / dims[0]!) * ggufRowBytes(ggufTypeByName(choice.type), dims[0]!);
    steps.push({
      name: target,
      source: name,
      dims,
      elements,
      heads,
      shift,
      quantization,
      bytesAfter,
      subnormalGroups: 0,
      ...choice,
      mayDiffer: choice.mayDiffer || shift !== 0,
    });
  }
  return { steps: steps.toSorted((a, b) => (a.name < b.name ? -1 : 1)), dropped };
}

const describe = ({ mode, bits, group }: Quantization): string => `${mode}-${bits}-g${group}`;

/** The names of a multimodal family's text model, and of an encoder's class with a head. */
function ownName(name: string, prefix: string | undefined): string {
  const inner = name.replace(/^language_model\./, '');
  return prefix !== undefined && inner.startsWith(prefix) ? inner.slice(prefix.length) : inner;
}

type Choice = Pick<ExportStep, 'type' | 'from' | 'keepCodes' | 'mayDiffer'> & { readonly subnormalGroups?: number };

/** float32: widened, or dequantised within its rounding. */
const routerChoice = (dtype: string, quantization: Quantization | null): Choice => ({
  type: 'F32',
  from: quantization === null ? dtype : describe(quantization),
  keepCodes: false,
  mayDiffer: quantization !== null,
});

async function chooseForTensor(
  checkpoint: Checkpoint,
  name: string,
  quantization: Quantization | null,
  shape: readonly number[],
  quant: 'exact' | 'q4_0',
  kernels: FormatKernels,
): Promise<Choice> {
  const columns = shape.at(-1)!;
  const dtype = checkpoint.tensors.get(name)!.dtype;
  const from = quantization === null ? dtype : describe(quantization);
  if (quantization === null && !isFloatDtype(dtype))
    throw new HearthError('convert_type_unsupported', `The tensor ${name} has dtype ${dtype}, which is no kind of weight.`);
  if (quant === 'q4_0' && shape.length === 2 && columns % 32 === 0) {
    // As other engines do, the embedding keeps more bits: it is the output layer of tied models too.
    return { type: name.startsWith('model.embed_tokens.') ? 'Q8_0' : 'Q4_0', from, keepCodes: false, mayDiffer: true };
  }
  if (quantization === null)
    return { type: shape.length === 1 || name.endsWith('.bias') ? 'F32' : (dtype as FloatDtype), from, keepCodes: false, mayDiffer: false };
  if (quantization.mode !== 'affine')
    return { type: chooseType(quantization, columns, { fitsHalf: true, centred: false }), from, keepCodes: true, mayDiffer: quantization.mode === 'mxfp8' };
  const scales = await readLayerScales(checkpoint, splitLeaf(name).module, kernels);
  const type = chooseType(quantization, columns, scales);
  const keepCodes = type === 'Q4_1' || type === 'Q5_1' || (type === 'Q8_0' && quantization.bits === 8 && scales.centred);
  return { type, from, keepCodes, mayDiffer: !keepCodes || !scales.areHalves, subnormalGroups: keepCodes ? scales.subnormalGroups : 0 };
}

/** Reads rows of a step; absent rows: the whole tensor. */
export async function layerRows(checkpoint: Checkpoint, step: ExportStep, rows?: readonly [number, number]): Promise<LayerRows> {
  const { module } = splitLeaf(step.source);
  const read = (name: string) => checkpoint.readTensor(name, rows === undefined ? {} : { flatRows: rows });
  const dtypeOf = (name: string) => checkpoint.tensors.get(name)!.dtype as FloatDtype;
  if (step.quantization === null) {
    const values = decodeFloats(dtypeOf(step.source), await read(step.source));
    if (!values.every(Number.isFinite)) throw new HearthError('convert_not_finite', `The tensor ${step.source} holds an infinite number or NaN.`);
    return { kind: 'plain', values, shift: step.shift };
  }
  const weight = await read(step.source);
  const scales = await read(`${module}.scales`);
  if (step.quantization.mode !== 'affine') {
    const forbidden = step.quantization.mode === 'nvfp4' ? 0x7f : 255;
    if (scales.includes(forbidden)) throw new HearthError('convert_not_finite', `The layer ${module} has a scale that is infinite or not a number.`);
    return { kind: 'quantised', quantization: step.quantization, weight, scales };
  }
  const biases = decodeFloats(dtypeOf(`${module}.biases`), await read(`${module}.biases`));
  return { kind: 'quantised', quantization: step.quantization, weight, scales: decodeFloats(dtypeOf(`${module}.scales`), scales), biases };
}
