import { experts, fused, linear, mamba2Mixer, preNorm } from './blocks.ts';
import { flag, integer, limits, numberOr, positive, wrongValue } from './config-keys.ts';
import { GRANITE_KEYS, graniteDecoder } from './granite.ts';
import type { Architecture, FeedForward, GatedNetwork, Layer, ModelConfig } from './model-graph.ts';

/** Granite 4 hybrid: mamba 2 in most layers, attention (often without rotation) in some; experts beside a shared network, or a dense one. */
export const graniteMoeHybrid: Architecture = {
  modelType: 'granitemoehybrid',
  keys: [
    ...[...GRANITE_KEYS, 'mlp_bias', 'layer_types', 'position_embedding_type', 'num_local_experts', 'num_experts_per_tok', 'shared_intermediate_size'],
    ...['mamba_n_heads', 'mamba_d_head', 'mamba_d_state', 'mamba_d_conv', 'mamba_n_groups', 'mamba_proj_bias', 'mamba_conv_bias', 'time_step_limit'],
    // Of training, of the way to compute it, or said twice.
    ...['mamba_expand', 'mamba_chunk_size', 'normalization_function', 'init_method', 'embedding_dropout'],
  ],
  graph(config) {
    const types = layerTypes(config);
    const rope = (config['position_embedding_type'] ?? 'rope') === 'nope' ? null : 0;
    let index = 0;
    // As mlx-lm, this family has no scaled rope.
    return graniteDecoder({ ...config, rope_scaling: null }, (layer, path): Layer => {
      const isMamba = types[index++] === 'mamba';
      const body = isMamba ? mamba(`${path}.mamba`, config) : { ...layer.mixer.body, queryRope: rope, keyRope: rope };
      const network = expertsOf(path, config);
      const feedForward = network === null ? layer.feedForward : preNorm(layer.feedForward.norm, network);
      return { ...layer, mixer: preNorm(layer.mixer.norm, body), feedForward };
    });
  },
};

function layerTypes(config: ModelConfig): readonly unknown[] {
  const types = config['layer_types'];
  const count = integer(config, 'num_hidden_layers');
  if (!Array.isArray(types) || types.length !== count || types.some((type) => type !== 'mamba' && type !== 'attention'))
    throw wrongValue('layer_types', types, `a list of ${count} times mamba or attention`);
  return types;
}

const mamba = (path: string, config: ModelConfig) =>
  mamba2Mixer(path, {
    hidden: integer(config, 'hidden_size'),
    heads: integer(config, 'mamba_n_heads'),
    headDim: integer(config, 'mamba_d_head'),
    groups: integer(config, 'mamba_n_groups', 1),
    state: integer(config, 'mamba_d_state'),
    kernel: integer(config, 'mamba_d_conv', 4),
    bias: flag(config, 'mamba_proj_bias', false),
    convolutionBias: flag(config, 'mamba_conv_bias', true),
    stepLimits: limits(config, 'time_step_limit', [0.001, 100]),
    epsilon: positive(config, 'rms_norm_eps', 1e-6),
    normGroups: 1,
  });

/** null: the layer's network is dense. */
function expertsOf(path: string, config: ModelConfig): FeedForward | null {
  const count = numberOr(config, 'num_local_experts', 0);
  if (count === 0) return null;
  const [hidden, width] = [integer(config, 'hidden_size'), integer(config, 'intermediate_size')];
  const rule = { take: integer(config, 'num_experts_per_tok'), score: 'chosen-softmax', normalise: false } as const;
  const moe = `${path}.block_sparse_moe`;
  return { ...experts(`${moe}.router.layer`, `${moe}.switch_mlp`, hidden, width, count, rule), shared: sharedNetwork(`${path}.shared_mlp`, hidden, config) };
}

function sharedNetwork(path: string, hidden: number, config: ModelConfig): GatedNetwork {
  const width = integer(config, 'shared_intermediate_size');
  const [gate, up] = fused(`${path}.input_linear`, hidden, [width, width]);
  return { kind: 'gated', gate: gate!, up: up!, down: linear(`${path}.output_linear`, width, hidden), activation: { kind: 'silu' } };
}
