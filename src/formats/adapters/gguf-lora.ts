import { HearthError } from '../../core/index.ts';
import { configToGguf, permutedHeads, rowOrder, toGgufModule, toMlxModule } from '../convert/index.ts';
import { decodeBlocks, type GgufFile, type GgufKey, type GgufTensorSource, ggufNumber, ggufString, openGguf, writeGguf } from '../gguf/index.ts';
import { encodeFloats } from '../safetensors/index.ts';
import { type AdapterModule, type AdapterModuleKind, type LowRankAdapter, sortedModules, transpose } from './adapter-table.ts';
import { commonScale, unsupported, withScale } from './one-scale.ts';

export interface GgufLoraOptions {
  /** config.json of the base: its architecture names the tensors and says which rows are permuted. */
  readonly baseConfig: Readonly<Record<string, unknown>>;
  readonly name: string;
  /** Name of the base, where it is known. */
  readonly baseModel?: string;
}

/**
 * Writes a GGUF LoRA file (docs/spec/formats.md §5.4). Throws `adapter_kind_unsupported` for DoRA, for an output head or embedding of a tied
 * base, and for modules without a place in the base's architecture.
 */
export async function exportGgufLora(path: string, adapter: LowRankAdapter, options: GgufLoraOptions): Promise<void> {
  if (adapter.kind === 'dora') throw unsupported('GGUF has no form for DoRA');
  const base = configToGguf(options.baseConfig);
  const modules = [...adapter.modules.values()];
  // The engine divides one alpha of the file by each module's own rank.
  const alpha = Math.fround(commonScale(adapter, (module) => module.scale * module.rank));
  const tensors = modules.flatMap((module): GgufTensorSource[] => {
    const target = toGgufModule(base.family, module.path);
    if (target === undefined) throw unsupported(`${module.path} has no place in a GGUF model of the architecture ${base.family.architecture}`);
    if (base.tied && (target === 'output' || target === 'token_embd'))
      throw unsupported(`${module.path} of a base whose output head is its embedding cannot be told apart in GGUF`);
    const heads = permutedHeads(base.family, module.path, base.heads);
    return tensorsOf(withScale(module, alpha / module.rank), target, heads);
  });
  const text = (key: string, value: string): GgufKey => ({ key, type: 'string', value });
  const baseModel = options.baseModel ?? adapter.baseModel;
  const keys: GgufKey[] = [
    text('general.architecture', base.family.architecture),
    text('general.type', 'adapter'),
    text('general.name', options.name),
    { key: 'general.alignment', type: 'u32', value: 32 },
    { key: 'general.file_type', type: 'u32', value: 0 },
    ...(baseModel === null ? [] : [{ key: 'general.base_model.count', type: 'u32', value: 1 } as const, text('general.base_model.0.name', baseModel)]),
    text('adapter.type', 'lora'),
    { key: 'adapter.lora.alpha', type: 'f32', value: alpha },
  ];
  await writeGguf(path, keys, tensors);
}

function tensorsOf({ kind, rank, inputs, outputs, experts, a, b }: AdapterModule, target: string, heads: number): GgufTensorSource[] {
  const tensor = (leaf: string, dims: number[], values: Float32Array): GgufTensorSource => ({
    name: `${target}.weight.${leaf}`,
    type: 'F32',
    dims,
    data: encodeFloats('F32', values),
  });
  const stack = kind === 'experts' ? [experts] : [];
  if (kind === 'embedding') return [tensor('lora_a', [rank, outputs], b), tensor('lora_b', [rank, inputs], transpose(a, rank, inputs))];
  return [
    tensor('lora_a', [inputs, rank, ...stack], a),
    tensor('lora_b', [rank, outputs, ...stack], heads === 0 ? b : permuteRows(b, rank, rowOrder(outputs, heads), false)),
  ];
}

/** Rows of `width` values in another order: place i takes row order[i], or with `back` the other way round. */
function permuteRows(values: Float32Array, width: number, order: Uint32Array, back: boolean): Float32Array {
  const result = new Float32Array(values.length);
  order.forEach((row, place) => {
    const [from, to] = back ? [place, row] : [row, place];
    result.set(values.subarray(from * width, (from + 1) * width), to * width);
  });
  return result;
}

