import { experts } from './blocks.ts';
import { flag, integer, wholeNumbers } from './config-keys.ts';
import { DECODER_KEYS, decoder, withAttention } from './decoder.ts';
import type { Architecture } from './model-graph.ts';
import { QWEN_WINDOW_KEYS, qwenWindow } from './qwen2.ts';
import { withHeadNorms } from './qwen3.ts';

/** Qwen 3 with experts: softmax over all, the best are taken. */
export const qwen3Moe: Architecture = {
  modelType: 'qwen3_moe',
  keys: [
    ...DECODER_KEYS,
    ...QWEN_WINDOW_KEYS,
    ...['num_experts', 'num_experts_per_tok', 'moe_intermediate_size', 'norm_topk_prob', 'decoder_sparse_step', 'mlp_only_layers'],
  ],
  graph(config) {
    const window = qwenWindow(config);
    const [count, width] = [integer(config, 'num_experts'), integer(config, 'moe_intermediate_size')];
    const rule = { take: integer(config, 'num_experts_per_tok'), score: 'softmax', normalise: flag(config, 'norm_topk_prob', false) } as const;
    const step = integer(config, 'decoder_sparse_step', 1);
    const dense = wholeNumbers(config, 'mlp_only_layers', []);
    return decoder(config, {
      theta: 1_000_000,
      maxPositions: 32_768,
      tied: false,
      layer(layer, i, path, shape) {
        const own = withAttention(withHeadNorms(layer, path, shape), { window: window(i) });
        if (dense.includes(i) || (i + 1) % step !== 0) return own;
        return { ...own, feedForward: { ...own.feedForward, body: experts(`${path}.mlp.gate`, `${path}.mlp.switch_mlp`, shape.hidden, width, count, rule) } };
      },
    });
  },
};
