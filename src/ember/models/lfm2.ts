import { fused, gated, linear, preNorm, rmsNorm } from './blocks.ts';
import { flag, integer, positive, wholeNumbers, wrongValue } from './config-keys.ts';
import { DECODER_KEYS, type DecoderShape, decoder, type LlamaLayer } from './decoder.ts';
import type { Architecture, FeedForward, ModelConfig, ModelGraph, ShortConvolution } from './model-graph.ts';

/** Of the mixers, which the models with experts share. */
export const LFM2_KEYS: readonly string[] = ['norm_eps', 'conv_bias', 'conv_L_cache', 'layer_types', 'full_attn_idxs', 'theta', 'tie_embedding', 'use_pos_enc'];

/** LFM2: gated short convolutions, and attention with norms of q and k in some layers. */
export const lfm2: Architecture = {
  modelType: 'lfm2',
  keys: [
    ...[...DECODER_KEYS, ...LFM2_KEYS, 'block_ff_dim', 'block_multiple_of', 'block_ffn_dim_multiplier', 'block_auto_adjust_ff_dim'],
    // Said twice, or of training.
    ...['block_dim', 'block_norm_eps', 'block_mlp_init_scale', 'block_out_init_scale', 'block_use_swiglu', 'block_use_xavier_init', 'conv_dim'],
    ...['conv_dim_out', 'conv_use_xavier_init', 'num_heads'],
  ],
  graph: (config) => lfm2Decoder(config, networkWidth(config), network),
};

/** `feedForward`: the network of layer `index`, under `path`. */
export function lfm2Decoder(
  config: ModelConfig,
  intermediate: number,
  feedForward: (path: string, index: number, shape: DecoderShape) => FeedForward,
): ModelGraph {
  const attends = attentionLayers(config);
  const epsilon = positive(config, 'norm_eps', 1e-5);
  const made = decoder(
    { ...config, intermediate_size: intermediate, tie_word_embeddings: true },
    {
      theta: 1_000_000,
      maxPositions: 128_000,
      tied: true,
      epsilon,
      layer(layer, i, path, shape) {
        const norm = (name: string) => rmsNorm(`${path}.${name}`, shape.hidden, epsilon);
        const mixer = attends(i) ? attention(`${path}.self_attn`, layer, shape) : convolution(`${path}.conv`, shape, config);
        return {
          mixer: preNorm(norm('operator_norm'), mixer),
          feedForward: preNorm(norm('ffn_norm'), feedForward(`${path}.feed_forward`, i, shape)),
          parallel: false,
        };
      },
    },
  );
  return { ...made, finalNorm: { ...made.finalNorm!, path: 'model.embedding_norm' } };
}

function attentionLayers(config: ModelConfig): (layer: number) => boolean {
  const types = config['layer_types'] ?? null;
  if ((config['full_attn_idxs'] ?? null) !== null) {
    const indices = wholeNumbers(config, 'full_attn_idxs', []);
    return (layer) => indices.includes(layer);
  }
  if (!Array.isArray(types) || types.some((type) => type !== 'conv' && type !== 'full_attention'))
    throw wrongValue('layer_types', types, 'a list of conv and full_attention');
  return (layer) => types[layer] === 'full_attention';
}

function networkWidth(config: ModelConfig): number {
  const given = (config['block_ff_dim'] ?? null) === null ? integer(config, 'intermediate_size') : integer(config, 'block_ff_dim');
  if (!flag(config, 'block_auto_adjust_ff_dim', false)) return given;
  const unit = integer(config, 'block_multiple_of', 256);
  const scaled = Math.trunc(positive(config, 'block_ffn_dim_multiplier', 1) * Math.trunc((2 * given) / 3));
  return unit * Math.ceil(scaled / unit);
}

const network = (path: string, _: number, { hidden, intermediate }: DecoderShape): FeedForward => ({
  ...gated(path, hidden, intermediate),
  gate: linear(`${path}.w1`, hidden, intermediate),
  up: linear(`${path}.w3`, hidden, intermediate),
  down: linear(`${path}.w2`, intermediate, hidden),
});

const attention = (path: string, layer: LlamaLayer, { hidden, heads, headDim, epsilon }: DecoderShape) => ({
  ...layer.mixer.body,
  output: linear(`${path}.out_proj`, heads * headDim, hidden),
  queryNorm: rmsNorm(`${path}.q_layernorm`, headDim, epsilon),
  keyNorm: rmsNorm(`${path}.k_layernorm`, headDim, epsilon),
});

function convolution(path: string, { hidden }: DecoderShape, config: ModelConfig): ShortConvolution {
  const bias = flag(config, 'conv_bias', false);
  const [gateIn, gateOut, value] = fused(`${path}.in_proj`, hidden, [hidden, hidden, hidden], bias);
  return {
    kind: 'short-convolution',
    channels: hidden,
    kernel: integer(config, 'conv_L_cache', 3),
    gateIn: gateIn!,
    gateOut: gateOut!,
    value: value!,
    convolution: `${path}.conv`,
    convolutionBias: bias,
    output: linear(`${path}.out_proj`, hidden, hidden, bias),
  };
}
