import { experts } from './blocks.ts';
import { integer } from './config-keys.ts';
import { DECODER_KEYS, decoder } from './decoder.ts';
import type { Architecture } from './model-graph.ts';

/** Mixtral: mistral with experts, the best of which are weighted by a softmax over themselves. */
export const mixtral: Architecture = {
  modelType: 'mixtral',
  keys: [...DECODER_KEYS, 'num_local_experts', 'num_experts_per_tok'],
  graph(config) {
    const count = integer(config, 'num_local_experts', 8);
    const rule = { take: integer(config, 'num_experts_per_tok', 2), score: 'chosen-softmax', normalise: false } as const;
    return decoder(config, {
      theta: 1_000_000,
      maxPositions: 32_768,
      tied: false,
      epsilon: 1e-5,
      layer(layer, _, path, { hidden, intermediate }) {
        const moe = `${path}.block_sparse_moe`;
        return { ...layer, feedForward: { ...layer.feedForward, body: experts(`${moe}.gate`, `${moe}.switch_mlp`, hidden, intermediate, count, rule) } };
      },
    });
  },
};
