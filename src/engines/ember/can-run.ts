import type { FeatureVerdict, ModelFacts } from '../../core/index.ts';
import { modelGraph, runsQuantization, supportedModelTypes } from '../../ember/index.ts';
import { modelTypeOfGguf, readQuantization } from '../../formats/index.ts';
import type { Feature } from '../port.ts';
import type { EmberEngineOptions } from './worker/options.ts';

/** Which features of a model ember can run, judged by its config alone (docs/spec/engines.md §1.1, §2.9). */
export function canRun(facts: ModelFacts, options: EmberEngineOptions = {}): Readonly<Record<Feature, FeatureVerdict>> {
  const reason = refusal(facts);
  const note = reason === null && !isEncoder(facts) ? noteOf(facts, options) : null;
  const text: FeatureVerdict =
    reason === null ? { ok: true, engine: 'ember', reason: null, ...(note === null ? {} : { note }) } : { ok: false, engine: null, reason };
  const not = (what: string): FeatureVerdict => ({ ok: false, engine: null, reason: `ember cannot do ${what}` });
  // A decoder gives vectors too; an encoder gives nothing else.
  const answers = text.ok && isEncoder(facts) ? { ok: false, engine: null, reason: 'an encoder gives vectors, not text' } : text;
  return { text: answers, chat: answers, vision: not('images'), audio: not('audio'), embeddings: text, rerank: text };
}

const isEncoder = ({ framework, architecture, config }: ModelFacts): boolean =>
  framework === 'GGUF' ? architecture === 'bert' : modelGraph(config).head === null;

function refusal(facts: ModelFacts): string | null {
  const type = facts.architecture;
  if (type === null) return 'config.json missing model_type field';
  if (facts.framework === 'Unknown') return 'Incompatible framework: Unknown';
  // A GGUF file's block types and keys are judged by its import.
  if (facts.framework === 'GGUF') {
    const modelType = modelTypeOfGguf(type);
    return modelType !== undefined && supportedModelTypes().includes(modelType) ? null : `model_type '${type}' not supported by any installed engine`;
  }
  try {
    // What the loader itself asks: the graph that the config gives, and whether kernels know its codes.
    modelGraph(facts.config);
    const plan = readQuantization(facts.config);
    const unknown = [plan?.fallback, ...(plan?.modules.values() ?? [])].find((quantization) => quantization && !runsQuantization(quantization));
    return unknown ? `quantisation '${unknown.mode} ${unknown.bits}-bit group ${unknown.group}' not supported by ember yet` : null;
  } catch (error) {
    // A reason stands within a sentence.
    return (error as Error).message.replace(/\.$/, '');
  }
}

function noteOf(facts: ModelFacts, { quantize }: EmberEngineOptions): string | null {
  const isPlain = facts.framework !== 'GGUF' && facts.config['quantization'] === undefined && facts.config['quantization_config'] === undefined;
  return quantize !== undefined && isPlain ? `weights quantised to ${quantize} bits before the load` : null;
}
