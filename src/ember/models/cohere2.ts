import { layerNorm } from './blocks.ts';
import { flag, integer, positive, wrongValue } from './config-keys.ts';
import { DECODER_KEYS, decoder, layerTypeWindows, withAttention } from './decoder.ts';
import type { Architecture, ModelConfig } from './model-graph.ts';

/** Keys with the one value that this graph has. */
const FIXED: Readonly<Record<string, unknown>> = {
  use_parallel_block: true,
  use_gated_activation: true,
  use_embedding_sharing: true,
  tie_word_embeddings: true,
  position_embedding_type: 'rope_gptj',
  rotary_pct: 1,
  order_of_interleaved_layers: 'local_attn_first',
};

/** Command R7B and its kin: attention and network side by side on one layer norm; windowed layers are rotated, the others see all and know no positions. */
export const cohere2: Architecture = {
  modelType: 'cohere2',
  keys: [
    ...[...DECODER_KEYS, ...Object.keys(FIXED), 'attention_bias', 'layer_norm_eps', 'layer_norm_bias', 'logit_scale'],
    ...['sliding_window', 'sliding_window_pattern', 'layer_types', 'layer_switch'],
    // Of memory and threads, in the original code.
    ...['cache_implementation', 'use_parallel_embedding'],
  ],
  graph(config) {
    for (const [key, value] of Object.entries(FIXED)) if ((config[key] ?? value) !== value) throw wrongValue(key, config[key], JSON.stringify(value));
    const bias = flag(config, 'attention_bias', false);
    const norm = (path: string, hidden: number) => layerNorm(path, hidden, positive(config, 'layer_norm_eps', 1e-5), flag(config, 'layer_norm_bias', false));
    const window = windows(config);
    const graph = decoder(
      { ...config, rope_traditional: true },
      {
        theta: 50_000,
        maxPositions: 8192,
        tied: true,
        biases: { qkv: bias, output: bias, mlp: false },
        layer(plain, i, path, { hidden }) {
          const rope = window(i) === 0 ? null : 0;
          const layer = withAttention(plain, { window: window(i), queryRope: rope, keyRope: rope });
          return { ...layer, mixer: { ...layer.mixer, norm: norm(`${path}.input_layernorm`, hidden) }, parallel: true };
        },
      },
    );
    return {
      ...graph,
      finalNorm: norm('model.norm', graph.hidden),
      head: graph.head && { ...graph.head, factor: positive(config, 'logit_scale', 0.0625) },
    };
  },
};

/** Every n-th layer sees all. */
function windows(config: ModelConfig): (layer: number) => number {
  const pattern = integer(config, 'sliding_window_pattern', 4);
  const size = integer(config, 'sliding_window', 4096);
  return layerTypeWindows(config) ?? ((layer) => ((layer + 1) % pattern === 0 ? 0 : size));
}
