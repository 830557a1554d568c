import { HearthError } from '../../core/index.ts';
import { bert } from './bert.ts';
import { cohere2 } from './cohere2.ts';
import { refuseUnknownKeys } from './config-keys.ts';
import { deepseekV3 } from './deepseek-v3.ts';
import { ernie45 } from './ernie4-5.ts';
import { ernie45Moe } from './ernie4-5-moe.ts';
import { gemma2 } from './gemma2.ts';
import { gemma3, gemma3Text } from './gemma3-text.ts';
import { glm4 } from './glm4.ts';
import { gptOss } from './gpt-oss.ts';
import { granite } from './granite.ts';
import { graniteMoe } from './granitemoe.ts';
import { graniteMoeHybrid } from './granitemoehybrid.ts';
import { lfm2 } from './lfm2.ts';
import { lfm2Moe } from './lfm2-moe.ts';
import { llama } from './llama.ts';
import { mamba2 } from './mamba2.ts';
import { ministral3 } from './ministral3.ts';
import { mistral } from './mistral.ts';
import { mistral3 } from './mistral3.ts';
import { mixtral } from './mixtral.ts';
import type { Architecture, ModelConfig, ModelGraph } from './model-graph.ts';
import { nemotronH } from './nemotron-h.ts';
import { olmo2 } from './olmo2.ts';
import { olmo3 } from './olmo3.ts';
import { olmoe } from './olmoe.ts';
import { phi3 } from './phi3.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';
import { qwen35, qwen35Moe } from './qwen3-5.ts';
import { qwen3Moe } from './qwen3-moe.ts';
import { qwen3Next } from './qwen3-next.ts';
import { smollm3 } from './smollm3.ts';

const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map(
  [
    ...[bert, cohere2, deepseekV3, ernie45, ernie45Moe, gemma2, gemma3, gemma3Text, glm4, gptOss, granite, graniteMoe, graniteMoeHybrid, lfm2, lfm2Moe],
    ...[
      llama,
      mamba2,
      ministral3,
      mistral,
      mistral3,
      mixtral,
      nemotronH,
      olmo2,
      olmo3,
      olmoe,
      phi3,
      qwen2,
      qwen3,
      qwen35,
      qwen35Moe,
      qwen3Moe,
      qwen3Next,
      smollm3,
    ],
  ].map((a) => [a.modelType, a]),
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
