import { HearthError, isHearthError } from '../core/index.ts';
import type { Engine } from '../engines/index.ts';
import type { GatewaySettings } from './gateway-options.ts';
import { modelKey, type ResolvedModel } from './model-source.ts';

/** Models that are loaded beside another, by the option of its engine that names each. */
export type CompanionModels = Readonly<Record<string, ResolvedModel>>;

/** The companions that an engine's options name for a model: none for itself, and none where it gives no text. Throws model_load_failed naming the option. */
export async function companionsOf(settings: GatewaySettings, engine: Engine, model: ResolvedModel): Promise<CompanionModels> {
  const found: Record<string, ResolvedModel> = {};
  if (!engine.canRun(model.facts).text.ok) return found;
  for (const option of engine.modelOptions ?? []) {
    const name = settings.engineOptions[engine.id]?.[option];
    if (typeof name !== 'string') continue;
    const companion = await resolve(settings, name).catch((error: unknown) => {
      if (!isHearthError(error)) throw error;
      throw new HearthError('model_load_failed', `engines.${engine.id}.${option} names ${name}, which cannot be used: ${error.message}`, { cause: error });
    });
    if (modelKey(companion) !== modelKey(model)) found[option] = companion;
  }
  return found;
}

const resolve = ({ models }: GatewaySettings, name: string): Promise<ResolvedModel> => {
  const signal = new AbortController().signal;
  return /^[./~]/.test(name) ? models.resolvePath(name, signal) : models.resolve(name, signal);
};

/** What the engine's estimate wants of them. */
export const factsOf = (companions: CompanionModels) => Object.fromEntries(Object.entries(companions).map(([option, { facts }]) => [option, facts]));
