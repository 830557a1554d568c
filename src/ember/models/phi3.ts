import { fused, linear } from './blocks.ts';
import { DECODER_KEYS, decoder } from './decoder.ts';
import type { Architecture } from './model-graph.ts';

/** Phi 3, 3.5 and 4 mini: llama with fused projections and longrope. As mlx-lm, it has no window and takes the long factors always. */
export const phi3: Architecture = {
  modelType: 'phi3',
  keys: [...DECODER_KEYS, 'original_max_position_embeddings', 'sliding_window', 'full_attn_mod', 'interpolate_factor'],
  graph: (config) =>
    decoder(config, {
      theta: 10_000,
      maxPositions: 131_072,
      tied: false,
      layer(layer, _, path, { hidden, heads, kvHeads, headDim, intermediate }) {
        const [query, key, value] = fused(`${path}.self_attn.qkv_proj`, hidden, [heads * headDim, kvHeads * headDim, kvHeads * headDim]);
        const [gate, up] = fused(`${path}.mlp.gate_up_proj`, hidden, [intermediate, intermediate]);
        return {
          ...layer,
          mixer: { ...layer.mixer, body: { ...layer.mixer.body, query: query!, key: key!, value: value! } },
          feedForward: {
            ...layer.feedForward,
            body: { ...layer.feedForward.body, gate: gate!, up: up!, down: linear(`${path}.mlp.down_proj`, intermediate, hidden) },
          },
        };
      },
    }),
};
