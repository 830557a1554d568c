import { flag, integer } from './config-keys.ts';
import { DECODER_KEYS, decoder, layerTypeWindows, withAttention } from './decoder.ts';
import type { Architecture, ModelConfig } from './model-graph.ts';

export const QWEN_WINDOW_KEYS = ['layer_types', 'sliding_window', 'use_sliding_window', 'max_window_layers'] as const;

/** Qwen 2 and 2.5: llama with biases on q, k and v. */
export const qwen2: Architecture = {
  modelType: 'qwen2',
  keys: [...DECODER_KEYS, ...QWEN_WINDOW_KEYS],
  graph(config) {
    const window = qwenWindow(config);
    return decoder(config, {
      theta: 1_000_000,
      maxPositions: 32_768,
      tied: true,
      biases: { qkv: true, output: false, mlp: false },
      layer: (layer, i) => withAttention(layer, { window: window(i) }),
    });
  },
};

/** The window counts only with `use_sliding_window`, and then from layer `max_window_layers` on. */
export function qwenWindow(config: ModelConfig): (layer: number) => number {
  if (!flag(config, 'use_sliding_window', false)) return () => 0;
  const window = integer(config, 'sliding_window');
  const first = typeof config['max_window_layers'] === 'number' ? config['max_window_layers'] : 28;
  return layerTypeWindows(config) ?? ((layer) => (layer >= first ? window : 0));
}
