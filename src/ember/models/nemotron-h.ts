import { attention, linear, mamba2Mixer, preNorm, rmsNorm, stack } from './blocks.ts';
import { flag, integer, limits, numberOr, positive, wrongValue } from './config-keys.ts';
import type { Architecture, Experts, Layer, ModelConfig, PlainNetwork } from './model-graph.ts';

/** Names of block types, and their letters in `hybrid_override_pattern`. */
const LETTERS: Readonly<Record<string, string>> = {
  full_attention: '*',
  attention: '*',
  linear_attention: 'M',
  mamba: 'M',
  conv: 'M',
  moe: 'E',
  mlp: '-',
};

/** Nemotron-H: each layer is one block, mamba 2, attention without rotation, a network with squares, or experts of such networks. */
export const nemotronH: Architecture = {
  modelType: 'nemotron_h',
  keys: [
    ...['hidden_size', 'vocab_size', 'intermediate_size', 'max_position_embeddings', 'num_hidden_layers', 'hybrid_override_pattern', 'layers_block_type'],
    ...['layer_types', 'num_attention_heads', 'num_key_value_heads', 'head_dim', 'attention_bias', 'mamba_num_heads', 'mamba_head_dim', 'mamba_proj_bias'],
    ...['ssm_state_size', 'conv_kernel', 'n_groups', 'use_conv_bias', 'mlp_bias', 'use_bias', 'layer_norm_epsilon', 'mlp_hidden_act', 'mamba_hidden_act'],
    ...['time_step_limit', 'moe_intermediate_size', 'moe_shared_expert_intermediate_size', 'n_group', 'n_routed_experts', 'n_shared_experts', 'topk_group'],
    ...['num_experts_per_tok', 'norm_topk_prob', 'routed_scaling_factor', 'tie_word_embeddings'],
    // Of training, of the way to compute it, or said twice.
    ...['time_step_min', 'time_step_max', 'time_step_floor', 'time_step_rank', 'chunk_size', 'expand', 'residual_in_fp32', 'rescale_prenorm_residual'],
    ...[
      'num_logits_to_keep',
      'mamba_ssm_cache_dtype',
      'attention_head_dim',
      'hidden_act',
      'norm_eps',
      'rms_norm_eps',
      'sliding_window',
      'partial_rotary_factor',
    ],
    ...['rope_theta', 'num_nextn_predict_layers', 'mtp_hybrid_override_pattern', 'keys_to_ignore_at_inference', 'moe_shared_expert_overlap'],
  ],
  graph(config) {
    const [hidden, vocabulary] = [integer(config, 'hidden_size'), integer(config, 'vocab_size')];
    if (flag(config, 'tie_word_embeddings', false)) throw wrongValue('tie_word_embeddings', true, 'false');
    const activation = config['mlp_hidden_act'] ?? 'relu2';
    if (activation !== 'relu2') throw wrongValue('mlp_hidden_act', activation, 'relu2');
    const epsilon = positive(config, 'layer_norm_epsilon', 1e-5);
    const layers = blockLetters(config).map((letter, i): Layer => {
      const path = `backbone.layers.${i}`;
      const norm = rmsNorm(`${path}.norm`, hidden, epsilon);
      const block = `${path}.mixer`;
      if (letter === 'M') return { mixer: preNorm(norm, mamba(block, hidden, epsilon, config)), feedForward: null, parallel: false };
      if (letter === '*') return { mixer: preNorm(norm, attend(block, hidden, config)), feedForward: null, parallel: false };
      const bias = flag(config, 'mlp_bias', false);
      const body = letter === '-' ? squares(block, hidden, integer(config, 'intermediate_size'), bias) : experts(block, hidden, bias, config);
      return { mixer: null, feedForward: preNorm(norm, body), parallel: false };
    });
    return {
      hidden,
      vocabulary,
      contextTokens: integer(config, 'max_position_embeddings', 4096),
      ropes: [],
      embedding: { table: linear('backbone.embeddings', hidden, vocabulary), factor: 1, positions: null, types: null, norm: null },
      layers,
      finalNorm: rmsNorm('backbone.norm_f', hidden, epsilon),
      head: { linear: linear('lm_head', hidden, vocabulary), factor: 1, softCap: 0 },
      otherTensors: ['mtp.'],
    };
  },
};

function blockLetters(config: ModelConfig): readonly string[] {
  const given = config['hybrid_override_pattern'] ?? config['layers_block_type'] ?? config['layer_types'];
  const letters = typeof given === 'string' ? [...given] : Array.isArray(given) ? given.map((type) => LETTERS[String(type)] ?? String(type)) : [];
  if (letters.length === 0 || letters.some((letter) => !'M*-E'.includes(letter))) throw wrongValue('hybrid_override_pattern', given, 'a text of M, *, - and E');
  return letters;
}

const mamba = (path: string, hidden: number, epsilon: number, config: ModelConfig) =>
  mamba2Mixer(path, {
    hidden,
    heads: integer(config, 'mamba_num_heads'),
    headDim: integer(config, 'mamba_head_dim'),
    groups: integer(config, 'n_groups'),
    state: integer(config, 'ssm_state_size'),
    kernel: integer(config, 'conv_kernel'),
    bias: flag(config, 'mamba_proj_bias', false),
    convolutionBias: flag(config, 'use_conv_bias', true),
    stepLimits: limits(config, 'time_step_limit', [0, Number.POSITIVE_INFINITY]),
    epsilon,
    normGroups: integer(config, 'n_groups'),
  });

function attend(path: string, hidden: number, config: ModelConfig) {
  const heads = integer(config, 'num_attention_heads');
  const headDim = integer(config, 'head_dim', Math.trunc(hidden / heads));
  const bias = flag(config, 'attention_bias', false);
  const shape = { hidden, heads, kvHeads: integer(config, 'num_key_value_heads', heads), headDim };
  return { ...attention(path, shape, { qkv: bias, output: bias }), queryRope: null, keyRope: null };
}

const squares = (path: string, hidden: number, width: number, bias: boolean): PlainNetwork => ({
  kind: 'plain',
  up: linear(`${path}.up_proj`, hidden, width, bias),
  down: linear(`${path}.down_proj`, width, hidden, bias),
  activation: { kind: 'relu2' },
});

function experts(path: string, hidden: number, bias: boolean, config: ModelConfig): Experts {
  const [count, width] = [integer(config, 'n_routed_experts'), integer(config, 'moe_intermediate_size')];
  const take = integer(config, 'num_experts_per_tok');
  const shared = numberOr(config, 'n_shared_experts', 0) > 0;
  return {
    kind: 'experts',
    router: {
      linear: linear(`${path}.gate`, hidden, count),
      take,
      score: 'sigmoid',
      normalise: take > 1 && flag(config, 'norm_topk_prob', true),
      factor: positive(config, 'routed_scaling_factor', 1),
      correction: `${path}.gate.e_score_correction_bias`,
      groups: { count: integer(config, 'n_group', 1), take: integer(config, 'topk_group', 1) },
    },
    gate: null,
    up: stack(count, `${path}.switch_mlp.fc1`, hidden, width),
    down: stack(count, `${path}.switch_mlp.fc2`, width, hidden),
    activation: { kind: 'relu2' },
    shared: shared ? squares(`${path}.shared_experts`, hidden, integer(config, 'moe_shared_expert_intermediate_size'), bias) : null,
    sharedGate: null,
  };
}
