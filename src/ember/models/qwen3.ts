import { flag } from './config-keys.ts';
import { DECODER_KEYS, decoder } from './decoder.ts';
import type { Architecture } from './model-graph.ts';
import { QWEN_WINDOW_KEYS, qwenWindow } from './qwen2.ts';

/** Qwen 3, dense: llama with norms over the heads of q and k. */
export const qwen3: Architecture = {
  modelType: 'qwen3',
  keys: [...DECODER_KEYS, ...QWEN_WINDOW_KEYS, 'attention_bias'],
  graph(config) {
    const bias = flag(config, 'attention_bias', false);
    return decoder(config, {
      theta: 1_000_000,
      maxPositions: 40_960,
      tied: true,
      biases: { qkv: bias, output: bias, mlp: false },
      headNorms: true,
      window: qwenWindow(config),
    });
  },
};
