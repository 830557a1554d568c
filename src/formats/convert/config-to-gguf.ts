import { HearthError } from '../../core/index.ts';
import type { GgufKey } from '../gguf/index.ts';
import { FAMILIES, type Family } from './names.ts';
import type { Llama3Rope } from './rope.ts';

/** What config.json says about the graph, as keys of GGUF. */
export interface ExportedConfig {
  readonly family: Family;
  readonly headDim: number;
  readonly heads: { readonly query: number; readonly key: number };
  readonly ropeBase: number;
  /** Becomes the tensor `rope_freqs.weight`. */
  readonly llama3: Llama3Rope | null;
  readonly tied: boolean;
  readonly keys: readonly GgufKey[];
}

type Config = Readonly<Record<string, unknown>>;

/** Throws `convert_architecture` for a family without a mapping, `convert_config_key` for a setting that GGUF cannot hold. */
export function configToGguf(config: Config): ExportedConfig {
  const modelType = String(config['model_type']);
  const family = FAMILIES.find((candidate) => candidate.modelTypes.includes(modelType));
  if (family === undefined) throw new HearthError('convert_architecture', `Models of type ${modelType} cannot be converted to GGUF yet.`);
  const number = (key: string): number => {
    const value = config[key];
    if (typeof value !== 'number') throw new HearthError('convert_config_key', `config.json lacks the number ${key}.`);
    return value;
  };
  const optional = (key: string, fallback: number): number => (typeof config[key] === 'number' ? (config[key] as number) : fallback);
  refuseGraphSettings(config);

  const query = number('num_attention_heads');
  const key = optional('num_key_value_heads', query);
  const hidden = number('hidden_size');
  const headDim = optional('head_dim', hidden / query);
  const ropeBase = optional('rope_theta', ropeParameter(config, 'rope_theta') ?? 10_000);
  const a = family.architecture;
  const u32 = (suffix: string, value: number): GgufKey => ({ key: `${a}.${suffix}`, type: 'u32', value });
  const f32 = (suffix: string, value: number): GgufKey => ({ key: `${a}.${suffix}`, type: 'f32', value });
  // The graph of GGUF ignores the window, so the context ends where the window would begin to matter.
  const window = modelType === 'mistral' && typeof config['sliding_window'] === 'number' ? config['sliding_window'] : Number.POSITIVE_INFINITY;
  const scaling = ropeScaling(config, a);
  return {
    family,
    headDim,
    heads: { query, key },
    ropeBase,
    llama3: scaling.llama3,
    tied: config['tie_word_embeddings'] === true,
    keys: [
      u32('block_count', number('num_hidden_layers')),
      u32('context_length', Math.min(number('max_position_embeddings'), window)),
      u32('embedding_length', hidden),
      u32('feed_forward_length', number('intermediate_size')),
      u32('attention.head_count', query),
      u32('attention.head_count_kv', key),
      f32('attention.layer_norm_rms_epsilon', number('rms_norm_eps')),
      ...(headDim === hidden / query ? [] : [u32('attention.key_length', headDim), u32('attention.value_length', headDim)]),
      f32('rope.freq_base', ropeBase),
      u32('rope.dimension_count', headDim),
      ...scaling.keys,
      u32('vocab_size', number('vocab_size')),
    ],
  };
}

const ropeObject = (config: Config): Record<string, unknown> => {
  const found = config['rope_scaling'] ?? config['rope_parameters'];
  return typeof found === 'object' && found !== null ? (found as Record<string, unknown>) : {};
};

const ropeParameter = (config: Config, key: string): number | undefined => {
  const value = ropeObject(config)[key];
  return typeof value === 'number' ? value : undefined;
};

function refuseGraphSettings(config: Config): void {
  const expected: Readonly<Record<string, readonly unknown[]>> = {
    hidden_act: ['silu', undefined, null],
    use_sliding_window: [false, undefined, null],
    partial_rotary_factor: [1, undefined, null],
    rope_traditional: [false, undefined, null],
  };
  for (const [key, allowed] of Object.entries(expected)) {
    if (!allowed.includes(config[key]))
      throw new HearthError('convert_config_key', `config.json sets ${key} to ${JSON.stringify(config[key])}, which GGUF cannot hold for this family.`);
  }
}

function ropeScaling(config: Config, architecture: string): { readonly keys: readonly GgufKey[]; readonly llama3: Llama3Rope | null } {
  const scaling = ropeObject(config);
  const type = scaling['rope_type'] ?? scaling['type'] ?? 'default';
  const value = (key: string): number => {
    const found = scaling[key];
    if (typeof found !== 'number') throw new HearthError('convert_config_key', `rope_scaling in config.json lacks the number ${key}.`);
    return found;
  };
  const key = `${architecture}.rope.scaling`;
  const keys = (name: string): GgufKey[] => [
    { key: `${key}.type`, type: 'string', value: name },
    { key: `${key}.factor`, type: 'f32', value: value('factor') },
  ];
  switch (type) {
    case 'default':
      return { keys: [], llama3: null };
    case 'linear':
      return { keys: keys('linear'), llama3: null };
    case 'yarn':
      return {
        keys: [...keys('yarn'), { key: `${key}.original_context_length`, type: 'u32', value: value('original_max_position_embeddings') }],
        llama3: null,
      };
    case 'llama3':
      return {
        keys: [],
        llama3: {
          factor: value('factor'),
          low: value('low_freq_factor'),
          high: value('high_freq_factor'),
          original: value('original_max_position_embeddings'),
        },
      };
    default:
      throw new HearthError('convert_config_key', `config.json stretches rotations by ${JSON.stringify(type)}, which GGUF cannot hold.`);
  }
}
