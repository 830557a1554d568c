import { fused, linear, rmsNorm } from './blocks.ts';
import { flag } from './config-keys.ts';
import { DECODER_KEYS, decoder } from './decoder.ts';
import type { Architecture } from './model-graph.ts';

/** GLM 4 (0414): norms before and after both branches, a part of each head rotated, gate and up in one tensor. */
export const glm4: Architecture = {
  modelType: 'glm4',
  keys: [...DECODER_KEYS, 'attention_bias'],
  graph(config) {
    const bias = flag(config, 'attention_bias', false);
    return decoder(
      { rope_traditional: true, ...config },
      {
        theta: 10_000,
        maxPositions: 32_768,
        tied: false,
        epsilon: 1e-5,
        biases: { qkv: bias, output: false, mlp: false },
        layer({ mixer, feedForward, parallel }, _, path, { hidden, intermediate, epsilon }) {
          const [gate, up] = fused(`${path}.mlp.gate_up_proj`, hidden, [intermediate, intermediate]);
          const down = linear(`${path}.mlp.down_proj`, intermediate, hidden);
          return {
            parallel,
            mixer: { ...mixer, outputNorm: rmsNorm(`${path}.post_self_attn_layernorm`, hidden, epsilon) },
            feedForward: {
              ...feedForward,
              body: { ...feedForward.body, gate: gate!, up: up!, down },
              outputNorm: rmsNorm(`${path}.post_mlp_layernorm`, hidden, epsilon),
            },
          };
        },
      },
    );
  },
};
