import { HearthError } from '../../../core/index.ts';
import { ATTENTION, type Config, DECODER_FIELDS, type FixedSetting, family, HEAD_NORMS, MLP, type NamePair } from './family.ts';

const NORMS: readonly NamePair[] = [
  ['input_layernorm', 'attn_norm'],
  ['post_attention_layernorm', 'post_attention_norm'],
  ['pre_feedforward_layernorm', 'ffn_norm'],
  ['post_feedforward_layernorm', 'post_ffw_norm'],
];
const GELU: readonly FixedSetting[] = [
  { key: 'hidden_activation', value: 'gelu_pytorch_tanh', accept: ['gelu_pytorch_tanh', undefined, null] },
  { key: 'hidden_act', accept: ['gelu_pytorch_tanh', 'gelu', undefined, null] },
  { key: 'attention_bias', accept: [false, undefined, null] },
  { key: 'rope_traditional', accept: [false, undefined, null] },
];

/** Scores are divided by the root of a head's size, or of hidden ÷ heads in the largest model, which GGUF's graph knows by its layers. */
const scalar = (largest: number) => (config: Config) => {
  const [hidden, heads] = [config['hidden_size'] as number, config['num_attention_heads'] as number];
  return config['num_hidden_layers'] === largest ? hidden / heads : ((config['head_dim'] as number | undefined) ?? hidden / heads);
};

const checkScalar = (largest: number, fallback: number) => (config: Config) => {
  const wanted = scalar(largest)(config);
  const found = config['query_pre_attn_scalar'] ?? fallback;
  if (found !== wanted)
    throw new HearthError(
      'convert_config_key',
      `config.json sets query_pre_attn_scalar to ${JSON.stringify(found)}, but GGUF's graph computes with ${wanted}.`,
    );
};

export const gemma2 = family({
  architecture: 'gemma2',
  modelTypes: ['gemma2'],
  className: 'Gemma2ForCausalLM',
  normsFromOne: true,
  layer: [...NORMS, ...ATTENTION, ...MLP],
  fields: [
    ...DECODER_FIELDS,
    { key: 'attn_logit_softcapping', suffix: 'attn_logit_softcapping', type: 'f32' },
    { key: 'final_logit_softcapping', suffix: 'final_logit_softcapping', type: 'f32' },
    { key: 'sliding_window', suffix: 'attention.sliding_window', type: 'u32' },
  ],
  fixed: GELU,
  dropped: /(\.rotary_emb\.inv_freq$|^lm_head\.)/,
  writesHeadDim: true,
  check: checkScalar(46, 256),
  derived: (config) => ({ query_pre_attn_scalar: scalar(46)(config) }),
});

export const gemma3 = family({
  architecture: 'gemma3',
  modelTypes: ['gemma3_text'],
  className: 'Gemma3ForCausalLM',
  normsFromOne: true,
  layer: [...NORMS, ...ATTENTION, ...HEAD_NORMS, ...MLP],
  fields: [...DECODER_FIELDS, { key: 'sliding_window', suffix: 'attention.sliding_window', type: 'u32' }],
  fixed: [
    ...GELU,
    { key: 'rope_local_base_freq', value: 10_000, accept: [10_000, undefined] },
    { key: 'sliding_window_pattern', value: 6, accept: [6, undefined] },
    { key: 'final_logit_softcapping', accept: [null, undefined] },
    { key: 'attn_logit_softcapping', accept: [null, undefined] },
  ],
  dropped: /(\.rotary_emb\.inv_freq$|^lm_head\.)/,
  writesHeadDim: true,
  check: checkScalar(62, 256),
  derived: (config) => ({ query_pre_attn_scalar: scalar(62)(config) }),
});
