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
    const bases = (await gateway.list(signal)).map((model) => modelItem(model, gateway.stateOf(model), named));
    const order = (item: ModelItem) => (item.hearth.loaded ? 0 : 1);
    bases.sort((a, b) => order(a) - order(b) || (a.id < b.id ? -1 : 1));
    const items = bases.flatMap((base) => [base, ...base.hearth.adapters.map((name) => adapterItem(base, name))]);
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
    const item = modelItem(named, gateway.stateOf(named), configured);
    const { adapter } = named;
    if (adapter === undefined) return item;
    if (!item.hearth.adapters.includes(adapter))
      throw new HearthError('adapter_not_found', `No adapter ${adapter} says that it was trained on ${item.id}, and none of this name is loaded beside it.`, {
        details: { param: 'id' },
      });
    return adapterItem(item, adapter);
  };

async function byName(gateway: CallContext['gateway'], models: readonly ListedModel[], name: string, signal: AbortSignal): Promise<ListedModel | undefined> {
  const { facts, adapter } = await gateway.resolve(name, signal);
  const base = models.find((model) => model.facts.directory === facts.directory);
  return base && { ...base, ...(adapter === undefined ? {} : { adapter }) };
}

/** A base with one of its adapters, under the name that requests use (docs/spec/agents-training.md §6.2). */
const adapterItem = (base: ModelItem, name: string): ModelItem => ({
  ...base,
  id: `${base.id}+${name}`,
  aliases: [],
  parent: base.id,
  hearth: { ...base.hearth, adapters: [] },
});

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
      adapters: [...(model.adapters ?? [])],
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
