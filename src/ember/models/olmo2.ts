import { rmsNorm } from './blocks.ts';
import { flag } from './config-keys.ts';
import { DECODER_KEYS, type DecoderShape, type DecoderTraits, decoder, type LlamaLayer, withAttention } from './decoder.ts';
import type { Architecture, Attention, Branch, ModelConfig, ModelGraph } from './model-graph.ts';

/** Where config.json has none. */
export const OLMO = { theta: 10_000, maxPositions: 2048, epsilon: 1e-5 } as const;

/** OLMo 2: norms after the branches instead of before, and norms over the whole of q and k. */
export const olmo2: Architecture = {
  modelType: 'olmo2',
  keys: [...DECODER_KEYS, 'attention_bias', 'mlp_bias'],
  graph: (config) => olmo2Decoder(config, { tied: true, mlpBias: flag(config, 'mlp_bias', false) }),
};

/** `change`: what is different in layer `index`. */
export function olmo2Decoder(
  config: ModelConfig,
  { tied, mlpBias = false, ropes }: Pick<DecoderTraits, 'tied' | 'ropes'> & { readonly mlpBias?: boolean },
  change: (layer: LlamaLayer, index: number) => LlamaLayer = (layer) => layer,
): ModelGraph {
  const bias = flag(config, 'attention_bias', false);
  return decoder(config, {
    ...OLMO,
    tied,
    biases: { qkv: bias, output: bias, mlp: mlpBias },
    ...(ropes === undefined ? {} : { ropes }),
    layer(plain, index, path, shape) {
      const after = <Body>(branch: Branch<Body>, name: string): Branch<Body> => ({
        ...branch,
        norm: null,
        outputNorm: rmsNorm(`${path}.${name}`, shape.hidden, shape.epsilon),
      });
      const layer = change(withAttention(plain, wholeNorms(path, shape)), index);
      return {
        ...layer,
        mixer: after(layer.mixer, 'post_attention_layernorm'),
        feedForward: after(layer.feedForward, 'post_feedforward_layernorm'),
      };
    },
  });
}

/** Norms over the whole of q and k. */
export const wholeNorms = (path: string, { heads, kvHeads, headDim, epsilon }: DecoderShape): Pick<Attention, 'queryNorm' | 'keyNorm'> => ({
  queryNorm: rmsNorm(`${path}.self_attn.q_norm`, heads * headDim, epsilon),
  keyNorm: rmsNorm(`${path}.self_attn.k_norm`, kvHeads * headDim, epsilon),
});
