import { HearthError } from '../../core/index.ts';
import { type GgufHeader, ggufNumber, ggufString } from '../gguf/index.ts';
import { FAMILIES, type Family } from './names.ts';

/** What the header says about the graph, and config.json without its quantisation block. */
export interface ImportedConfig {
  readonly family: Family;
  readonly layers: number;
  readonly headDim: number;
  readonly heads: { readonly query: number; readonly key: number };
  readonly ropeBase: number;
  readonly config: Readonly<Record<string, unknown>>;
}

/**
 * Keys of an architecture that become config.json, or that say nothing about the graph. Any other key might change it,
 * so the conversion is refused.
 */
const KNOWN = new Set([
  'context_length',
  'embedding_length',
  'block_count',
  'feed_forward_length',
  'attention.head_count',
  'attention.head_count_kv',
  'attention.layer_norm_rms_epsilon',
  'attention.key_length',
  'attention.value_length',
  'rope.freq_base',
  'rope.dimension_count',
  'rope.scaling.type',
  'rope.scaling.factor',
  'rope.scaling.original_context_length',
  'rope.scaling.finetuned',
  'rope.scaling.attn_factor',
  'vocab_size',
]);
/** Keys that change nothing with the value given. */
const NEUTRAL: Readonly<Record<string, unknown>> = {
  expert_count: 0,
  expert_used_count: 0,
  'attention.causal': true,
  'attention.sliding_window': 0,
  use_parallel_residual: false,
};

/** Reads the metadata of a GGUF model as an MLX config (docs/spec/formats.md §7.3, §8.4). Throws `convert_architecture`, `convert_config_key`. */
export function configFromGguf(header: GgufHeader): ImportedConfig {
  const architecture = ggufString(header, 'general.architecture')!;
  const family = FAMILIES.find((candidate) => candidate.architecture === architecture);
  if (family === undefined) {
    throw new HearthError(
      'convert_architecture',
      `GGUF models of the architecture ${architecture} cannot be imported yet; ${FAMILIES.map((f) => f.architecture).join(', ')} can.`,
    );
  }
  refuseUnknownKeys(header, architecture);
  const optional = (suffix: string) => ggufNumber(header, `${architecture}.${suffix}`);
  const required = (suffix: string): number => {
    const value = optional(suffix);
    if (value === undefined) throw new HearthError('convert_config_key', `The GGUF file lacks the number ${architecture}.${suffix}.`);
    return value;
  };
  const hidden = required('embedding_length');
  const query = required('attention.head_count');
  const key = optional('attention.head_count_kv') ?? query;
  const headDim = optional('attention.key_length') ?? hidden / query;
  if ((optional('attention.value_length') ?? headDim) !== headDim || (optional('rope.dimension_count') ?? headDim) !== headDim) {
    throw new HearthError(
      'convert_config_key',
      `${architecture}.attention.value_length and ${architecture}.rope.dimension_count must equal the head of ${headDim}.`,
    );
  }
  const ropeBase = shortest(optional('rope.freq_base') ?? 10_000);
  const layers = required('block_count');
  return {
    family,
    layers,
    headDim,
    heads: { query, key },
    ropeBase,
    config: {
      architectures: [family.className],
      model_type: family.modelTypes[0],
      attention_bias: header.tensors.has('blk.0.attn_q.bias') && family.architecture === 'llama',
      head_dim: headDim,
      hidden_act: 'silu',
      hidden_size: hidden,
      intermediate_size: required('feed_forward_length'),
      max_position_embeddings: required('context_length'),
      mlp_bias: false,
      num_attention_heads: query,
      num_hidden_layers: layers,
      num_key_value_heads: key,
      rms_norm_eps: shortest(required('attention.layer_norm_rms_epsilon')),
      rope_scaling: ropeScaling(header, architecture),
      rope_theta: ropeBase,
      tie_word_embeddings: !header.tensors.has('output.weight'),
      torch_dtype: 'float16',
      vocab_size: header.tensors.get('token_embd.weight')?.dims[1] ?? required('vocab_size'),
    },
  };
}

function refuseUnknownKeys(header: GgufHeader, architecture: string): void {
  for (const [key, value] of header.keys) {
    if (!key.startsWith(`${architecture}.`)) continue;
    const suffix = key.slice(architecture.length + 1);
    if (KNOWN.has(suffix) && value.type !== 'array') continue;
    if (suffix in NEUTRAL && value.type !== 'array' && value.value === NEUTRAL[suffix]) continue;
    throw new HearthError(
      'convert_config_key',
      `The GGUF file sets ${key}, which hearth cannot express in config.json; the model would compute something else.`,
    );
  }
}

function ropeScaling(header: GgufHeader, architecture: string): Record<string, unknown> | null {
  const key = `${architecture}.rope.scaling`;
  const type = ggufString(header, `${key}.type`) ?? 'none';
  if (type === 'none') return null;
  const factor = ggufNumber(header, `${key}.factor`);
  const original = ggufNumber(header, `${key}.original_context_length`);
  if (type === 'linear' && factor !== undefined) return { rope_type: 'linear', factor };
  if (type === 'yarn' && factor !== undefined && original !== undefined && !header.keys.has(`${key}.attn_factor`)) {
    return { rope_type: 'yarn', factor, original_max_position_embeddings: original };
  }
  throw new HearthError(
    'convert_config_key',
    `The GGUF file stretches rotations by ${key}.type ${JSON.stringify(type)}, which hearth cannot express in config.json.`,
  );
}

/** The shortest decimal that rounds to the same float32: 1e-05 rather than 0.000009999999747378752. */
function shortest(value: number): number {
  for (let digits = 1; digits <= 9; digits += 1) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === Math.fround(value)) return decimal;
  }
  return value;
}
