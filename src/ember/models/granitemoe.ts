import { experts } from './blocks.ts';
import { integer } from './config-keys.ts';
import { GRANITE_KEYS, graniteDecoder } from './granite.ts';
import type { Architecture } from './model-graph.ts';

/** Granite with experts: softmax over the chosen ones. */
export const graniteMoe: Architecture = {
  modelType: 'granitemoe',
  keys: [...GRANITE_KEYS, 'num_local_experts', 'num_experts_per_tok'],
  graph(config) {
    const [count, width] = [integer(config, 'num_local_experts'), integer(config, 'intermediate_size')];
    const rule = { take: integer(config, 'num_experts_per_tok'), score: 'chosen-softmax', normalise: false } as const;
    return graniteDecoder(config, (layer, path) => {
      const moe = `${path}.block_sparse_moe`;
      return {
        ...layer,
        feedForward: { ...layer.feedForward, body: experts(`${moe}.router.layer`, `${moe}.switch_mlp`, integer(config, 'hidden_size'), width, count, rule) },
      };
    });
  },
};
