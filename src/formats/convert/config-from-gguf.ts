import { HearthError } from '../../core/index.ts';
import { type GgufHeader, ggufNumber } from '../gguf/index.ts';
import { type Config, type Family, type Field, familyOfHeader } from './families/index.ts';
import { importRopeScaling, shortest } from './rope-keys.ts';

/** What the header says about the graph, and config.json without its quantisation block. */
export interface ImportedConfig {
  readonly family: Family;
  readonly layers: number;
  readonly headDim: number;
  /** Part of a head that rotates. */
  readonly rotaryDim: number;
  readonly heads: { readonly query: number; readonly key: number };
  readonly ropeBase: number;
  readonly config: Config;
}

/** Keys that every decoder may have, beside the fields of its family. Any other key might change the graph, so the conversion is refused. */
const KNOWN = [
  'attention.head_count_kv',
  'attention.key_length',
  'attention.value_length',
  'rope.freq_base',
  'rope.dimension_count',
  'rope.scaling.type',
  'rope.scaling.factor',
  'rope.scaling.original_context_length',
  'rope.scaling.finetuned',
  'rope.scaling.attn_factor',
  'rope.scaling.yarn_beta_fast',
  'rope.scaling.yarn_beta_slow',
  'vocab_size',
];
/** Keys that change nothing with the value given. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  expert_count: [0],
  expert_used_count: [0],
  'attention.causal': [true],
  'attention.sliding_window': [0],
  use_parallel_residual: [false],
};
const ENCODER_NEUTRAL: Readonly<Record<string, readonly unknown[]>> = { 'attention.causal': [false], pooling_type: [0, 1, 2, 3, 4], vocab_size: [] };
/** Families whose configs say the size of a head also where it is hidden ÷ heads. */
const SAY_HEAD_DIM = ['llama', 'qwen2', 'qwen3', 'qwen3moe'];

/** Reads the metadata of a GGUF model as an MLX config (docs/spec/formats.md §7.3, §8.4). Throws `convert_architecture`, `convert_config_key`. */
export function configFromGguf(header: GgufHeader): ImportedConfig {
  const family = familyOfHeader(header);
  const { architecture } = family;
  refuseUnknownKeys(header, family);
  const optional = (suffix: string) => ggufNumber(header, `${architecture}.${suffix}`);
  const fields = Object.fromEntries(family.fields.flatMap((field) => readField(header, family, field)));
  const [hidden, query] = [fields['hidden_size'] as number, fields['num_attention_heads'] as number];
  const key = optional('attention.head_count_kv') ?? query;
  const headDim = optional('attention.key_length') ?? hidden / query;
  const rotaryDim = optional('rope.dimension_count') ?? headDim;
  const mayTurnPart = !family.fixed.some((setting) => setting.key === 'partial_rotary_factor');
  if ((optional('attention.value_length') ?? headDim) !== headDim || (rotaryDim !== headDim && !(mayTurnPart && rotaryDim < headDim))) {
    throw new HearthError(
      'convert_config_key',
      `${architecture}.attention.value_length and ${architecture}.rope.dimension_count must equal the head of ${headDim}.`,
    );
  }
  const ropeBase = shortest(optional('rope.freq_base') ?? 10_000);
  const has = (name: string) => header.tensors.has(name);
  const biases = {
    ...(architecture === 'qwen2' || family.fixed.some((setting) => setting.key === 'attention_bias') ? {} : { attention_bias: has('blk.0.attn_q.bias') }),
    ...(architecture === 'llama' || architecture === 'granite' ? { mlp_bias: has('blk.0.ffn_up.bias') } : {}),
  };
  const decoder: Config = family.rotates
    ? {
        ...biases,
        num_key_value_heads: key,
        rope_theta: ropeBase,
        rope_scaling: importRopeScaling(header, family),
        ...originalContext(header, family),
        ...(rotaryDim === headDim ? {} : { partial_rotary_factor: rotaryDim / headDim }),
        ...(headDim !== hidden / query || family.writesHeadDim || SAY_HEAD_DIM.includes(architecture) ? { head_dim: headDim } : {}),
        tie_word_embeddings: !has('output.weight'),
      }
    : { type_vocab_size: header.tensors.get('token_types.weight')?.dims[1] ?? 0 };
  const config = {
    architectures: [family.className],
    model_type: family.modelTypes[0],
    ...Object.fromEntries(family.fixed.flatMap(({ key: name, value }) => (value === undefined ? [] : [[name, value]]))),
    ...fields,
    ...decoder,
    torch_dtype: 'float16',
    vocab_size: header.tensors.get('token_embd.weight')?.dims[1] ?? optional('vocab_size') ?? missing(`${architecture}.vocab_size`),
  };
  return {
    family,
    layers: fields['num_hidden_layers'] as number,
    headDim,
    rotaryDim,
    heads: { query, key },
    ropeBase,
    config: { ...config, ...family.derived?.(config) },
  };
}

/** Of phi3 the length of training is a setting of its own. */
function originalContext(header: GgufHeader, { architecture }: Family): Config {
  const original = ggufNumber(header, `${architecture}.rope.scaling.original_context_length`);
  return architecture === 'phi3' && original !== undefined ? { original_max_position_embeddings: original } : {};
}

const missing = (key: string): never => {
  throw new HearthError('convert_config_key', `The GGUF file lacks the number ${key}.`);
};

function readField(header: GgufHeader, family: Family, { key, suffix, type, fallback, optional }: Field): [string, unknown][] {
  const name = `${family.architecture}.${suffix}`;
  const value = header.keys.get(name);
  const found = value !== undefined && value.type !== 'array' ? value.value : undefined;
  if (found === undefined && optional === true) return [];
  // A window of 0 is none.
  if (found === 0 && optional === true) return [[key, null]];
  if (typeof found === 'number') return [[key, type === 'f32' ? shortest(found) : found]];
  if (typeof found === 'boolean' && type === 'bool') return [[key, found]];
  return fallback === undefined ? missing(name) : [[key, fallback]];
}

function refuseUnknownKeys(header: GgufHeader, family: Family): void {
  const known = new Set([...family.fields.map((field) => field.suffix), ...(family.rotates ? KNOWN : [])]);
  for (const [key, value] of header.keys) {
    if (!key.startsWith(`${family.architecture}.`)) continue;
    const suffix = key.slice(family.architecture.length + 1);
    if (known.has(suffix) && value.type !== 'array') continue;
    const neutral = (family.rotates ? NEUTRAL : ENCODER_NEUTRAL)[suffix];
    if (neutral !== undefined && value.type !== 'array' && (neutral.length === 0 || neutral.includes(value.value))) continue;
    throw new HearthError(
      'convert_config_key',
      `The GGUF file sets ${key}, which hearth cannot express in config.json; the model would compute something else.`,
    );
  }
}
