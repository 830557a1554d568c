import type { ModelFacts } from '../../core/index.ts';
import { estimateMemory as estimateGraph, type MemoryNeed, type MemoryShape } from '../../ember/index.ts';
import { readQuantization } from '../../formats/index.ts';
import type { MemoryEstimate } from '../port.ts';
import { DEFAULTS } from './worker/defaults.ts';
import type { EmberEngineOptions } from './worker/options.ts';
import { type ShapeDefaults, shapeDefaults } from './worker/shape-defaults.ts';

const MIB = 1024 * 1024;
/** Resident beside the model, measured: Node with hearth's code, each compute thread, and each token of the vocabulary (its tokenizer). */
const PROCESS = { base: 66 * MIB, rank: 14 * MIB, token: 1_150 } as const;
/** What reading TypeScript sources adds. */
const SOURCES = import.meta.url.endsWith('.ts') ? { base: 40 * MIB, rank: 9 * MIB } : { base: 0, rank: 0 };

/** Memory of a load (docs/spec/engines.md §6), with that of the draft model beside it. Pure: config, file sizes and the number of ranks. */
export function estimateMemory(facts: ModelFacts, options: EmberEngineOptions, ranks: number, draft?: ModelFacts): MemoryEstimate {
  const own = estimateOne(facts, options, ranks);
  if (draft === undefined) return own;
  const other = estimateOne(draft, { ...options, kvType: undefined, batchTokens: DEFAULTS.draftBatchTokens }, ranks);
  return {
    weightsBytes: own.weightsBytes + other.weightsBytes,
    kvBytesPerToken: own.kvBytesPerToken + other.kvBytesPerToken,
    kvPoolBytes: own.kvPoolBytes + other.kvPoolBytes,
    computeBytes: own.computeBytes + other.computeBytes,
    // Its compute threads; its tokenizer is only compared.
    processBytes: own.processBytes + ranks * (PROCESS.rank + SOURCES.rank),
  };
}

function estimateOne(facts: ModelFacts, options: EmberEngineOptions, ranks: number): MemoryEstimate {
  const defaults = defaultsOf(facts.config);
  const { kvBytesPerToken, kvBytes, computeBytes } = need(facts, {
    ranks,
    contextTokens: options.contextTokens ?? DEFAULTS.contextTokens,
    batchTokens: options.batchTokens ?? defaults.batchTokens,
    sequences: options.parallelSequences ?? DEFAULTS.parallelSequences,
    kvType: options.kvType ?? defaults.kvType,
    group: groupOf(facts.config),
  });
  return {
    weightsBytes: Math.ceil(facts.weightBytes * quantisedShare(facts, options) * 1.02),
    kvBytesPerToken,
    kvPoolBytes: kvBytes,
    computeBytes,
    processBytes: PROCESS.base + SOURCES.base + ranks * (PROCESS.rank + SOURCES.rank) + PROCESS.token * positive(facts.config['vocab_size'], 128_256),
  };
}

function defaultsOf(config: ModelFacts['config']): ShapeDefaults {
  try {
    return shapeDefaults(config);
  } catch {
    return DEFAULTS;
  }
}

function groupOf(config: ModelFacts['config']): number {
  try {
    return readQuantization(config)?.fallback?.group ?? 1;
  } catch {
    return 64;
  }
}

/** By the model's graph; where its config gives none (a GGUF header before its import, an unknown model), by the words that all have. */
function need(facts: ModelFacts, shape: MemoryShape): MemoryNeed {
  try {
    return estimateGraph(facts.config, shape);
  } catch {
    return estimateGraph(plainConfig(facts.config), shape);
  }
}

/** How much of plain weights is left when they are quantised before the load: codes, and 16 or 32 bits of scale and bias for 64 numbers. */
function quantisedShare({ framework, config }: ModelFacts, { quantize }: EmberEngineOptions): number {
  if (quantize === undefined || framework === 'GGUF' || config['quantization'] !== undefined || config['quantization_config'] !== undefined) return 1;
  const bits = (config['torch_dtype'] ?? config['dtype']) === 'float32' ? 32 : 16;
  return quantize / bits + 1 / 32;
}

const positive = (value: unknown, otherwise: number): number => (typeof value === 'number' && value > 0 ? value : otherwise);

/** A llama of the same sizes; sizes that are typical for small models where one is missing. */
function plainConfig(config: ModelFacts['config']): Readonly<Record<string, unknown>> {
  const number = (key: string, otherwise: number): number => positive(config[key], otherwise);
  const hidden = number('hidden_size', 4_096);
  const heads = number('num_attention_heads', 32);
  return {
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: number('intermediate_size', 4 * hidden),
    num_attention_heads: heads,
    num_hidden_layers: number('num_hidden_layers', 32),
    num_key_value_heads: number('num_key_value_heads', heads),
    head_dim: number('head_dim', Math.ceil(hidden / heads)),
    vocab_size: number('vocab_size', 128_256),
    max_position_embeddings: number('max_position_embeddings', DEFAULTS.contextTokens),
    rms_norm_eps: 1e-5,
  };
}
