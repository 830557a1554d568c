import { HearthError, isJsonObject } from '../../core/index.ts';

export type QuantizationMode = 'affine' | 'mxfp4' | 'mxfp8' | 'nvfp4';

/** How the codes of one module are to be read. */
export interface Quantization {
  readonly mode: QuantizationMode;
  /** Bits per code. */
  readonly bits: number;
  /** Neighbouring elements of a row that share a scale. */
  readonly group: number;
}

/** What config.json says of quantisation (docs/spec/formats.md §2.2). */
export interface QuantizationPlan {
  /** Where the codes are: `awq` and `gptq` keep them in `qweight` and `qzeros`, `compressed` in `weight_packed`, in orders of their own. */
  readonly layout: 'mlx' | 'awq' | 'gptq' | 'compressed';
  /** For modules that `modules` does not list but that have scales. */
  readonly fallback: Quantization;
  /** Per module path; false = plain. */
  readonly modules: ReadonlyMap<string, Quantization | false>;
}

const MODES: Readonly<Record<QuantizationMode, { groups: readonly number[]; bits: readonly number[]; group: number; width: number }>> = {
  affine: { groups: [32, 64, 128], bits: [2, 3, 4, 5, 6, 8], group: 64, width: 4 },
  mxfp4: { groups: [32], bits: [4], group: 32, width: 4 },
  mxfp8: { groups: [32], bits: [8], group: 32, width: 8 },
  nvfp4: { groups: [16], bits: [4], group: 16, width: 4 },
};

type JsonObject = Readonly<Record<string, unknown>>;

/** Throws `mlx_quant_unsupported` for what no engine of hearth reads, `mlx_config_invalid` for a block of another shape. */
export function readQuantization(config: JsonObject): QuantizationPlan | null {
  const block = config['quantization'];
  if (block !== undefined && block !== null) return readBlock(block);
  const text = config['text_config'];
  const foreign = config['quantization_config'] ?? (isJsonObject(text) ? text['quantization_config'] : undefined);
  return foreign === undefined || foreign === null ? null : readForeign(foreign);
}

function readBlock(block: unknown): QuantizationPlan {
  if (!isJsonObject(block)) throw new HearthError('mlx_config_invalid', 'config.json: "quantization" is not an object.');
  const fallback = readParameters(block, 'the quantization block');
  const modules = new Map<string, Quantization | false>();
  for (const [path, value] of Object.entries(block)) {
    if (value === false) modules.set(path, false);
    else if (value === true) modules.set(path, fallback);
    else if (isJsonObject(value)) modules.set(path, readParameters(value, path));
  }
  return { layout: 'mlx', fallback, modules };
}

function readParameters(block: JsonObject, where: string): Quantization {
  const mode = block['mode'] ?? 'affine';
  if (typeof mode !== 'string' || !Object.hasOwn(MODES, mode)) throw unsupported(`mode ${JSON.stringify(mode)} of ${where}`);
  const rule = MODES[mode as QuantizationMode];
  const group = block['group_size'] ?? rule.group;
  const bits = block['bits'] ?? rule.width;
  if (!rule.groups.includes(group as number) || !rule.bits.includes(bits as number))
    throw unsupported(`${mode} with ${JSON.stringify(bits)} bits in groups of ${JSON.stringify(group)}, of ${where},`);
  return { mode: mode as QuantizationMode, bits: bits as number, group: group as number };
}

/** `quantization_config` of other tools; a copy of the MLX block has no `quant_method`. null: weights of 8-bit floats, which become plain ones. */
function readForeign(block: unknown): QuantizationPlan | null {
  if (!isJsonObject(block)) throw new HearthError('mlx_config_invalid', 'config.json: "quantization_config" is not an object.');
  const method = block['quant_method'];
  if (method === undefined) return readBlock(block);
  const whole = (fallback: Quantization, layout: QuantizationPlan['layout'] = 'mlx'): QuantizationPlan => ({ layout, fallback, modules: new Map() });
  if (method === 'mxfp4') return whole({ mode: 'mxfp4', bits: 4, group: 32 });
  if (method === 'mxfp8') return whole({ mode: 'mxfp8', bits: 8, group: 32 });
  if (method === 'fp8') return null;
  if (method === 'compressed-tensors') {
    const format = block['format'] ?? 'pack-quantized';
    if (format === 'float-quantized') return null;
    if (format === 'nvfp4-pack-quantized') return whole({ mode: 'nvfp4', bits: 4, group: 16 });
    if (format === 'mxfp4-pack-quantized') return whole({ mode: 'mxfp4', bits: 4, group: 32 });
    if (format === 'pack-quantized') return whole(packedIntegers(block), 'compressed');
    throw unsupported(`the compressed-tensors format ${JSON.stringify(format)}`);
  }
  if (method === 'awq' || method === 'gptq') {
    const { bits } = readParameters({ bits: block['bits'] ?? 4, group_size: block['group_size'] ?? 128 }, `the ${method} block`);
    // AutoAWQ writes no other width; GPTQ's packers know these four.
    if (!(method === 'awq' ? [4] : [2, 3, 4, 8]).includes(bits)) throw unsupported(`${method} with ${bits} bits`);
    return whole({ mode: 'affine', bits, group: (block['group_size'] as number | null | undefined) ?? 128 }, method);
  }
  throw unsupported(`the quantisation method ${JSON.stringify(method)}`);
}

/** The first group of settings is that of all modules; several are not read, since their targets are classes of another library. */
function packedIntegers(block: JsonObject): Quantization {
  const groups = isJsonObject(block['config_groups']) ? Object.values(block['config_groups']) : [];
  const weights = isJsonObject(groups[0]) && isJsonObject(groups[0]['weights']) ? groups[0]['weights'] : {};
  if (groups.length > 1) throw unsupported('compressed-tensors with several groups of settings');
  return readParameters({ bits: weights['num_bits'] ?? 4, group_size: weights['group_size'] ?? 32 }, 'the compressed-tensors block');
}

const unsupported = (what: string): HearthError => new HearthError('mlx_quant_unsupported', `config.json asks for ${what} which hearth cannot read.`);
