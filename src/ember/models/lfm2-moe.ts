import { experts, gated } from './blocks.ts';
import { flag, integer, positive } from './config-keys.ts';
import { DECODER_KEYS } from './decoder.ts';
import { LFM2_KEYS, lfm2Decoder } from './lfm2.ts';
import type { Architecture } from './model-graph.ts';

/** LFM2 with experts behind the first layers: scores of each by itself, with a correction of the choice. */
export const lfm2Moe: Architecture = {
  modelType: 'lfm2_moe',
  keys: [
    ...[...DECODER_KEYS, ...LFM2_KEYS],
    ...['num_experts', 'num_experts_per_tok', 'moe_intermediate_size', 'num_dense_layers', 'norm_topk_prob', 'use_expert_bias', 'routed_scaling_factor'],
  ],
  graph(config) {
    const [count, width] = [integer(config, 'num_experts'), integer(config, 'moe_intermediate_size')];
    const dense = integer(config, 'num_dense_layers');
    const rule = { take: integer(config, 'num_experts_per_tok'), score: 'sigmoid', normalise: flag(config, 'norm_topk_prob', true) } as const;
    const corrected = flag(config, 'use_expert_bias', true);
    const factor = positive(config, 'routed_scaling_factor', 1);
    return lfm2Decoder(config, integer(config, 'intermediate_size'), (path, i, { hidden, intermediate }) => {
      if (i < dense) return gated(path, hidden, intermediate);
      const body = experts(`${path}.gate`, `${path}.switch_mlp`, hidden, width, count, rule);
      return { ...body, router: { ...body.router, factor, correction: corrected ? `${path}.expert_bias` : null } };
    });
  },
};
