import { experts } from './blocks.ts';
import { flag, integer } from './config-keys.ts';
import { DECODER_KEYS, decoder, withAttention } from './decoder.ts';
import type { Architecture, Linear } from './model-graph.ts';
import { wholeNorms } from './olmo2.ts';

/** OLMoE: experts in every layer, norms over the whole of q and k. */
export const olmoe: Architecture = {
  modelType: 'olmoe',
  // clip_qkv is null in what was published, and refused otherwise.
  keys: [...DECODER_KEYS, 'attention_bias', 'mlp_bias', 'num_experts', 'num_experts_per_tok', 'norm_topk_prob'],
  graph(config) {
    const [bias, mlpBias] = [flag(config, 'attention_bias', false), flag(config, 'mlp_bias', false)];
    const rule = { take: integer(config, 'num_experts_per_tok'), score: 'softmax', normalise: flag(config, 'norm_topk_prob', false) } as const;
    const count = integer(config, 'num_experts');
    return decoder(config, {
      theta: 10_000,
      maxPositions: 4096,
      tied: true,
      epsilon: 1e-5,
      biases: { qkv: bias, output: bias, mlp: mlpBias },
      layer(layer, _, path, shape) {
        const body = experts(`${path}.mlp.gate`, `${path}.mlp.switch_mlp`, shape.hidden, shape.intermediate, count, rule);
        const own = (part: Linear): Linear => ({ ...part, bias: mlpBias });
        return {
          ...withAttention(layer, wholeNorms(path, shape)),
          feedForward: { ...layer.feedForward, body: { ...body, gate: own(body.gate), up: own(body.up), down: own(body.down) } },
        };
      },
    });
  },
};
