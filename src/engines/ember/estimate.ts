import type { ModelFacts } from '../../core/index.ts';
import type { MemoryEstimate } from '../port.ts';
import { DEFAULTS, type EmberEngineOptions } from './options.ts';

const MIB = 1024 * 1024;

/** Memory of a load (docs/spec/engines.md §6). Pure: config, file sizes and the number of ranks. */
export function estimateMemory(facts: ModelFacts, options: EmberEngineOptions, ranks: number): MemoryEstimate {
  const shape = shapeOf(facts.config);
  const contextTokens = options.contextTokens ?? DEFAULTS.contextTokens;
  const batchTokens = options.batchTokens ?? DEFAULTS.batchTokens;
  // BF16 keys and values of all layers.
  const kvBytesPerToken = 2 * shape.layers * shape.kvHeads * shape.headDim * 2;
  return {
    weightsBytes: Math.ceil(facts.weightBytes * 1.02),
    kvBytesPerToken,
    kvPoolBytes: contextTokens * kvBytesPerToken,
    computeBytes: Math.ceil(batchTokens * (shape.vocabulary / ranks + 8 * shape.hidden) * 4),
    processBytes: 90 * MIB,
  };
}

/** The words of config.json, also for GGUF headers (the store translates them); sizes that are typical for small models where one is missing. */
function shapeOf(config: ModelFacts['config']) {
  const number = (key: string, otherwise: number): number => {
    const value = config[key];
    return typeof value === 'number' && value > 0 ? value : otherwise;
  };
  const hidden = number('hidden_size', 4_096);
  const heads = number('num_attention_heads', 32);
  return {
    hidden,
    layers: number('num_hidden_layers', 32),
    kvHeads: number('num_key_value_heads', heads),
    headDim: number('head_dim', Math.ceil(hidden / heads)),
    vocabulary: number('vocab_size', 128_256),
    contextTokens: number('max_position_embeddings', DEFAULTS.contextTokens),
  };
}
