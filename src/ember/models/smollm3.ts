import { flag, integer, wrongValue } from './config-keys.ts';
import { DECODER_KEYS, decoder, layerTypeWindows, withAttention } from './decoder.ts';
import type { Architecture, ModelConfig } from './model-graph.ts';

/** SmolLM 3: llama in which some layers do not know positions. */
export const smollm3: Architecture = {
  modelType: 'smollm3',
  // The windows are those of layer_types; max_window_layers only helps to write these.
  keys: [
    ...[...DECODER_KEYS, 'attention_bias', 'mlp_bias', 'no_rope_layers', 'no_rope_layer_interval'],
    ...['layer_types', 'sliding_window', 'use_sliding_window', 'max_window_layers'],
  ],
  graph(config) {
    const bias = flag(config, 'attention_bias', false);
    const rotates = rotatedLayers(config);
    const window = layerTypeWindows(config) ?? (() => 0);
    return decoder(config, {
      theta: 10_000,
      maxPositions: 32_768,
      tied: true,
      biases: { qkv: bias, output: bias, mlp: flag(config, 'mlp_bias', false) },
      layer(layer, i) {
        const rope = rotates(i) ? 0 : null;
        return withAttention(layer, { queryRope: rope, keyRope: rope, window: window(i) });
      },
    });
  },
};

/** `no_rope_layers` has 1 for layers that are rotated (its name says the contrary); without it every `no_rope_layer_interval`-th is not. */
function rotatedLayers(config: ModelConfig): (layer: number) => boolean {
  const given = config['no_rope_layers'] ?? null;
  if (given === null) {
    const interval = integer(config, 'no_rope_layer_interval', 4);
    return (layer) => (layer + 1) % interval !== 0;
  }
  const count = integer(config, 'num_hidden_layers');
  if (!Array.isArray(given) || given.length !== count) throw wrongValue('no_rope_layers', given, `a list of ${count} zeros and ones`);
  const odd = given.find((value) => value !== 0 && value !== 1);
  if (odd !== undefined) throw wrongValue('no_rope_layers', odd, '0 or 1');
  return (layer) => given[layer] === 1;
}
