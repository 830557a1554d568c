import { knownAdapters } from '../engines/index.ts';
import { ADAPTER_NAME } from './dialects/openai/adapter.ts';
import type { GatewaySettings } from './gateway-options.ts';
import type { ListedModel } from './model-source.ts';

/** The models that can answer, each with the adapters that are loaded beside it or name it as their base. */
export async function listWithAdapters(
  { models, engines }: Pick<GatewaySettings, 'models' | 'engines'>,
  signal: AbortSignal,
  loadedBeside: (model: ListedModel) => readonly string[],
): Promise<readonly ListedModel[]> {
  const listed = await models.list(signal);
  const directories = new Set(engines.flatMap(({ adaptersDirectory }) => (adaptersDirectory === undefined ? [] : [adaptersDirectory])));
  const known = (await Promise.all([...directories].map(knownAdapters))).flat().filter(({ name }) => ADAPTER_NAME.test(name));
  return listed.map((model) => {
    const own = known.filter(({ baseModel }) => baseModel === model.id);
    return { ...model, adapters: [...new Set([...loadedBeside(model), ...own.map(({ name }) => name)])].sort() };
  });
}
