import type { endpoints, ModelItem, ResidentModel } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { ListedModel, NamedEntry } from '../../gateway/index.ts';
import type { CallContext, Handler } from '../bind.ts';
import type { Services } from '../services.ts';

/** GET /v1/models: loaded models first, then by name (docs/spec/serving.md §2.5). */
export const listModelsHandler =
  (_services: Services): Handler<typeof endpoints.listModels> =>
  async (_, { signal, gateway }) => {
    const named = gateway.named();
    const items = (await gateway.list(signal)).map((model) => modelItem(model, gateway.stateOf(model), named));
    const order = (item: ModelItem) => (item.hearth.loaded ? 0 : 1);
    items.sort((a, b) => order(a) - order(b) || (a.id < b.id ? -1 : 1));
    // A name of the configuration that a model has too leads to the model.
    const ids = new Set(items.map(({ id }) => id));
    const others = named.filter(({ id }) => !ids.has(id)).map((entry) => namedItem(entry, items));
    return {
      object: 'list',
      data: [...others.filter(({ hearth }) => hearth['kind'] !== 'upstream'), ...items, ...others.filter(({ hearth }) => hearth['kind'] === 'upstream')],
    };
  };

/** GET /v1/models/{id}: an exact id of the list, else what the name leads to. */
export const getModelHandler =
  (_services: Services): Handler<typeof endpoints.getModel> =>
  async ({ params }, { signal, gateway }) => {
    const models = await gateway.list(signal);
    const configured = gateway.named();
    const exact = models.find(({ id }) => id === params.id);
    const entry = configured.find(({ id }) => id === params.id);
    if (!exact && entry) {
      return namedItem(
        entry,
        models.map((model) => modelItem(model, gateway.stateOf(model), configured)),
      );
    }
    const named = exact ?? (await byName(gateway, models, params.id, signal));
    if (!named) throw new HearthError('model_not_found', `There is no model ${params.id} here that can answer.`, { details: { param: 'id' } });
    return modelItem(named, gateway.stateOf(named), configured);
  };

async function byName(gateway: CallContext['gateway'], models: readonly ListedModel[], name: string, signal: AbortSignal): Promise<ListedModel | undefined> {
  const { facts } = await gateway.resolve(name, signal);
  return models.find((model) => model.facts.directory === facts.directory);
}

/** What is known of a route, an alias or a model elsewhere: that of its first target. */
function namedItem({ id, kind, upstream, local, capabilities, targets }: NamedEntry, models: readonly ModelItem[]): ModelItem {
  const first = models.find((model) => model.id === targets[0] || model.id.endsWith(`/${targets[0]}`));
  return {
    id,
    object: 'model',
    created: first?.created ?? 0,
    owned_by: upstream ?? first?.owned_by ?? 'local',
    status: upstream === null ? (first?.status ?? 'unloaded') : 'ready',
    context_length: capabilities === null ? (first?.context_length ?? null) : capabilities.contextTokens || null,
    capabilities: capabilities === null ? (first?.capabilities ?? []) : capabilityWords(capabilities),
    aliases: [],
    hearth: {
      engine: upstream === null ? (first?.hearth.engine ?? null) : 'remote',
      format: upstream === null ? (first?.hearth.format ?? 'Unknown') : 'remote',
      quantization: null,
      size_bytes: first?.hearth.size_bytes ?? 0,
      loaded: null,
      pinned: false,
      adapters: [],
      upstream,
      local,
      kind,
      targets: [...targets],
    },
  };
}

const capabilityWords = ({ tools, images, audio, reasoning, jsonSchema, embeddings, rerank }: NonNullable<NamedEntry['capabilities']>): string[] =>
  Object.entries({ tools, vision: images, audio, reasoning, json_schema: jsonSchema, embeddings, rerank }).flatMap(([word, has]) => (has ? [word] : []));

function modelItem(model: ListedModel, state: ResidentModel | undefined, named: readonly NamedEntry[]): ModelItem {
  return {
    id: model.id,
    object: 'model',
    created: Math.floor(model.createdAtMs / 1000),
    owned_by: model.id.includes('/') ? model.id.slice(0, model.id.indexOf('/')) : 'local',
    status: state?.state ?? 'unloaded',
    context_length: state?.contextTokens ?? model.contextTokens,
    capabilities: [...model.capabilities],
    aliases: named.filter(({ kind, targets }) => kind === 'alias' && targets.length === 1 && targets[0] === model.id).map(({ id }) => id),
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
