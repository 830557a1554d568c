import { type Clock, systemClock } from '../../core/index.ts';
import { capabilitiesOf, createRemote, listPeerModels, probeRemote, type RemoteModel, type RemoteOptions } from '../../engines/index.ts';
import type { Upstream, UpstreamHealth } from '../upstream.ts';

export interface UpstreamOptions extends RemoteOptions {
  readonly privacy: Upstream['privacy'];
  /** 1 unless said. */
  readonly weight?: number;
  readonly maxConcurrent?: number | null;
  readonly pricePerMillionTokens?: Upstream['pricePerMillionTokens'];
  readonly clock?: Clock;
}

/** The list of a peer is asked for again after this long (docs/spec/serving.md §8). */
const LIST_MS = 30_000;

/** A configured remote as the gateway sees it. */
export function createUpstream(options: UpstreamOptions): Upstream & Disposable {
  const remote = createRemote(options);
  const clock = options.clock ?? systemClock;
  let listed: readonly RemoteModel[] = [];
  let listedAtMs = Number.NEGATIVE_INFINITY;
  let listing: Promise<void> | null = null;

  const all = (): readonly RemoteModel[] => [...options.models, ...listed.filter(({ name }) => !options.models.some((own) => own.name === name))];

  /** A model that nobody described: it is asked for as it stands, and nothing is known of it. */
  const modelOf = (name: string): RemoteModel =>
    all().find((model) => model.name === name) ?? { name, ownName: name, capabilities: [], contextTokens: null, maxOutputTokens: null };

  async function refresh(signal: AbortSignal): Promise<void> {
    if (options.kind !== 'peer' || clock.monotonic() - listedAtMs < LIST_MS) return;
    listing ??= listPeerModels(remote, signal)
      .then((models) => {
        listed = models;
        listedAtMs = clock.monotonic();
      })
      .finally(() => {
        listing = null;
      });
    await listing;
  }

  return {
    name: options.name,
    kind: options.kind,
    privacy: options.privacy,
    weight: options.weight ?? 1,
    maxConcurrent: options.maxConcurrent ?? null,
    hasKey: options.apiKey?.() !== undefined,
    ...(options.pricePerMillionTokens === undefined ? {} : { pricePerMillionTokens: options.pricePerMillionTokens }),
    models: () => all().map(({ name }) => name),
    ownName: (model) => modelOf(model).ownName,
    refresh,
    targetOf(name) {
      const model = modelOf(name);
      return {
        id: `${options.name}/${model.name}`,
        upstream: options.name,
        capabilities: capabilitiesOf(model.capabilities, model.contextTokens, remote.dialect),
        generationConfig: {},
        vocabularySize: null,
      };
    },
    speaks: (api, path) => remote.speaks(api, path),
    async probe(signal): Promise<UpstreamHealth> {
      // What the list says of capabilities comes with the same probe; without it the last one stands.
      await refresh(signal).catch(() => signal.throwIfAborted());
      return await probeRemote(remote, signal);
    },
    async send(call) {
      const model = all().find(({ ownName }) => ownName === call.model) ?? modelOf(call.model);
      const answer = await remote.send(call, model);
      const source = { model: `${options.name}/${model.name}`, hash: null, upstream: options.name, version: null, device: null };
      return Object.assign(answer, { source });
    },
    [Symbol.dispose]: () => remote[Symbol.dispose](),
  };
}
