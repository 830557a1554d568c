import { ATTENTION, DECODER_FIELDS, experts, family, HEAD_NORMS, MLP, PLAIN_DECODER, PRE_NORMS, SIZES } from './family.ts';

/** The long and short factors of its rotations are tensors in GGUF: rope-factors.ts. */
export const phi3 = family({
  architecture: 'phi3',
  modelTypes: ['phi3'],
  className: 'Phi3ForCausalLM',
  layer: [...PRE_NORMS, ['self_attn.qkv_proj', 'attn_qkv'], ['self_attn.o_proj', 'attn_output'], ['mlp.gate_up_proj', 'ffn_up'], ['mlp.down_proj', 'ffn_down']],
  fields: [...DECODER_FIELDS, { key: 'sliding_window', suffix: 'attention.sliding_window', type: 'u32', optional: true }],
  fixed: PLAIN_DECODER.filter(({ key }) => key !== 'partial_rotary_factor'),
});

export const olmo2 = family({
  architecture: 'olmo2',
  modelTypes: ['olmo2'],
  className: 'Olmo2ForCausalLM',
  layer: [...ATTENTION, ...HEAD_NORMS, ['post_attention_layernorm', 'post_attention_norm'], ['post_feedforward_layernorm', 'post_ffw_norm'], ...MLP],
  fixed: [...PLAIN_DECODER, { key: 'attention_bias', value: false, accept: [false, undefined, null] }],
});

/** Layers see a window and everything in turn; one more logit per head is in the softmax. */
export const gptOss = family({
  architecture: 'gpt-oss',
  modelTypes: ['gpt_oss'],
  className: 'GptOssForCausalLM',
  layer: [
    ['input_layernorm', 'attn_norm'],
    ['post_attention_layernorm', 'post_attention_norm'],
    ...ATTENTION,
    ['mlp.router', 'ffn_gate_inp'],
    ...experts('mlp.experts'),
  ],
  layerTensors: [['self_attn.sinks', 'attn_sinks.weight']],
  routers: ['mlp.router'],
  fields: [
    ...DECODER_FIELDS,
    { key: 'sliding_window', suffix: 'attention.sliding_window', type: 'u32' },
    { key: 'num_local_experts', suffix: 'expert_count', type: 'u32' },
    { key: 'num_experts_per_tok', suffix: 'expert_used_count', type: 'u32' },
    { key: 'intermediate_size', suffix: 'expert_feed_forward_length', type: 'u32' },
  ],
  fixed: [
    { key: 'hidden_act', value: 'silu', accept: ['silu', undefined] },
    { key: 'swiglu_limit', value: 7, accept: [7, undefined] },
    { key: 'attention_bias', value: true, accept: [true, undefined] },
  ],
  writesHeadDim: true,
  derived: (config) => ({
    layer_types: Array.from({ length: config['num_hidden_layers'] as number }, (_, i) => (i % 2 === 0 ? 'sliding_attention' : 'full_attention')),
  }),
});

/** An encoder; what a pooler makes of it is not part of the graph. */
export const bert = family({
  architecture: 'bert',
  modelTypes: ['bert'],
  className: 'BertModel',
  outer: [
    ['embeddings.word_embeddings', 'token_embd'],
    ['embeddings.position_embeddings', 'position_embd'],
    ['embeddings.token_type_embeddings', 'token_types'],
    ['embeddings.LayerNorm', 'token_embd_norm'],
  ],
  layerPrefix: 'encoder.layer',
  layer: [
    ['attention.self.query', 'attn_q'],
    ['attention.self.key', 'attn_k'],
    ['attention.self.value', 'attn_v'],
    ['attention.output.dense', 'attn_output'],
    ['attention.output.LayerNorm', 'attn_output_norm'],
    ['intermediate.dense', 'ffn_up'],
    ['output.dense', 'ffn_down'],
    ['output.LayerNorm', 'layer_output_norm'],
  ],
  fields: [...SIZES, { key: 'layer_norm_eps', suffix: 'attention.layer_norm_epsilon', type: 'f32', fallback: 1e-12 }],
  fixed: [
    { key: 'hidden_act', value: 'gelu', accept: ['gelu', undefined] },
    { key: 'position_embedding_type', value: 'absolute', accept: ['absolute', undefined, null] },
  ],
  namePrefix: 'bert.',
  dropped: /(^pooler\.|^embeddings\.position_ids$)/,
  rotates: false,
});
