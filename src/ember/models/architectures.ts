import { HearthError } from '../../core/index.ts';
import { refuseUnknownKeys } from './config-keys.ts';
import { gemma2 } from './gemma2.ts';
import { gemma3, gemma3Text } from './gemma3-text.ts';
import { llama } from './llama.ts';
import { mistral } from './mistral.ts';
import { mixtral } from './mixtral.ts';
import type { Architecture, ModelConfig, ModelGraph } from './model-graph.ts';
import { phi3 } from './phi3.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';
import { qwen3Moe } from './qwen3-moe.ts';

const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map(
  [gemma2, gemma3, gemma3Text, llama, mistral, mixtral, phi3, qwen2, qwen3, qwen3Moe].map((a) => [a.modelType, a]),
);

/** `model_type` values that ember runs. */
export const supportedModelTypes = (): readonly string[] => [...ARCHITECTURES.keys()];

/** The graph of a config, or `model_load_failed` naming what is not supported. Pure: judges a model before a load. */
export function modelGraph(config: ModelConfig): ModelGraph {
  const type = config['model_type'];
  const architecture = typeof type === 'string' ? ARCHITECTURES.get(type) : undefined;
  if (!architecture) throw new HearthError('model_load_failed', `model_type '${String(type)}' not supported by any installed engine`, { details: { type } });
  refuseUnknownKeys(architecture, config);
  return architecture.graph(config);
}
