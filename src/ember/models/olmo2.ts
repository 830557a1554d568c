import { rmsNorm } from './blocks.ts';
import { flag } from './config-keys.ts';
import { DECODER_KEYS, decoder, withAttention } from './decoder.ts';
import type { Architecture, Branch } from './model-graph.ts';

/** OLMo 2: norms after the branches instead of before, and norms over the whole of q and k. */
export const olmo2: Architecture = {
  modelType: 'olmo2',
  keys: [...DECODER_KEYS, 'attention_bias', 'mlp_bias'],
  graph(config) {
    const bias = flag(config, 'attention_bias', false);
    return decoder(config, {
      theta: 10_000,
      maxPositions: 2048,
      tied: true,
      epsilon: 1e-5,
      biases: { qkv: bias, output: bias, mlp: flag(config, 'mlp_bias', false) },
      layer(plain, _, path, { hidden, heads, kvHeads, headDim, epsilon }) {
        const after = <Body>(branch: Branch<Body>, name: string): Branch<Body> => ({
          ...branch,
          norm: null,
          outputNorm: rmsNorm(`${path}.${name}`, hidden, epsilon),
        });
        const layer = withAttention(plain, {
          queryNorm: rmsNorm(`${path}.self_attn.q_norm`, heads * headDim, epsilon),
          keyNorm: rmsNorm(`${path}.self_attn.k_norm`, kvHeads * headDim, epsilon),
        });
        return {
          ...layer,
          mixer: after(layer.mixer, 'post_attention_layernorm'),
          feedForward: after(layer.feedForward, 'post_feedforward_layernorm'),
        };
      },
    });
  },
};
