import { HearthError } from '../core/index.ts';
import { chooseEngineFor, type Engine, type Feature } from '../engines/index.ts';
import type { ResolvedModel } from './model-source.ts';

/**
 * The engine that runs the model: as text, or where it gives none, as vectors; `wanted` is an engine that the caller names.
 * Throws capability_mismatch with the reason, invalid_value for an engine that is not here.
 */
export function chooseEngine(engines: readonly Engine[], model: ResolvedModel, wanted: string | null = null): Engine {
  if (wanted !== null && !engines.some(({ id }) => id === wanted))
    throw new HearthError('invalid_value', `There is no engine ${wanted} here; there is ${engines.map(({ id }) => id).join(', ')}.`, {
      details: { param: 'engine' },
    });
  // Engines are handed over only where they are installed.
  const candidates = engines.map((engine) => ({ id: engine.id, available: true, verdicts: engine.canRun(model.facts) }));
  const platform = { os: process.platform, arch: process.arch };
  const ask = (needs: Feature) => chooseEngineFor({ candidates, platform, facts: model.facts, needs: [needs], wanted });
  const text = ask('text');
  // What gives no text gives vectors, or takes media.
  const others = (['embeddings', 'vision', 'audio'] as const).map(ask);
  const engineId = text.engine ?? others.find((choice) => choice.engine !== null)?.engine;
  const engine = engines.find(({ id }) => id === engineId);
  if (engine !== undefined) return engine;
  throw new HearthError('capability_mismatch', `No engine here can run ${model.id}: ${text.reason}.`, { details: { param: 'model' } });
}
