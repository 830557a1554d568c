import { integer } from './config-keys.ts';
import { DECODER_KEYS, decoder, layerTypeWindows, withAttention } from './decoder.ts';
import type { Architecture } from './model-graph.ts';

/** Mistral: llama without biases, with a window on every layer when `sliding_window` is set. */
export const mistral: Architecture = {
  modelType: 'mistral',
  keys: [...DECODER_KEYS, 'layer_types', 'sliding_window'],
  graph(config) {
    const everywhere = (config['sliding_window'] ?? null) === null ? 0 : integer(config, 'sliding_window');
    const window = layerTypeWindows(config) ?? (() => everywhere);
    return decoder(config, { theta: 10_000, maxPositions: 32_768, tied: false, layer: (layer, i) => withAttention(layer, { window: window(i) }) });
  },
};
