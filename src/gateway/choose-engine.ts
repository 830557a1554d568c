import { HearthError } from '../core/index.ts';
import { chooseEngineFor, type Engine, type Feature } from '../engines/index.ts';
import type { ResolvedModel } from './model-source.ts';

/**
 * The engine that runs the model: as text, or where it gives none, as vectors; `wanted` is an engine that the caller names.
 * Throws capability_mismatch with the reason, invalid_value for an engine that is not here, dependency_missing for one that is not installed.
 */
export function chooseEngine(engines: readonly Engine[], model: ResolvedModel, wanted: string | null = null): Engine {
  if (wanted !== null && !engines.some(({ id }) => id === wanted))
    throw new HearthError('invalid_value', `There is no engine ${wanted} here; there is ${engines.map(({ id }) => id).join(', ')}.`, {
      details: { param: 'engine' },
    });
  const candidates = engines.map((engine) => {
    const reason = engine.unavailable?.() ?? null;
    return { id: engine.id, available: reason === null, ...(reason === null ? {} : { unavailableReason: reason }), verdicts: engine.canRun(model.facts) };
  });
  const missing = candidates.find(({ id, available }) => id === wanted && !available)?.unavailableReason;
  if (missing !== undefined) throw new HearthError('dependency_missing', `${model.id} cannot be loaded: ${missing}.`, { details: { param: 'engine' } });
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
