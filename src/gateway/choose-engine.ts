import { HearthError } from '../core/index.ts';
import { chooseEngineFor, type Engine } from '../engines/index.ts';
import type { ResolvedModel } from './model-source.ts';

/** The engine that runs the model: as text, or where it gives none, as vectors. Throws capability_mismatch with the reason. */
export function chooseEngine(engines: readonly Engine[], model: ResolvedModel): Engine {
  // Engines are handed over only where they are installed.
  const candidates = engines.map((engine) => ({ id: engine.id, available: true, verdicts: engine.canRun(model.facts) }));
  const platform = { os: process.platform, arch: process.arch };
  const ask = (needs: 'text' | 'embeddings') => chooseEngineFor({ candidates, platform, facts: model.facts, needs: [needs], wanted: null });
  const text = ask('text');
  const choice = text.engine === null ? { ...text, engine: ask('embeddings').engine } : text;
  const engine = engines.find(({ id }) => id === choice.engine);
  if (engine !== undefined) return engine;
  throw new HearthError('capability_mismatch', `No engine here can run ${model.id}: ${choice.reason}.`, { details: { param: 'model' } });
}
