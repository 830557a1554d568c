import { rmsNorm } from './blocks.ts';
import { integer, isInert, numberOr, positive, refuseUnknownKeys, wrongValue } from './config-keys.ts';
import { decoder, GELU_TANH, layerTypeWindows } from './decoder.ts';
import { GEMMA_KEYS, gemmaLayer, textConfig, withEmbeddingFactor } from './gemma2.ts';
import type { Architecture, ModelConfig, ModelGraph } from './model-graph.ts';
import { readRope } from './rope.ts';

/** What config.json may leave out. */
const DEFAULTS: ModelConfig = {
  hidden_size: 1152,
  num_hidden_layers: 26,
  intermediate_size: 6912,
  num_attention_heads: 4,
  num_key_value_heads: 1,
  head_dim: 256,
  vocab_size: 262_144,
  sliding_window: 512,
};
const KEYS = [...GEMMA_KEYS, 'rope_local_base_freq', 'sliding_window_pattern', 'layer_types'];

/** Gemma 3: gemma 2 with norms of q and k; most layers have a window and a rope of their own. */
export const gemma3Text: Architecture = { modelType: 'gemma3_text', keys: KEYS, graph: (config) => graph(config, '') };

/** Its text model inside the multimodal one. */
export const gemma3: Architecture = {
  modelType: 'gemma3',
  keys: ['text_config', 'vision_config', 'boi_token_index', 'eoi_token_index', 'image_token_index', 'mm_tokens_per_image', 'vocab_size', 'tie_word_embeddings'],
  graph(config) {
    const { tie_word_embeddings } = config;
    const inner = {
      num_attention_heads: 8,
      num_key_value_heads: 4,
      ...(tie_word_embeddings === undefined ? {} : { tie_word_embeddings }),
      ...textConfig(config),
    };
    const text: ModelConfig = { ...inner, vocab_size: config['vocab_size'] ?? 262_208 };
    refuseUnknownKeys(gemma3Text, text);
    return { ...graph(text, 'language_model.'), otherTensors: ['vision_tower.', 'multi_modal_projector.'] };
  },
};

function graph(given: ModelConfig, prefix: string): ModelGraph {
  const config = { ...DEFAULTS, ...given };
  const pattern = integer(config, 'sliding_window_pattern', 6);
  const everyWindow = integer(config, 'sliding_window');
  const window = layerTypeWindows(config) ?? ((layer: number) => ((layer + 1) % pattern === 0 ? 0 : everyWindow));
  const scale = positive(config, 'query_pre_attn_scalar', 256) ** -0.5;
  const softCap = numberOr(config, 'attn_logit_softcapping', 0);
  const headDim = integer(config, 'head_dim');
  const defaults = { theta: 1_000_000, maxPositions: 32_768 };
  const { all, local } = ropeConfigs(config);
  const made = decoder(all, {
    ...defaults,
    tied: true,
    prefix,
    activation: GELU_TANH,
    normPlus: 1,
    ropes: [readRope(all, headDim, defaults).rope, readRope(local, headDim, { ...defaults, theta: 10_000 }).rope],
    layer: (layer, i, path, shape) => {
      const rope = window(i) > 0 ? 1 : 0;
      const [queryNorm, keyNorm] = ['q_norm', 'k_norm'].map((name) => rmsNorm(`${path}.self_attn.${name}`, headDim, shape.epsilon, 1));
      return gemmaLayer(layer, path, shape, { scale, softCap, window: window(i), queryRope: rope, keyRope: rope, queryNorm: queryNorm!, keyNorm: keyNorm! });
    },
  });
  return withEmbeddingFactor(made, bfloat16(made.hidden ** 0.5), numberOr(config, 'final_logit_softcapping', 0));
}

/** The rope of layers that see everything, and of those with a window; transformers 5 keeps both under `rope_parameters`. */
function ropeConfigs(config: ModelConfig): { all: ModelConfig; local: ModelConfig } {
  const both = config['rope_parameters'] as ModelConfig | undefined;
  const { rope_scaling: _, rope_theta: __, ...bare } = config;
  if (both && 'full_attention' in both) {
    const odd = Object.keys(both).find((key) => key !== 'full_attention' && key !== 'sliding_attention' && !isInert(both[key]));
    if (odd !== undefined) throw wrongValue('rope_parameters', both, 'full_attention and sliding_attention');
    return { all: { ...bare, rope_parameters: both['full_attention'] }, local: { ...bare, rope_parameters: both['sliding_attention'] ?? null } };
  }
  return { all: config, local: { ...bare, rope_parameters: null, rope_theta: config['rope_local_base_freq'] ?? 10_000 } };
}

/** The factor of the embedding is rounded to BF16 (upwards from the middle; square roots do not lie there). */
function bfloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = (bits[0]! + 0x8000) & 0xffff0000;
  return new Float32Array(bits.buffer)[0]!;
}
