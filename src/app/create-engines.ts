import { join } from 'node:path';
import type { Config } from '../config/index.ts';
import type { FeatureVerdict, HelperPool, RuntimeProbe } from '../core/index.ts';
import { createEmberEngine, createMlxEngine, createMlxEnvironments, type Engine, type MlxEnvironments, type MlxEnvironmentsOptions } from '../engines/index.ts';

/** The engines of this installation, preferred first. */
export function createEngines(home: string, environments: MlxEnvironments = mlxEnvironments(home), helpers?: HelperPool): readonly Engine[] {
  const places = { convertedDirectory: join(home, 'converted'), viewDirectory: join(home, 'run', 'engines'), adaptersDirectory: join(home, 'adapters') };
  return [createEmberEngine(places), createMlxEngine({ ...places, environments, ...(helpers === undefined ? {} : { helpers }) })];
}

/** The Python environments of mlx; `more` is what an installation needs. */
export const mlxEnvironments = (home: string, more: Pick<MlxEnvironmentsOptions, 'python' | 'environment'> = {}): MlxEnvironments =>
  createMlxEnvironments({ directory: join(home, 'engines', 'mlx'), ...more });

/** What the configuration says to each engine; null means the engine's own choice. */
export const engineOptionsOf = (config: Config): Readonly<Record<string, Readonly<Record<string, unknown>>>> => ({
  ember: withoutNulls({
    activations: config.engines.ember.activations,
    kvType: config.engines.ember.kvType,
    promptLookup: config.engines.ember.promptLookup,
    draftModel: config.engines.ember.draftModel,
    threads: config.engines.ember.threads,
    quantize: config.engines.ember.quantize,
    residentAdapters: config.adapters.maxResident,
  }),
  mlx: withoutNulls({ residentAdapters: config.adapters.maxResident }),
});

const withoutNulls = (options: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== null));

/** Which features of a model some engine can run: the first engine that can, else the first one's reason. */
export function probeOf(engines: readonly Engine[], engineOptions: Readonly<Record<string, unknown>>): RuntimeProbe {
  return (facts) => {
    const verdicts: Record<string, FeatureVerdict> = {};
    for (const engine of engines.filter((each) => (each.unavailable?.() ?? null) === null))
      for (const [feature, verdict] of Object.entries(engine.canRun(facts, engineOptions[engine.id]))) {
        const known = verdicts[feature];
        if (known === undefined || (verdict.ok && !known.ok)) verdicts[feature] = verdict;
      }
    return verdicts;
  };
}
