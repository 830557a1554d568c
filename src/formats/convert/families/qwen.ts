import { ATTENTION, DECODER_FIELDS, experts, type FixedSetting, family, HEAD_NORMS, MLP, PLAIN_DECODER, PRE_NORMS } from './family.ts';

export const qwen2 = family({ architecture: 'qwen2', modelTypes: ['qwen2'], className: 'Qwen2ForCausalLM' });

export const qwen3 = family({
  architecture: 'qwen3',
  modelTypes: ['qwen3'],
  className: 'Qwen3ForCausalLM',
  layer: [...PRE_NORMS, ...ATTENTION, ...HEAD_NORMS, ...MLP],
});

/** GGUF's graph routes in every layer, and divides the weights of the chosen experts by their sum. */
const EVERY_LAYER: readonly FixedSetting[] = [
  { key: 'norm_topk_prob', value: true, accept: [true] },
  { key: 'decoder_sparse_step', value: 1, accept: [1, undefined] },
  { key: 'mlp_only_layers', value: [], accept: [[], undefined, null] },
];

export const qwen3moe = family({
  architecture: 'qwen3moe',
  modelTypes: ['qwen3_moe'],
  className: 'Qwen3MoeForCausalLM',
  layer: [...PRE_NORMS, ...ATTENTION, ...HEAD_NORMS, ['mlp.gate', 'ffn_gate_inp'], ...experts('mlp.switch_mlp')],
  routers: ['mlp.gate'],
  fields: [
    ...DECODER_FIELDS,
    { key: 'num_experts', suffix: 'expert_count', type: 'u32' },
    { key: 'num_experts_per_tok', suffix: 'expert_used_count', type: 'u32' },
    { key: 'moe_intermediate_size', suffix: 'expert_feed_forward_length', type: 'u32' },
  ],
  fixed: [...PLAIN_DECODER, ...EVERY_LAYER],
});
