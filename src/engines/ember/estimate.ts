import type { ModelFacts } from '../../core/index.ts';
import type { MemoryEstimate } from '../port.ts';
import { DEFAULTS, type EmberEngineOptions } from './worker/options.ts';

const MIB = 1024 * 1024;

/** Memory of a load (docs/spec/engines.md §6). Pure: config, file sizes and the number of ranks. */
export function estimateMemory(facts: ModelFacts, options: EmberEngineOptions, ranks: number): MemoryEstimate {
  const shape = shapeOf(facts.config);
  const contextTokens = options.contextTokens ?? DEFAULTS.contextTokens;
  const batchTokens = options.batchTokens ?? DEFAULTS.batchTokens;
  // BF16 keys and values of all layers.
  const kvBytesPerToken = 2 * shape.layers * shape.kvHeads * shape.headDim * 2;
  return {
    weightsBytes: Math.ceil(facts.weightBytes * quantisedShare(facts, options) * 1.02),
    kvBytesPerToken,
    // A key-value head that the query heads of two ranks read is held by both.
    kvPoolBytes: Math.ceil((contextTokens * kvBytesPerToken * heldKvHeads(shape, ranks)) / shape.kvHeads),
    computeBytes: Math.ceil(batchTokens * (shape.vocabulary / ranks + 8 * shape.hidden) * 4),
    processBytes: 90 * MIB,
  };
}

/** How much of plain weights is left when they are quantised before the load: codes, and 16 or 32 bits of scale and bias for 64 numbers. */
function quantisedShare({ framework, config }: ModelFacts, { quantize }: EmberEngineOptions): number {
  if (quantize === undefined || framework === 'GGUF' || config['quantization'] !== undefined || config['quantization_config'] !== undefined) return 1;
  const bits = (config['torch_dtype'] ?? config['dtype']) === 'float32' ? 32 : 16;
  return quantize / bits + 1 / 32;
}

/** Key-value heads over all ranks, query heads being split as evenly as a quantisation group of 64 allows. */
function heldKvHeads({ heads, kvHeads, headDim }: { heads: number; kvHeads: number; headDim: number }, ranks: number): number {
  const unit = Math.max(1, Math.ceil(64 / headDim));
  const units = Math.ceil(heads / unit);
  const border = (rank: number): number => Math.min(heads, Math.ceil((units * rank) / ranks) * unit);
  const perKv = heads / kvHeads;
  let held = 0;
  for (let rank = 0; rank < ranks; rank++) {
    const [first, end] = [border(rank), border(rank + 1)];
    if (end > first) held += Math.floor((end - 1) / perKv) - Math.floor(first / perKv) + 1;
  }
  return held;
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
    heads,
    layers: number('num_hidden_layers', 32),
    kvHeads: number('num_key_value_heads', heads),
    headDim: number('head_dim', Math.ceil(hidden / heads)),
    vocabulary: number('vocab_size', 128_256),
    contextTokens: number('max_position_embeddings', DEFAULTS.contextTokens),
  };
}