/** Reads a GGUF LoRA file for a base with this config.json. Throws `gg_*` and `adapter_*` codes. */
export async function readGgufLora(path: string, baseConfig: GgufLoraOptions['baseConfig']): Promise<LowRankAdapter> {
  await using file = await openGguf(path);
  const base = configToGguf(baseConfig);
  const { header } = file;
  if (ggufString(header, 'general.type') !== 'adapter' || ggufString(header, 'adapter.type') !== 'lora')
    throw new HearthError('adapter_config_invalid', `${path} is no LoRA adapter.`);
  if (ggufString(header, 'general.architecture') !== base.family.architecture)
    throw new HearthError(
      'adapter_base_mismatch',
      `${path} is for the architecture ${ggufString(header, 'general.architecture')}, not ${base.family.architecture}.`,
    );
  const alpha = ggufNumber(header, 'adapter.lora.alpha');
  if (alpha === undefined || !Number.isFinite(alpha)) throw new HearthError('adapter_config_invalid', `${path} has no adapter.lora.alpha.`);
  const stems = new Set<string>();
  for (const name of header.tensors.keys()) {
    const stem = /^(.+)\.weight\.lora_[ab]$/.exec(name)?.[1];
    if (stem === undefined) throw new HearthError('adapter_tensor_unknown', `${path} holds the tensor ${name}, which is no part of a LoRA adapter.`);
    stems.add(stem);
  }
  const modules = [];
  for (const stem of stems) {
    const module = toMlxModule(base.family, stem);
    if (module === undefined) throw new HearthError('adapter_tensor_unknown', `${path} changes ${stem}, which ${base.family.architecture} does not have.`);
    modules.push(await readModule(file, stem, module, alpha, permutedHeads(base.family, module, base.heads)));
  }
  return {
    kind: 'lora',
    format: 'gguf',
    modules: sortedModules(modules),
    selection: null,
    baseModel: ggufString(header, 'general.base_model.0.name') ?? null,
    fileBytes: file.sizeBytes,
  };
}

async function readModule(file: GgufFile, stem: string, path: string, alpha: number, heads: number): Promise<AdapterModule> {
  const part = async (leaf: string): Promise<{ dims: readonly number[]; values: Float32Array }> => {
    const name = `${stem}.weight.${leaf}`;
    const tensor = file.header.tensors.get(name);
    if (!tensor) throw new HearthError('adapter_tensor_missing', `${file.path} lacks the tensor ${name}.`);
    const values = Float32Array.from(decodeBlocks(tensor.type, await file.readTensor(name)));
    if (!values.every(Number.isFinite)) throw new HearthError('adapter_not_finite', `${name} in ${file.path} holds a number that is not finite.`);
    return { dims: tensor.dims, values };
  };
  const first = await part('lora_a');
  const second = await part('lora_b');
  const kind: AdapterModuleKind = first.dims.length === 3 ? 'experts' : stem === 'token_embd' ? 'embedding' : 'linear';
  const [width, other, experts = 1] = first.dims as [number, number, number?];
  const [rank, outer] = second.dims as [number, number];
  const sizes = kind === 'embedding' ? { rank: width, inputs: outer, outputs: other } : { rank: other, inputs: width, outputs: outer };
  if (first.dims.length < 2 || second.dims.length !== first.dims.length || sizes.rank !== rank || (second.dims[2] ?? 1) !== experts)
    throw new HearthError(
      'adapter_shape_mismatch',
      `${file.path}: the two factors of ${stem}, [${first.dims.join(', ')}] and [${second.dims.join(', ')}], do not fit.`,
    );
  const matrices =
    kind === 'embedding'
      ? { a: transpose(second.values, sizes.inputs, rank), b: first.values }
      : { a: first.values, b: heads === 0 ? second.values : permuteRows(second.values, rank, rowOrder(outer, heads), true) };
  // An alpha of 0 means a scale of 1 to the engines that read these files.
  return { path, kind, ...sizes, experts, scale: alpha === 0 ? 1 : alpha / rank, ...matrices, m: null };
}
