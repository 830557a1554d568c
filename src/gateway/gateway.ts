import { createHash } from 'node:crypto';
import type { GenerateRequest, ResidentModel } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import type { EngineSession, SessionStats } from '../engines/index.ts';
import { type Answer, type AnswerCall, type Requester, type Target, untilCommit } from './answer.ts';
import { factsOf } from './companions.ts';
import { ADAPTER_NAME } from './dialects/openai/adapter.ts';
import { type GatewayOptions, type GatewaySettings, withDefaults } from './gateway-options.ts';
import { type Generation, startGeneration } from './generation.ts';
import { listWithAdapters } from './list-with-adapters.ts';
import { createMemoryGuard } from './memory/memory-guard.ts';
import { projectedTokens } from './memory/projected-tokens.ts';
import { type ListedModel, modelKey, type ResolvedModel } from './model-source.ts';
import { createOpenRequests } from './open-requests.ts';
import { reachableCapabilities } from './reachable-capabilities.ts';
import { checkReconfiguration, type Reconfiguration, reconfigure } from './reconfigure.ts';
import { engineOptionsOf, type Resident, type ResidentPlan } from './resident.ts';
import { createRouting, type Routing } from './routing/create-routing.ts';
import { createRunLoop, type Lease } from './run-loop.ts';
import type { MemoryState, QueueRow } from './run-loop-types.ts';
import { vocabularySize } from './vocabulary-size.ts';

export interface Gateway extends AsyncDisposable {
  readonly sampling: GatewaySettings['sampling'];
  /** A name of the API; never a path. Throws model_not_found, ambiguous_match. */
  resolve(name: string, signal: AbortSignal): Promise<ResolvedModel>;
  /** A workspace by absolute path; afterwards its id is a name too. For callers on the socket or in process. */
  resolvePath(path: string, signal: AbortSignal): Promise<ResolvedModel>;
  /** What can be asked of the model; loads nothing. */
  target(model: ResolvedModel): Promise<Target>;
  /** What can be asked of the first target that a name of the API leads to, here or at an upstream. */
  targetOf(name: string, signal: AbortSignal): Promise<Target>;
  /** Names, upstreams and attempts. */
  readonly routing: Routing;
  /** Settles at the first content of a stream, or when the answer is complete. Throws what came before. */
  answer(call: AnswerCall): Promise<Answer>;
  /** Tokenising and the like, on a loaded model. */
  withSession<T>(model: ResolvedModel, signal: AbortSignal, use: (session: EngineSession, contextTokens: number) => Promise<T>): Promise<T>;
  /** Of a name with an adapter: the adapter too. */
  load(model: ResolvedModel, plan: ResidentPlan, signal: AbortSignal): Promise<ResidentModel>;
  /** Of a name with an adapter: the adapter alone, once the answers that use it have ended. */
  unload(model: ResolvedModel, force: boolean): Promise<boolean>;
  /** A pinned model is neither unloaded by time nor to make room. It takes effect with its next load where it is not loaded. */
  pin(model: ResolvedModel, pinned: boolean): Promise<void>;
  /** Ends a running or waiting request; false when there is none of that id, or it is not one of this requester. */
  cancel(requestId: string, by?: string): boolean;
  /** Closes the reasoning part of a request that is answered here, so that its answer follows; false when none is open. */
  endReasoning(requestId: string): Promise<boolean>;
  list(signal: AbortSignal): Promise<readonly ListedModel[]>;
  snapshot(): { readonly seq: number; readonly models: readonly ResidentModel[] };
  /** State of one model; undefined before its first use. */
  stateOf(model: ResolvedModel): ResidentModel | undefined;
  stats(model: ResolvedModel): Promise<SessionStats | null>;
  /** The same of a loaded model by its id; null when it is not loaded. */
  statsOf(id: string): Promise<SessionStats | null>;
  memory(): MemoryState;
  /** Requests that wait, model by model. */
  queue(): readonly QueueRow[];
  /** Drops evaluated prefixes, of one model or of all; answers the ids of those that had any. */
  clearCaches(id?: string): Promise<readonly string[]>;
  /** No new requests from now on; running ones go on. */
  drain(): void;
  readonly draining: boolean;
  /** Throws what is wrong with these values; changes nothing. */
  checkReconfiguration(next: Reconfiguration): void;
  /** In force from the next request on; models whose engine options change are drained and loaded again. */
  reconfigure(next: Reconfiguration): Promise<void>;
  /** No new requests; running ones get `drainTimeoutMs`, then every child ends. */
  close(options?: { readonly drainTimeoutMs?: number }): Promise<void>;
}

