import { flag } from './config-keys.ts';
import { DECODER_KEYS, decoder, layerTypeWindows, withAttention } from './decoder.ts';
import type { Architecture } from './model-graph.ts';

/** Llama 1 to 3, SmolLM 1 and 2, and the many models that share their graph. */
export const llama: Architecture = {
  modelType: 'llama',
  keys: [...DECODER_KEYS, 'attention_bias', 'mlp_bias', 'layer_types', 'sliding_window'],
  graph(config) {
    const attentionBias = flag(config, 'attention_bias', false);
    // A window without layer_types is not used by this architecture.
    const window = layerTypeWindows(config) ?? (() => 0);
    return decoder(config, {
      theta: 10_000,
      maxPositions: 2048,
      tied: true,
      biases: { qkv: attentionBias, output: attentionBias, mlp: flag(config, 'mlp_bias', false) },
      layer: (layer, i) => withAttention(layer, { window: window(i) }),
    });
  },
};
