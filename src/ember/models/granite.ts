import { scaled } from './blocks.ts';
import { flag, positive } from './config-keys.ts';
import { DECODER_KEYS, decoder, type LlamaLayer, withAttention } from './decoder.ts';
import type { Architecture, Layer, ModelConfig, ModelGraph } from './model-graph.ts';

export const GRANITE_KEYS: readonly string[] = [
  ...DECODER_KEYS,
  'attention_bias',
  'attention_multiplier',
  'embedding_multiplier',
  'residual_multiplier',
  'logits_scaling',
];

/** Granite 3 and 4, dense: llama with multipliers on embedding, scores and branches, and divided logits. */
export const granite: Architecture = {
  modelType: 'granite',
  keys: [...GRANITE_KEYS, 'mlp_bias'],
  graph: (config) => graniteDecoder(config, (layer) => layer),
};

/** `change` takes a layer with Granite's scale, and its path. */
export function graniteDecoder(config: ModelConfig, change: (layer: LlamaLayer, path: string) => Layer): ModelGraph {
  const bias = flag(config, 'attention_bias', false);
  const scale = positive(config, 'attention_multiplier', 1);
  const factor = positive(config, 'residual_multiplier', 1);
  const graph = decoder(config, {
    theta: 10_000,
    maxPositions: 2048,
    tied: true,
    biases: { qkv: bias, output: bias, mlp: flag(config, 'mlp_bias', false) },
    layer(plain, _, path) {
      return scaled(change(withAttention(plain, { scale }), path), factor);
    },
  });
  return {
    ...graph,
    embedding: { ...graph.embedding, factor: positive(config, 'embedding_multiplier', 1) },
    head: graph.head && { ...graph.head, factor: 1 / positive(config, 'logits_scaling', 1) },
  };
}
