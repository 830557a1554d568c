import type { FeatureVerdict, ModelFacts } from '../../core/index.ts';
import { modelTypeOfGguf } from '../../formats/index.ts';
import type { Feature } from '../port.ts';
import { MLX_MODEL_TYPES } from './model-types.ts';

/** What its text worker of this version does with a model, judged by the config alone (docs/spec/engines.md §1.1). */
export function canRunOnMlx(facts: ModelFacts): Readonly<Record<Feature, FeatureVerdict>> {
  const reason = refusal(facts);
  const text: FeatureVerdict = reason === null ? { ok: true, engine: 'mlx', reason: null } : { ok: false, engine: null, reason };
  const not = (what: string): FeatureVerdict => ({ ok: false, engine: null, reason: `mlx cannot do ${what} in this version` });
  return { text, chat: text, vision: not('images'), audio: not('audio'), embeddings: not('embeddings'), rerank: not('reranking') };
}

function refusal({ framework, architecture, config }: ModelFacts): string | null {
  if (architecture === null) return 'config.json missing model_type field';
  if (framework === 'Unknown') return 'Incompatible framework: Unknown';
  const type = framework === 'GGUF' ? modelTypeOfGguf(architecture) : architecture;
  if (type === undefined || !MLX_MODEL_TYPES.has(type)) return `model_type '${architecture}' not supported by any installed engine`;
  return config['model_file'] === undefined ? null : 'the model needs code of its own, which is never run';
}
