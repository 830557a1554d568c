import type { endpoints, ModelItem, ResidentModel } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { ListedModel } from '../../gateway/index.ts';
import type { CallContext, Handler } from '../bind.ts';
import type { Services } from '../services.ts';

/** GET /v1/models: loaded models first, then by name (docs/spec/serving.md §2.5). */
export const listModelsHandler =
  (_services: Services): Handler<typeof endpoints.listModels> =>
  async (_, { signal, gateway }) => {
    const items = (await gateway.list(signal)).map((model) => modelItem(model, gateway.stateOf(model)));
    const order = (item: ModelItem) => (item.hearth.loaded ? 0 : 1);
    items.sort((a, b) => order(a) - order(b) || (a.id < b.id ? -1 : 1));
    return { object: 'list', data: items };
  };

/** GET /v1/models/{id}: an exact id of the list, else what the name leads to. */
export const getModelHandler =
  (_services: Services): Handler<typeof endpoints.getModel> =>
  async ({ params }, { signal, gateway }) => {
    const models = await gateway.list(signal);
    const named = models.find(({ id }) => id === params.id) ?? (await byName(gateway, models, params.id, signal));
    if (!named) throw new HearthError('model_not_found', `There is no model ${params.id} here that can answer.`, { details: { param: 'id' } });
    return modelItem(named, gateway.stateOf(named));
  };

async function byName(gateway: CallContext['gateway'], models: readonly ListedModel[], name: string, signal: AbortSignal): Promise<ListedModel | undefined> {
  const { facts } = await gateway.resolve(name, signal);
  return models.find((model) => model.facts.directory === facts.directory);
}

function modelItem(model: ListedModel, state: ResidentModel | undefined): ModelItem {
  return {
    id: model.id,
    object: 'model',
    created: Math.floor(model.createdAtMs / 1000),
    owned_by: model.id.includes('/') ? model.id.slice(0, model.id.indexOf('/')) : 'local',
    status: state?.state ?? 'unloaded',
    context_length: state?.contextTokens ?? model.contextTokens,
    capabilities: [...model.capabilities],
    aliases: [],
    hearth: {
      engine: state?.engine ?? null,
      format: model.facts.framework,
      quantization: model.quantization,
      size_bytes: model.sizeBytes,
      loaded: loadedPart(state),
      pinned: state?.pinned ?? false,
      adapters: [],
      upstream: null,
      local: true,
    },
  };
}

function loadedPart(state: ResidentModel | undefined): ModelItem['hearth']['loaded'] {
  if (!state?.loadedAt || state.contextTokens === null || state.parallelSequences === null) return null;
  return {
    since: state.loadedAt,
    context_tokens: state.contextTokens,
    parallel_sequences: state.parallelSequences,
    memory_bytes: state.memoryBytes ?? 0,
    in_flight: state.inFlight,
    expires_at: state.expiresAt,
  };
}
