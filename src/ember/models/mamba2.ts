import { linear, mamba2Mixer, preNorm, rmsNorm } from './blocks.ts';
import { flag, integer, limits, positive, wrongValue } from './config-keys.ts';
import type { Architecture, Layer } from './model-graph.ts';

/** Mamba 2 by itself: layers of one block each, without positions. */
export const mamba2: Architecture = {
  modelType: 'mamba2',
  keys: [
    ...['hidden_size', 'vocab_size', 'num_hidden_layers', 'num_heads', 'head_dim', 'state_size', 'ssm_state_size', 'n_groups', 'conv_kernel', 'use_bias'],
    ...[
      'use_conv_bias',
      'layer_norm_epsilon',
      'time_step_limit',
      'tie_word_embeddings',
      'max_position_embeddings',
      'hidden_act',
      'norm_before_gate',
      'rms_norm',
    ],
    // Of training, of the way to compute it, or said twice.
    ...['intermediate_size', 'expand', 'chunk_size', 'residual_in_fp32', 'rescale_prenorm_residual', 'time_step_rank', 'time_step_min', 'time_step_max'],
    ...['time_step_floor', 'time_step_init_scheme', 'time_step_scale', 'd_inner', 'num_logits_to_keep'],
  ],
  graph(config) {
    const [hidden, vocabulary] = [integer(config, 'hidden_size'), integer(config, 'vocab_size')];
    const activation = config['hidden_act'] ?? 'silu';
    if (activation !== 'silu') throw wrongValue('hidden_act', activation, 'silu');
    const epsilon = positive(config, 'layer_norm_epsilon', 1e-5);
    const layers = Array.from({ length: integer(config, 'num_hidden_layers') }, (_, i): Layer => {
      const path = `backbone.layers.${i}`;
      const mixer = mamba2Mixer(`${path}.mixer`, {
        hidden,
        heads: integer(config, 'num_heads'),
        headDim: integer(config, 'head_dim'),
        groups: integer(config, 'n_groups', 1),
        state: integer(config, 'ssm_state_size', integer(config, 'state_size', 128)),
        kernel: integer(config, 'conv_kernel', 4),
        bias: flag(config, 'use_bias', false),
        convolutionBias: flag(config, 'use_conv_bias', true),
        stepLimits: limits(config, 'time_step_limit', [0, Number.POSITIVE_INFINITY]),
        epsilon,
        normGroups: 1,
      });
      // The norms of the layers have MLX's own epsilon.
      return { mixer: preNorm(rmsNorm(`${path}.norm`, hidden, 1e-5), mixer), feedForward: null, parallel: false };
    });
    const table = linear('backbone.embeddings', hidden, vocabulary);
    const tied = flag(config, 'tie_word_embeddings', true);
    return {
      hidden,
      vocabulary,
      contextTokens: integer(config, 'max_position_embeddings', 8192),
      ropes: [],
      embedding: { table, factor: 1, positions: null, types: null, norm: null },
      layers,
      finalNorm: rmsNorm('backbone.norm_f', hidden, epsilon),
      head: { linear: tied ? table : linear('lm_head', hidden, vocabulary), factor: 1, softCap: 0 },
      otherTensors: [],
    };
  },
};
