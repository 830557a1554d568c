import type { FeatureVerdict, ModelFacts } from '../../core/index.ts';
import { modelGraph, supportedModelTypes } from '../../ember/index.ts';
import type { Feature } from '../port.ts';

const BITS: ReadonlySet<unknown> = new Set([4, 8]);
const GROUPS: ReadonlySet<unknown> = new Set([32, 64, 128]);

/** Which features of a model ember can run, judged by its config alone (docs/spec/engines.md §1.1, §2.9). */
export function canRun(facts: ModelFacts): Readonly<Record<Feature, FeatureVerdict>> {
  const reason = refusal(facts);
  const text: FeatureVerdict = reason === null ? { ok: true, engine: 'ember', reason: null } : { ok: false, engine: null, reason };
  const not = (what: string): FeatureVerdict => ({ ok: false, engine: null, reason: `ember cannot do ${what}` });
  return {
    text,
    chat: text,
    vision: not('images'),
    audio: not('audio'),
    embeddings: { ok: false, engine: null, reason: 'ember cannot do embeddings yet' },
    rerank: { ok: false, engine: null, reason: 'ember cannot do rerank yet' },
  };
}

function refusal(facts: ModelFacts): string | null {
  const type = facts.architecture;
  if (type === null) return 'config.json missing model_type field';
  const unsupported = `model_type '${type}' not supported by any installed engine`;
  if (facts.framework === 'Unknown') return 'Incompatible framework: Unknown';
  if (!supportedModelTypes().includes(type)) return unsupported;
  // A GGUF file's block types and keys are judged by its import.
  if (facts.framework === 'GGUF') return null;
  const quantisation = quantisationRefusal(facts.config);
  if (quantisation !== null) return quantisation;
  try {
    modelGraph(facts.config);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** MLX affine 4 and 8 bits in groups of 32, 64 and 128, for the whole model and for each module that is listed. */
function quantisationRefusal(config: Readonly<Record<string, unknown>>): string | null {
  const block = config['quantization'];
  if (!isObject(block)) {
    const foreign = config['quantization_config'];
    return isObject(foreign) && typeof foreign['quant_method'] === 'string' ? `quantisation '${foreign['quant_method']}' not supported by ember` : null;
  }
  for (const entry of [block, ...Object.values(block).filter(isObject)]) {
    const mode = entry['mode'] ?? 'affine';
    const bits = entry['bits'] ?? 4;
    const group = entry['group_size'] ?? 64;
    if (mode !== 'affine' || !BITS.has(bits) || !GROUPS.has(group)) return `quantisation '${mode} ${bits}-bit group ${group}' not supported by ember yet`;
  }
  return null;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value);