export function createGateway(options: GatewayOptions): Gateway {
  const settings = withDefaults(options);
  const loop = createRunLoop(settings);
  const byPath = new Map<string, ResolvedModel>();
  const requests = createOpenRequests(() => settings.requestMs);
  const guard = createMemoryGuard({
    budgetBytes: settings.memoryBudgetBytes,
    usedBytes: () => loop.memory().usedBytes ?? loop.memory().chargedBytes,
    waitMs: settings.queueWaitMs,
  });
  let drained = false;
  const stopped = new AbortController();
  let closing: Promise<void> | null = null;
  let drainUntil = Number.POSITIVE_INFINITY;

  /** Settles when the request is admitted: waits for the load and a place. Throws what kept it out. Without `maxTokens`: the default or half the context. */
  async function generate(model: ResolvedModel, request: GenerateRequest, signal: AbortSignal, requester?: Requester): Promise<Generation> {
    const resident = await loop.open(model);
    const arrivedAtMs = settings.clock.monotonic();
    const open = requests.open(request.requestId, requester?.id ?? 'owner', signal);
    try {
      const lease = await loop.acquire(resident, request.choices, open.signal, { owner: requester?.id, priority: requester?.policy.priority });
      const leaveAdapter = await takeAdapter(lease, request, open.signal);
      const freeMemory = await takeMemory(resident, lease, request, open.signal).catch((error: unknown) => {
        leaveAdapter();
        lease.release();
        throw error;
      });
      return startGeneration({
        loaded: lease.loaded,
        request: { ...request, maxTokens: request.maxTokens ?? settings.maxTokens ?? Math.max(1, Math.floor(lease.loaded.report.contextTokens / 2)) },
        arrivedAtMs,
        loadMs: lease.loadMs,
        queueMs: lease.queueMs,
        signal: open.signal,
        onDeath: listenTo(resident.deathListeners),
        onWait(waiting) {
          resident.awaited += waiting ? 1 : -1;
          if (!waiting || resident.awaited === 1) resident.lastProgressAt = settings.clock.monotonic();
        },
        onEnd() {
          open.close();
          freeMemory();
          leaveAdapter();
          lease.release();
        },
        nowMs: () => settings.clock.monotonic(),
      });
    } catch (error) {
      open.close();
      throw error;
    }
  }

  /** Loads the request's adapter, if it names one; answers what ends its use. Where that fails, or nobody waits any more, the place is free again. */
  async function takeAdapter(lease: Lease, { adapter }: GenerateRequest, signal: AbortSignal): Promise<() => void> {
    if (adapter === undefined) return () => {};
    let leave: (() => void) | undefined;
    try {
      leave = await lease.loaded.adapters.take(adapter.name);
      signal.throwIfAborted();
      return leave;
    } catch (error) {
      leave?.();
      lease.release();
      throw error;
    }
  }

  /** An engine whose cache grows while it answers is let in only with room for what this request may need (docs/spec/serving.md §4 item 2). */
  async function takeMemory({ engine, model, plan, companions }: Resident, lease: Lease, request: GenerateRequest, signal: AbortSignal): Promise<() => void> {
    if (engine.growsCache !== true) return () => {};
    const { kvBytesPerToken, kvStepTokens } = engine.estimate(model.facts, engineOptionsOf(settings, { engine, plan, companions }), factsOf(companions));
    return await guard.reserve((await projectedTokens(lease.loaded, request, kvStepTokens)) * kvBytesPerToken, signal);
  }

  async function reload(resident: Resident, plan: ResidentPlan): Promise<void> {
    const { contextTokens, parallelSequences } = resident.plan;
    const moved = plan.engine !== undefined && plan.engine !== resident.engine.id;
    const changed = moved || plan.contextTokens !== contextTokens || plan.parallelSequences !== parallelSequences;
    if (changed && resident.loaded) await loop.unload(resident, false);
  }

  const resolve = async (name: string, signal: AbortSignal): Promise<ResolvedModel> => byPath.get(name) ?? (await settings.models.resolve(name, signal));

  async function targetOf(model: ResolvedModel): Promise<Target & { readonly model: ResolvedModel }> {
    const resident = await loop.open(model);
    const { engine, generationConfig, loaded } = resident;
    const capabilities = loaded?.capabilities ?? engine.capabilities(model.facts, engineOptionsOf(settings, resident));
    return { id: model.id, upstream: engine.id, model, capabilities, generationConfig, vocabularySize: vocabularySize(model.facts.config) };
  }

  async function answerLocal(target: Target & { readonly model: ResolvedModel }, request: GenerateRequest, call: AnswerCall): Promise<Answer> {
    const generation = await generate(target.model, withNamedAdapter(request, target), call.signal, call.requester);
    call.onAdmitted?.();
    const events = await untilCommit(generation.events, call);
    const { source, timings, usage } = generation;
    return { source, attempts: [{ upstream: source.upstream, outcome: 'ok' }], events, timings, usage };
  }

  const routing = createRouting(options.routing ?? {}, {
    local: {
      resolve,
      target: targetOf,
      view(model) {
        const resident = loop.find(modelKey(model));
        const state = resident && loop.describe(resident);
        return { loaded: state?.loadedAt != null, inFlight: state?.inFlight ?? 0, queued: state?.waiting ?? 0 };
      },
      answer: answerLocal,
      open: (requestId, { requester, signal }) => requests.open(requestId, requester?.id ?? 'owner', signal),
    },
    clock: settings.clock,
    logger: settings.logger,
    events: settings.events,
    queueWaitMs: settings.queueWaitMs,
  });

  return {
    routing,
    get sampling() {
      return settings.sampling;
    },
    resolve: async (name, signal) => await resolve(await routing.localName(name, signal), signal),
    target: targetOf,
    targetOf: (name, signal) => routing.firstTarget(name, signal),

    async answer(call) {
      if (closing !== null || drained) throw new HearthError('draining', 'The server is stopping; it takes no new requests.');
      return await routing.answer(call);
    },

    async resolvePath(path, signal) {
      const found = await settings.models.resolvePath(path, signal);
      const named = byPath.get(found.id) ?? (await settings.models.resolve(found.id, signal).catch(() => null));
      // A part of a name leads to a model too; only the whole name is taken.
      const taken = named?.id === found.id && modelKey(named) !== modelKey(found);
      const model = taken ? { ...found, id: `${found.id}-${shortDigest(modelKey(found))}` } : found;
      byPath.set(model.id, model);
      return model;
    },

    async withSession(model, signal, use) {
      const lease = await loop.acquire(await loop.open(model), 0, signal);
      try {
        return await use(lease.loaded.session, lease.loaded.report.contextTokens);
      } finally {
        lease.release();
      }
    },

    async load(model, plan, signal) {
      const known = loop.find(modelKey(model));
      if (known) await reload(known, plan);
      const resident = await loop.open(model, plan);
      const lease = await loop.acquire(resident, 0, signal, { patient: true });
      try {
        if (model.adapter !== undefined) {
          const leave = await lease.loaded.adapters.take(namedAdapter(model.adapter, model, lease.loaded.capabilities));
          leave();
        }
      } finally {
        lease.release();
      }
      return loop.describe(resident);
    },

    async pin(model, pinned) {
      await loop.open(model, { ...(await loop.open(model)).plan, pinned });
    },

    async unload(model, force) {
      const resident = loop.find(modelKey(model));
      if (model.adapter !== undefined) return (await resident?.loaded?.adapters.unload(model.adapter)) ?? false;
      return resident ? await loop.unload(resident, force) : false;
    },

    cancel: (requestId, by) => requests.cancel(requestId, by),

    async endReasoning(requestId) {
      const sessions = loop.snapshot().models.map(({ id }) => loop.byId(id)?.loaded?.session);
      const ended = await Promise.all(sessions.map((session) => session?.endReasoning?.(requestId)));
      return ended.includes(true);
    },

    async list(signal) {
      const loadedOf = (model: ListedModel) => loop.find(modelKey(model))?.loaded;
      const listed = await listWithAdapters(settings, signal, (model) => loadedOf(model)?.adapters.loaded() ?? []);
      return listed.map((model) => ({ ...model, capabilities: reachableCapabilities(settings, model, loadedOf(model)?.capabilities) }));
    },

    snapshot: () => loop.snapshot(),

    stateOf(model) {
      const resident = loop.find(modelKey(model));
      return resident && loop.describe(resident);
    },

    async stats(model) {
      return (await loop.find(modelKey(model))?.loaded?.session.stats()) ?? null;
    },

    async statsOf(id) {
      return (await loop.byId(id)?.loaded?.session.stats()) ?? null;
    },

    memory: () => loop.memory(),
    queue: () => loop.queue(),

    async clearCaches(id) {
      const resident = id === undefined ? undefined : loop.byId(id);
      return id !== undefined && resident === undefined ? [] : await loop.clearCaches('admin', resident);
    },

    drain() {
      drained = true;
      loop.drain();
    },

    checkReconfiguration: (next) => checkReconfiguration(settings, loop, next),
    reconfigure: (next) => reconfigure(settings, loop, next, stopped.signal),

    get draining() {
      return drained || closing !== null;
    },

    close(close = {}) {
      // A second call may shorten the time of the first one.
      drainUntil = Math.min(drainUntil, performance.now() + (close.drainTimeoutMs ?? settings.drainTimeoutMs));
      closing ??= (async () => {
        loop.drain();
        stopped.abort(new HearthError('draining', 'The server is stopping.'));
        while (loop.running() + routing.running() > 0 && performance.now() < drainUntil) await new Promise((resolve) => setTimeout(resolve, 20));
        requests.endAll(new HearthError('draining', 'The server stopped before the answer was complete.'));
        routing.close();
        await loop.stopAll();
      })();
      return closing;
    },

    async [Symbol.asyncDispose]() {
      await this.close({ drainTimeoutMs: 0 });
    },
  };
}

