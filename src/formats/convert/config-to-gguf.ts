import { HearthError } from '../../core/index.ts';
import type { GgufKey } from '../gguf/index.ts';
import { type Config, type Family, type Field, familyOfConfig } from './families/index.ts';
import { type ExportedRope, exportRopeScaling, ropeTheta } from './rope-keys.ts';

/** What config.json says about the graph, as keys of GGUF. */
export interface ExportedConfig {
  readonly family: Family;
  readonly headDim: number;
  /** Part of a head that rotates. */
  readonly rotaryDim: number;
  readonly heads: { readonly query: number; readonly key: number };
  readonly ropeBase: number;
  readonly rope: ExportedRope;
  readonly tied: boolean;
  readonly keys: readonly GgufKey[];
}

/** The settings of the text model; a multimodal family keeps them under `text_config`. */
export function textConfig(config: Config): Config {
  const text = config['text_config'];
  return typeof text === 'object' && text !== null && !Array.isArray(text) ? { ...config, ...(text as Config) } : config;
}

/** Throws `convert_architecture` for a family without a mapping, `convert_config_key` for a setting that GGUF cannot hold. */
export function configToGguf(whole: Config): ExportedConfig {
  const config = textConfig(whole);
  const family = familyOfConfig(config);
  for (const { key, accept } of family.fixed) refuseOther(config, key, accept);
  refuseLayerTypes(config, family);
  family.check?.(config);
  const number = (key: string): number => {
    const value = config[key];
    if (typeof value !== 'number') throw new HearthError('convert_config_key', `config.json lacks the number ${key}.`);
    return value;
  };
  const optional = (key: string, fallback: number): number => (typeof config[key] === 'number' ? config[key] : fallback);

  const query = number('num_attention_heads');
  const key = optional('num_key_value_heads', query);
  const hidden = number('hidden_size');
  const headDim = optional('head_dim', hidden / query);
  const rotaryDim = Math.trunc(headDim * optional('partial_rotary_factor', 1));
  const ropeBase = ropeTheta(config);
  const a = family.architecture;
  const u32 = (suffix: string, value: number): GgufKey => ({ key: `${a}.${suffix}`, type: 'u32', value });
  const f32 = (suffix: string, value: number): GgufKey => ({ key: `${a}.${suffix}`, type: 'f32', value });
  const rope = family.rotates ? exportRopeScaling(config, a) : { keys: [], llama3: null, factors: null };
  const fields = family.fields.flatMap((field) => fieldKeys(config, family, field));
  const decoder = family.rotates
    ? [
        u32('attention.head_count_kv', key),
        ...(headDim === hidden / query && !family.writesHeadDim ? [] : [u32('attention.key_length', headDim), u32('attention.value_length', headDim)]),
        f32('rope.freq_base', ropeBase),
        u32('rope.dimension_count', rotaryDim),
        ...rope.keys,
        u32('vocab_size', number('vocab_size')),
      ]
    : [
        { key: `${a}.attention.causal`, type: 'bool', value: false } as const,
        { key: 'tokenizer.ggml.token_type_count', type: 'u32', value: optional('type_vocab_size', 2) } as const,
      ];
  return {
    family,
    headDim,
    rotaryDim,
    heads: { query, key },
    ropeBase,
    rope,
    tied: config['tie_word_embeddings'] === true,
    keys: [...fields, ...decoder],
  };
}

function fieldKeys(config: Config, { architecture }: Family, { key, suffix, type, fallback, optional }: Field): GgufKey[] {
  const value = config[key] ?? fallback;
  const name = `${architecture}.${suffix}`;
  if (key === 'max_position_embeddings' && typeof value === 'number') return [{ key: name, type: 'u32', value: Math.min(value, ignoredWindow(config)) }];
  if (typeof value === (type === 'bool' ? 'boolean' : 'number')) return [{ key: name, type, value: value as number | boolean }];
  if (optional === true && (value === undefined || value === null)) return [];
  throw new HearthError('convert_config_key', `config.json lacks the ${type === 'bool' ? 'flag' : 'number'} ${key}.`);
}

/** The graph of GGUF ignores the window of mistral, so the context ends where the window would begin to matter. */
const ignoredWindow = (config: Config): number =>
  config['model_type'] === 'mistral' && typeof config['sliding_window'] === 'number' ? config['sliding_window'] : Number.POSITIVE_INFINITY;

function refuseOther(config: Config, key: string, accept: readonly unknown[]): void {
  const value = config[key];
  if (accept.some((wanted) => JSON.stringify(wanted) === JSON.stringify(value))) return;
  throw new HearthError('convert_config_key', `config.json sets ${key} to ${JSON.stringify(value)}, which GGUF cannot hold for this family.`);
}

/** GGUF's graphs choose the layers with a window by their number. */
const SLIDING: Readonly<Record<string, (layer: number) => boolean>> = {
  gemma2: (layer) => layer % 2 === 0,
  gemma3: (layer) => (layer + 1) % 6 !== 0,
  'gpt-oss': (layer) => layer % 2 === 0,
};

function refuseLayerTypes(config: Config, { architecture }: Family): void {
  const types = config['layer_types'] ?? null;
  if (types === null) return;
  const slides = SLIDING[architecture] ?? (() => false);
  const usual = Array.isArray(types) && types.every((type, layer) => type === (slides(layer) ? 'sliding_attention' : 'full_attention'));
  if (!usual) throw new HearthError('convert_config_key', 'config.json: layer_types puts windows on other layers than GGUF does for this family.');
}
