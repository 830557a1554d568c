import { rmsNorm } from './blocks.ts';
import { numberOr, positive } from './config-keys.ts';
import { DECODER_KEYS, type DecoderShape, decoder, GELU_TANH, type LlamaLayer } from './decoder.ts';
import type { Architecture, ModelConfig, ModelGraph } from './model-graph.ts';

export const GEMMA_KEYS: readonly string[] = [
  ...DECODER_KEYS,
  'hidden_activation',
  'query_pre_attn_scalar',
  'attn_logit_softcapping',
  'final_logit_softcapping',
  'sliding_window',
  'cache_implementation',
];

/** Gemma 2: norms (weight + 1) on both sides of each branch, scaled embeddings, soft caps. As mlx-lm, it has no window. */
export const gemma2: Architecture = {
  modelType: 'gemma2',
  keys: GEMMA_KEYS,
  graph(config) {
    const scale = positive(config, 'query_pre_attn_scalar', 144) ** -0.5;
    const softCap = numberOr(config, 'attn_logit_softcapping', 50);
    const graph = decoder(config, {
      theta: 10_000,
      maxPositions: 8192,
      tied: true,
      activation: GELU_TANH,
      normPlus: 1,
      layer: (layer, _, path, shape) => gemmaLayer(layer, path, shape, { scale, softCap }),
    });
    return withEmbeddingFactor(graph, graph.hidden ** 0.5, numberOr(config, 'final_logit_softcapping', 30));
  },
};

export const withEmbeddingFactor = (graph: ModelGraph, factor: number, softCap: number): ModelGraph => ({
  ...graph,
  embedding: { ...graph.embedding, factor },
  head: graph.head && { ...graph.head, softCap },
});

/** Norms before and behind each branch, and a network with GELU. */
export function gemmaLayer(layer: LlamaLayer, path: string, { hidden, epsilon }: DecoderShape, attention: Partial<LlamaLayer['mixer']['body']>): LlamaLayer {
  const norm = (name: string) => rmsNorm(`${path}.${name}`, hidden, epsilon, 1);
  return {
    ...layer,
    mixer: { ...layer.mixer, body: { ...layer.mixer.body, ...attention }, outputNorm: norm('post_attention_layernorm') },
    feedForward: {
      ...layer.feedForward,
      norm: norm('pre_feedforward_layernorm'),
      body: { ...layer.feedForward.body, activation: { kind: 'gelu', form: 'tanh' } },
      outputNorm: norm('post_feedforward_layernorm'),
    },
  };
}

/** Multimodal models keep their text model under `text_config`. */
export function textConfig(config: ModelConfig): ModelConfig {
  const text = config['text_config'];
  return typeof text === 'object' && text !== null && !Array.isArray(text) ? (text as ModelConfig) : {};
}
