import { flag } from './config-keys.ts';
import { DECODER_KEYS, type DecoderTraits, decoder } from './decoder.ts';
import type { Architecture, ModelConfig, ModelGraph } from './model-graph.ts';

export const ERNIE_KEYS: readonly string[] = [...DECODER_KEYS, 'use_bias'];

/** ERNIE 4.5, dense: llama whose neighbours are rotated together. */
export const ernie45: Architecture = { modelType: 'ernie4_5', keys: ERNIE_KEYS, graph: (config) => ernieDecoder(config) };

export function ernieDecoder(config: ModelConfig, traits: Pick<DecoderTraits, 'layer'> = {}): ModelGraph {
  const bias = flag(config, 'use_bias', false);
  const biases = { qkv: bias, output: bias, mlp: bias };
  return decoder({ ...config, rope_traditional: true }, { theta: 500_000, maxPositions: 131_072, tied: true, epsilon: 1e-5, biases, ...traits });
}
