import { experts, gated, linear, preNorm } from './blocks.ts';
import { flag, integer, wholeNumbers } from './config-keys.ts';
import { DECODER_KEYS, type DecoderShape, decoder, type LlamaLayer, withAttention } from './decoder.ts';
import type { Architecture, Experts, GatedDelta, Layer, ModelConfig } from './model-graph.ts';
import { QWEN_WINDOW_KEYS } from './qwen2.ts';
import { withHeadNorms } from './qwen3.ts';

export const DELTA_KEYS: readonly string[] = [
  ...['linear_num_value_heads', 'linear_num_key_heads', 'linear_key_head_dim', 'linear_value_head_dim', 'linear_conv_kernel_dim', 'full_attention_interval'],
  ...[
    'num_experts',
    'num_experts_per_tok',
    'moe_intermediate_size',
    'shared_expert_intermediate_size',
    'norm_topk_prob',
    'decoder_sparse_step',
    'mlp_only_layers',
  ],
  'attention_bias',
];

/** Qwen 3 Next: the gated delta rule in most layers, gated attention in every fourth, experts beside a shared one. */
export const qwen3Next: Architecture = {
  modelType: 'qwen3_next',
  keys: [...DECODER_KEYS, ...QWEN_WINDOW_KEYS, ...DELTA_KEYS],
  graph(config) {
    const bias = flag(config, 'attention_bias', false);
    const step = integer(config, 'decoder_sparse_step', 1);
    const dense = wholeNumbers(config, 'mlp_only_layers', []);
    return decoder(config, {
      theta: 10_000,
      maxPositions: 32_768,
      tied: false,
      biases: { qkv: bias, output: bias, mlp: false },
      layer(layer, i, path, shape) {
        const own = deltaLayer(layer, i, path, shape, config, (at) => byHead(at, shape, config));
        const sparse = !dense.includes(i) && (config['num_experts'] ?? 0) !== 0 && (i + 1) % step === 0;
        return sparse ? { ...own, feedForward: preNorm(layer.feedForward.norm, qwenExperts(`${path}.mlp`, shape.hidden, config, false)) } : own;
      },
    });
  },
};

/** Attention with gates in every `full_attention_interval`-th layer, the gated delta rule in the others. */
export function deltaLayer(
  layer: LlamaLayer,
  index: number,
  path: string,
  shape: DecoderShape,
  config: ModelConfig,
  projections: (path: string) => GatedDelta['projections'],
): Layer {
  if ((index + 1) % integer(config, 'full_attention_interval', 4) !== 0)
    return { ...layer, mixer: preNorm(layer.mixer.norm, gatedDelta(`${path}.linear_attn`, shape, config, projections)) };
  const { query } = layer.mixer.body;
  return withAttention(withHeadNorms(layer, path, shape), { gated: true, query: { ...query, outputs: 2 * query.outputs } });
}

export function deltaSizes(config: ModelConfig) {
  const [keyHeads, valueHeads] = [integer(config, 'linear_num_key_heads'), integer(config, 'linear_num_value_heads')];
  const [keyDim, valueDim] = [integer(config, 'linear_key_head_dim'), integer(config, 'linear_value_head_dim')];
  return { keyHeads, valueHeads, keyDim, valueDim, keys: keyHeads * keyDim, values: valueHeads * valueDim };
}

function gatedDelta(
  path: string,
  { hidden, epsilon }: DecoderShape,
  config: ModelConfig,
  projections: (path: string) => GatedDelta['projections'],
): GatedDelta {
  const { keyHeads, valueHeads, keyDim, valueDim, keys, values } = deltaSizes(config);
  return {
    kind: 'gated-delta',
    keyHeads,
    valueHeads,
    keyDim,
    valueDim,
    projections: projections(path),
    convolution: { path: `${path}.conv1d`, channels: 2 * keys + values, kernel: integer(config, 'linear_conv_kernel_dim', 4), bias: false },
    decay: `${path}.A_log`,
    decayBias: `${path}.dt_bias`,
    norm: { kind: 'rms', path: `${path}.norm`, size: valueDim, epsilon, bias: false, plus: 0 },
    output: linear(`${path}.out_proj`, values, hidden),
  };
}

function byHead(path: string, { hidden }: DecoderShape, config: ModelConfig): GatedDelta['projections'] {
  const { valueHeads, keys, values } = deltaSizes(config);
  return {
    kind: 'by-head',
    vectors: linear(`${path}.in_proj_qkvz`, hidden, 2 * keys + 2 * values),
    numbers: linear(`${path}.in_proj_ba`, hidden, 2 * valueHeads),
  };
}

/** Experts by a softmax over all, beside a shared network with a gate of its own. */
export function qwenExperts(path: string, hidden: number, config: ModelConfig, normalise: boolean): Experts {
  const rule = { take: integer(config, 'num_experts_per_tok'), score: 'softmax', normalise: flag(config, 'norm_topk_prob', normalise) } as const;
  return {
    ...experts(`${path}.gate`, `${path}.switch_mlp`, hidden, integer(config, 'moe_intermediate_size'), integer(config, 'num_experts'), rule),
    shared: gated(`${path}.shared_expert`, hidden, integer(config, 'shared_expert_intermediate_size')),
    sharedGate: linear(`${path}.shared_expert_gate`, hidden, 1),
  };
}
