import { HearthError } from '../core/index.ts';
import type { Engine } from '../engines/index.ts';
import type { ResolvedModel } from './model-source.ts';

/** The first engine that can run the model as text; throws capability_mismatch with each engine's reason. */
export function chooseEngine(engines: readonly Engine[], model: ResolvedModel): Engine {
  const reasons: string[] = [];
  for (const engine of engines) {
    const verdicts = engine.canRun(model.facts);
    if (verdicts.chat.ok || verdicts.text.ok) return engine;
    reasons.push(`${engine.id}: ${verdicts.chat.reason ?? verdicts.text.reason ?? 'no reason given'}`);
  }
  throw new HearthError('capability_mismatch', `No engine here can answer text with ${model.id} (${reasons.join('; ') || 'no engine is installed'}).`, {
    details: { param: 'model' },
  });
}
