import { rmsNorm } from './blocks.ts';
import { flag } from './config-keys.ts';
import { DECODER_KEYS, type DecoderShape, decoder, type LlamaLayer, withAttention } from './decoder.ts';
import type { Architecture } from './model-graph.ts';
import { QWEN_WINDOW_KEYS, qwenWindow } from './qwen2.ts';

/** Qwen 3, dense: llama with norms over the heads of q and k. */
export const qwen3: Architecture = {
  modelType: 'qwen3',
  keys: [...DECODER_KEYS, ...QWEN_WINDOW_KEYS, 'attention_bias'],
  graph(config) {
    const bias = flag(config, 'attention_bias', false);
    const window = qwenWindow(config);
    return decoder(config, {
      theta: 1_000_000,
      maxPositions: 40_960,
      tied: true,
      biases: { qkv: bias, output: bias, mlp: false },
      layer: (layer, i, path, shape) => withAttention(withHeadNorms(layer, path, shape), { window: window(i) }),
    });
  },
};

/** Norms over each head of q and k, before the rotation. */
export const withHeadNorms = (layer: LlamaLayer, path: string, { headDim, epsilon }: DecoderShape, plus: 0 | 1 = 0): LlamaLayer =>
  withAttention(layer, {
    queryNorm: rmsNorm(`${path}.self_attn.q_norm`, headDim, epsilon, plus),
    keyNorm: rmsNorm(`${path}.self_attn.k_norm`, headDim, epsilon, plus),
  });
