import { HearthError } from '../../../core/index.ts';
import { ggufNumber } from '../../gguf/index.ts';
import { ATTENTION, DECODER_FIELDS, experts, type Field, family, PLAIN_DECODER, PRE_NORMS } from './family.ts';

const hasExperts = (architecture: string) => (header: Parameters<typeof ggufNumber>[0]) => (ggufNumber(header, `${architecture}.expert_count`) ?? 0) > 0;
const EXPERT_FIELDS: readonly Field[] = [
  { key: 'num_local_experts', suffix: 'expert_count', type: 'u32' },
  { key: 'num_experts_per_tok', suffix: 'expert_used_count', type: 'u32' },
];

/** Mistral too: its file in GGUF says llama. */
export const llama = family({
  architecture: 'llama',
  modelTypes: ['llama', 'mistral'],
  className: 'LlamaForCausalLM',
  permutesHeads: true,
  claims: (header) => !hasExperts('llama')(header),
});

export const mixtral = family({
  architecture: 'llama',
  modelTypes: ['mixtral'],
  className: 'MixtralForCausalLM',
  permutesHeads: true,
  layer: [...PRE_NORMS, ...ATTENTION, ['block_sparse_moe.gate', 'ffn_gate_inp'], ...experts('block_sparse_moe.switch_mlp')],
  routers: ['block_sparse_moe.gate'],
  fields: [...DECODER_FIELDS, ...EXPERT_FIELDS],
  fixed: [...PLAIN_DECODER, { key: 'sliding_window', accept: [null, undefined] }],
  claims: hasExperts('llama'),
});

/** Every fourth layer does not rotate: GGUF's graph knows it by itself. */
export const smollm3 = family({
  architecture: 'smollm3',
  modelTypes: ['smollm3'],
  className: 'SmolLM3ForCausalLM',
  permutesHeads: true,
  fixed: [...PLAIN_DECODER, { key: 'no_rope_layer_interval', value: 4, accept: [4, undefined] }],
  check(config) {
    const layers = config['no_rope_layers'] ?? null;
    if (layers === null) return;
    const usual = Array.isArray(layers) && layers.every((rotates, i) => rotates === ((i + 1) % 4 === 0 ? 0 : 1));
    if (!usual) throw new HearthError('convert_config_key', 'config.json: no_rope_layers is not every fourth layer, which GGUF cannot hold.');
  },
});

const GRANITE_FIELDS: readonly Field[] = [
  { key: 'attention_multiplier', suffix: 'attention.scale', type: 'f32' },
  { key: 'embedding_multiplier', suffix: 'embedding_scale', type: 'f32' },
  { key: 'residual_multiplier', suffix: 'residual_scale', type: 'f32' },
  { key: 'logits_scaling', suffix: 'logit_scale', type: 'f32' },
];

export const granite = family({
  architecture: 'granite',
  modelTypes: ['granite'],
  className: 'GraniteForCausalLM',
  permutesHeads: true,
  fields: [...DECODER_FIELDS, ...GRANITE_FIELDS],
});

export const granitemoe = family({
  architecture: 'granitemoe',
  modelTypes: ['granitemoe'],
  className: 'GraniteMoeForCausalLM',
  permutesHeads: true,
  layer: [...PRE_NORMS, ...ATTENTION, ['block_sparse_moe.router.layer', 'ffn_gate_inp'], ...experts('block_sparse_moe.switch_mlp')],
  routers: ['block_sparse_moe.router.layer'],
  fields: [...DECODER_FIELDS, ...GRANITE_FIELDS, ...EXPERT_FIELDS],
});
