import type { GgufHeader } from '../../gguf/index.ts';

export type Config = Readonly<Record<string, unknown>>;

/** A number or flag that config.json and GGUF both name. */
export interface Field {
  readonly key: string;
  /** After `<architecture>.`. */
  readonly suffix: string;
  readonly type: 'u32' | 'f32' | 'bool';
  /** What the model's code takes where config.json does not say it. */
  readonly fallback?: number | boolean;
  /** May be missing on both sides; null in config.json is missing too. */
  readonly optional?: boolean;
}

/** A setting that GGUF has no key for, because its graph always computes the same. */
export interface FixedSetting {
  readonly key: string;
  /** Written on import; undefined = nothing. */
  readonly value?: unknown;
  /** Accepted on export; undefined = missing. Anything else changes the graph and is refused. */
  readonly accept: readonly unknown[];
}

/** How the tensors and settings of a family are called on both sides, and what its graph needs (docs/spec/formats.md §7). */
export interface Family {
  /** `general.architecture`. */
  readonly architecture: string;
  /** `model_type` values that it stands for; the first one is written on import. */
  readonly modelTypes: readonly string[];
  /** `architectures` of config.json. */
  readonly className: string;
  /** Rows of q and k are interleaved in GGUF, because its graph rotates neighbours. */
  readonly permutesHeads: boolean;
  /** `…norm.weight` is the distance from one in MLX and the whole factor in GGUF. */
  readonly normsFromOne: boolean;
  /** Modules outside the layers. */
  readonly outer: readonly NamePair[];
  /** Modules of a layer, below `layerPrefix.N` and `blk.N`. */
  readonly layer: readonly NamePair[];
  readonly layerPrefix: string;
  /** Tensors of a layer whose whole names differ, leaf and all. */
  readonly layerTensors: readonly NamePair[];
  /** Matrices that GGUF keeps in float32. */
  readonly routers: readonly string[];
  readonly fields: readonly Field[];
  readonly fixed: readonly FixedSetting[];
  /** Put in front of all names by classes with a head. */
  readonly namePrefix?: string;
  /** MLX tensors that GGUF does not have. */
  readonly dropped: RegExp;
  /** Encoders neither rotate nor have a head. */
  readonly rotates: boolean;
  /** Heads have a size of their own also where it is hidden ÷ heads. */
  readonly writesHeadDim: boolean;
  /** Whether a header of this architecture belongs to this family; absent: always. */
  readonly claims?: (header: GgufHeader) => boolean;
  /** Throws `convert_config_key` for values that the graph of GGUF computes otherwise. */
  readonly check?: (config: Config) => void;
  /** Settings that follow from others in the graph of GGUF. */
  readonly derived?: (config: Config) => Config;
}

export type NamePair = readonly [mlx: string, gguf: string];

export const SIZES: readonly Field[] = [
  { key: 'num_hidden_layers', suffix: 'block_count', type: 'u32' },
  { key: 'max_position_embeddings', suffix: 'context_length', type: 'u32' },
  { key: 'hidden_size', suffix: 'embedding_length', type: 'u32' },
  { key: 'intermediate_size', suffix: 'feed_forward_length', type: 'u32' },
  { key: 'num_attention_heads', suffix: 'attention.head_count', type: 'u32' },
];
export const DECODER_FIELDS: readonly Field[] = [...SIZES, { key: 'rms_norm_eps', suffix: 'attention.layer_norm_rms_epsilon', type: 'f32' }];

const OUTER: readonly NamePair[] = [
  ['model.embed_tokens', 'token_embd'],
  ['model.norm', 'output_norm'],
  ['lm_head', 'output'],
];
export const ATTENTION: readonly NamePair[] = [
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.o_proj', 'attn_output'],
];
export const HEAD_NORMS: readonly NamePair[] = [
  ['self_attn.q_norm', 'attn_q_norm'],
  ['self_attn.k_norm', 'attn_k_norm'],
];
export const PRE_NORMS: readonly NamePair[] = [
  ['input_layernorm', 'attn_norm'],
  ['post_attention_layernorm', 'ffn_norm'],
];
export const MLP: readonly NamePair[] = [
  ['mlp.gate_proj', 'ffn_gate'],
  ['mlp.up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
];
export const experts = (at: string): readonly NamePair[] => [
  [`${at}.gate_proj`, 'ffn_gate_exps'],
  [`${at}.up_proj`, 'ffn_up_exps'],
  [`${at}.down_proj`, 'ffn_down_exps'],
];

/** Settings of the llama family that its GGUF graphs never have. */
export const PLAIN_DECODER: readonly FixedSetting[] = [
  { key: 'hidden_act', value: 'silu', accept: ['silu', 'swish', undefined, null] },
  { key: 'use_sliding_window', accept: [false, undefined, null] },
  { key: 'partial_rotary_factor', accept: [1, undefined, null] },
  { key: 'rope_traditional', accept: [false, undefined, null] },
];

/** A family with the parts of the llama family where it says nothing else. */
export function family(parts: Partial<Family> & Pick<Family, 'architecture' | 'modelTypes' | 'className'>): Family {
  return {
    permutesHeads: false,
    normsFromOne: false,
    outer: OUTER,
    layer: [...PRE_NORMS, ...ATTENTION, ...MLP],
    layerPrefix: 'model.layers',
    layerTensors: [],
    routers: [],
    fields: DECODER_FIELDS,
    fixed: PLAIN_DECODER,
    dropped: /\.rotary_emb\.inv_freq$/,
    rotates: true,
    writesHeadDim: false,
    ...parts,
  };
}
