import { isHearthError } from '../core/index.ts';
import { type Capabilities, templateFeatures } from '../engines/index.ts';
import { chooseEngine } from './choose-engine.ts';
import type { GatewaySettings } from './gateway-options.ts';
import type { ListedModel } from './model-source.ts';

/** What a request may ask of a model: the values of its files, and what its engine adds (docs/spec/serving.md §2.5). `loaded`: what its load has told. */
export function reachableCapabilities(settings: GatewaySettings, model: ListedModel, loaded: Capabilities | undefined): readonly string[] {
  const declared = model.capabilities;
  const able = loaded ?? beforeLoad(settings, model);
  if (able === null) return declared;
  const text = declared.includes('text-generation');
  const added = {
    tools: text && able.tools,
    reasoning: text && able.reasoning,
    json_schema: text && able.jsonSchema,
    rerank: declared.includes('embeddings') && able.rerank,
  };
  return [...declared, ...Object.entries(added).flatMap(([word, has]) => (has && !declared.includes(word) ? [word] : []))];
}

/** null: no engine here can run it. An engine says what it can do for any template; the template itself says what it has. */
function beforeLoad({ engines, defaultEngine, engineOptions }: GatewaySettings, model: ListedModel): Capabilities | null {
  try {
    const engine = chooseEngine(engines, model, defaultEngine);
    const able = engine.capabilities(model.facts, engineOptions[engine.id]);
    const { chatTemplate } = model.facts;
    const { tools, reasoning } = chatTemplate === undefined ? { tools: false, reasoning: false } : templateFeatures(chatTemplate);
    return { ...able, tools: able.tools && tools, reasoning: able.reasoning && reasoning };
  } catch (error) {
    if (isHearthError(error)) return null;
    throw error;
  }
}
