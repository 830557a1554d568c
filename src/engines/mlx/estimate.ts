import type { ModelFacts } from '../../core/index.ts';
import type { MemoryEstimate } from '../port.ts';
import { MLX_DEFAULTS, type MlxEngineOptions } from './options.ts';

const MIB = 1024 ** 2;
/** Python, MLX and its buffers: measured on a CPU; with a GPU its driver comes to it. */
const PROCESS_BYTES = { cpu: 84 * MIB, gpu: 0.6 * 1024 * MIB };

/** mlx-lm's caches grow by as much, each sequence of a batch for itself. */
const KV_STEP_TOKENS = 256;

/** Memory of a load (docs/spec/engines.md §6). The cache grows with its use, up to the pool. Pure. */
export function estimateMlxMemory(facts: ModelFacts, options: MlxEngineOptions, device: 'cpu' | 'gpu'): MemoryEstimate {
  const kvBytesPerToken = cellBytes(facts.config);
  return {
    weightsBytes: Math.ceil(facts.weightBytes * 1.05),
    kvBytesPerToken,
    kvStepTokens: KV_STEP_TOKENS,
    kvPoolBytes: kvBytesPerToken * (options.contextTokens ?? MLX_DEFAULTS.contextTokens),
    computeBytes: 0,
    processBytes: Math.ceil(PROCESS_BYTES[device]),
  };
}

/** Keys and values of all layers in 16 bits, of typical sizes where the config names none. */
function cellBytes(config: ModelFacts['config']): number {
  const text = (config['text_config'] ?? config) as Readonly<Record<string, unknown>>;
  const number = (key: string, otherwise: number): number => (typeof text[key] === 'number' && text[key] > 0 ? text[key] : otherwise);
  const hidden = number('hidden_size', 4_096);
  const heads = number('num_attention_heads', 32);
  const latent = number('kv_lora_rank', 0);
  const cell = latent > 0 ? latent + number('qk_rope_head_dim', 64) : 2 * number('num_key_value_heads', heads) * number('head_dim', Math.ceil(hidden / heads));
  return 2 * cell * number('num_hidden_layers', 32);
}