/** `<base>+<adapter>` as the name of a model stands for the field `adapter`, in every dialect (docs/spec/agents-training.md §6.2). */
function withNamedAdapter(request: GenerateRequest, { model, capabilities }: Target & { readonly model: ResolvedModel }): GenerateRequest {
  if (model.adapter === undefined) return request;
  const name = namedAdapter(model.adapter, model, capabilities);
  if (request.adapter !== undefined && request.adapter.name !== name)
    throw new HearthError('adapter_conflict', `The name of the model asks for the adapter ${name}, and the field adapter for ${request.adapter.name}.`, {
      details: { param: 'adapter' },
    });
  return { ...request, adapter: { name, scale: request.adapter?.scale ?? 1 } };
}

function namedAdapter(name: string, { id }: ResolvedModel, { adaptersPerRequest }: Target['capabilities']): string {
  if (!ADAPTER_NAME.test(name)) throw new HearthError('invalid_value', `${JSON.stringify(name)} is no name of an adapter.`, { details: { param: 'model' } });
  if (!adaptersPerRequest) throw new HearthError('unsupported_parameter', `The engine of ${id} takes no adapters.`, { details: { param: 'model' } });
  return name;
}

/** Tells two directories of one name apart, the same way each time. */
const shortDigest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);

const listenTo =
  (listeners: Set<(reason: string) => void>) =>
  (listener: (reason: string) => void): (() => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
