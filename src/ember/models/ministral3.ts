import { integer, positive, wrongValue } from './config-keys.ts';
import { DECODER_KEYS, decoder, layerTypeWindows, withAttention } from './decoder.ts';
import type { Architecture, ModelConfig, ModelGraph } from './model-graph.ts';

/** Ministral 3: llama without biases, whose queries grow with the position; windows by `layer_types`. */
export const ministral3: Architecture = {
  modelType: 'ministral3',
  keys: [...DECODER_KEYS, 'layer_types', 'sliding_window'],
  graph: (config) => ministral3Decoder(config, { tied: true, prefix: '' }),
};

export function ministral3Decoder(config: ModelConfig, place: { readonly tied: boolean; readonly prefix: string }): ModelGraph {
  const given = config['rope_parameters'] ?? null;
  if (given === null || typeof given !== 'object') throw wrongValue('rope_parameters', given, 'an object');
  const { llama_4_scaling_beta: beta = null, ...rotation } = given as ModelConfig;
  const window = layerTypeWindows(config) ?? (() => 0);
  const graph = decoder(
    { ...config, rope_parameters: rotation },
    { ...place, theta: 1_000_000, maxPositions: 262_144, layer: (layer, i) => withAttention(layer, { window: window(i), queryRope: beta === null ? 0 : 1 }) },
  );
  if (beta === null) return graph;
  const period = integer(rotation, 'original_max_position_embeddings');
  return {
    ...graph,
    ropes: graph.ropes.flatMap((rope) => [rope, { ...rope, growth: { beta: positive(given as ModelConfig, 'llama_4_scaling_beta'), period } }]),
  };
}
