import { experts } from './blocks.ts';
import { flag, integer, positive, wrongValue } from './config-keys.ts';
import { DECODER_KEYS, decoder, layerTypeWindows, withAttention } from './decoder.ts';
import type { Architecture } from './model-graph.ts';

/** gpt-oss: every second layer has a window, heads have sinks, experts have biases and a clamped SwiGLU. */
export const gptOss: Architecture = {
  modelType: 'gpt_oss',
  keys: [
    ...DECODER_KEYS,
    ...['num_local_experts', 'num_experts_per_tok', 'experts_per_token', 'layer_types', 'sliding_window', 'swiglu_limit', 'initial_context_length'],
    'attention_bias',
  ],
  graph(given) {
    const config = { head_dim: 64, sliding_window: 128, ...given };
    if (!flag(config, 'attention_bias', true)) throw wrongValue('attention_bias', false, 'true');
    const window = layerTypeWindows(config) ?? ((layer: number) => (layer % 2 === 0 ? integer(config, 'sliding_window') : 0));
    const count = integer(config, 'num_local_experts', 128);
    const rule = { take: integer(config, 'num_experts_per_tok', 4), score: 'chosen-softmax', normalise: false } as const;
    const activation = { kind: 'clamped-swiglu', alpha: 1.702, limit: positive(config, 'swiglu_limit', 7) } as const;
    return decoder(config, {
      theta: 150_000,
      maxPositions: 131_072,
      tied: false,
      epsilon: 1e-5,
      biases: { qkv: true, output: true, mlp: true },
      layer(layer, i, path, { hidden, intermediate }) {
        const own = withAttention(layer, { window: window(i), sinks: `${path}.self_attn.sinks` });
        const body = experts(`${path}.mlp.router`, `${path}.mlp.experts`, hidden, intermediate, count, rule, true);
        return { ...own, feedForward: { ...own.feedForward, body: { ...body, activation } } };
      },
    });
  },
};
