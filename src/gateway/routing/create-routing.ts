import type { Clock, EventSink, Logger } from '../../core/index.ts';
import type { Answer, AnswerCall, Target } from '../answer.ts';
import type { StateStore } from '../state-store.ts';
import type { Upstream } from '../upstream.ts';
import { type BreakerPhase, phaseOf } from './breaker.ts';
import { createBudgets } from './budgets.ts';
import type { Turns } from './candidates.ts';
import { type Explanation, explain } from './explain.ts';
import { type NamedEntry, namedEntries } from './named-entries.ts';
import { createRouter, type LocalDoor, type RoutingSettings } from './router.ts';
import { createSharedCells } from './shared-cells.ts';
import { openSpendLedger, type SpendLedger } from './spend-ledger.ts';
import { createMemoryStateStore } from './state/memory-state-store.ts';
import { createUpstreamStates } from './upstream-states.ts';

export interface RoutingOptions extends Partial<RoutingSettings> {
  /** For breakers: may be a guess of this machine alone. */
  readonly stateStore?: StateStore;
  /** For budgets: never a guess. Absent: as `stateStore`. */
  readonly budgetStore?: StateStore;
  /** Called when money is asked about first; absent: a ledger in memory. It is closed with the gateway. */
  readonly openLedger?: () => SpendLedger;
  /** Upstreams are asked for their health this often; null: never. 30 s. */
  readonly probeIntervalMs?: number | null;
  readonly random?: () => number;
}

export interface RoutingDeps {
  readonly local: LocalDoor;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: EventSink;
  readonly queueWaitMs: number;
}

/** One upstream as the admin routes tell it. */
export interface UpstreamView {
  readonly upstream: Upstream;
  readonly state: 'starting' | 'ready' | 'busy' | 'draining' | 'dead';
  readonly reason: string | null;
  readonly inFlight: number;
  readonly queued: number;
  readonly coolUntilMs: number | null;
  readonly breakers: readonly { readonly model: string; readonly phase: BreakerPhase; readonly openUntilMs: number | null; readonly failuresInRow: number }[];
}

/** Names, upstreams and attempts in front of the models of this machine. */
export interface Routing {
  answer(call: AnswerCall): Promise<Answer>;
  firstTarget(name: string, signal: AbortSignal): Promise<Target>;
  /** The local model that a name means: itself, what an alias stands for, or the first one of a route. Throws model_not_found for a name of upstreams alone. */
  localName(name: string, signal: AbortSignal): Promise<string>;
  explain(call: AnswerCall): Promise<Explanation>;
  /** From the next request on; running ones go on as they began. */
  configure(settings: Partial<RoutingSettings>): void;
  readonly settings: RoutingSettings;
  /** What was spent and set aside. */
  readonly ledger: SpendLedger;
  upstreams(): readonly UpstreamView[];
  /** false: there is none of that name. */
  control(name: string, action: 'drain' | 'resume' | 'reset-breaker'): boolean;
  /** What the configuration adds to the names of this machine's models. */
  named(): readonly NamedEntry[];
  running(): number;
  close(): void;
}

const DEFAULTS: RoutingSettings = {
  upstreams: [],
  routes: {},
  aliases: {},
  cloud: { enabled: false, dailyCapUsd: 1, monthlyCapUsd: 10 },
  maxAttempts: 3,
  spillAtQueueDepth: 8,
  timeouts: {},
};
const PROBE_MS = 30_000;
const PROBE_TIMEOUT_MS = 5_000;

export function createRouting(options: RoutingOptions, { local, clock, logger, events, queueWaitMs }: RoutingDeps): Routing {
  const { stateStore, budgetStore, openLedger = () => openSpendLedger(null), probeIntervalMs = PROBE_MS, random = Math.random, ...given } = options;
  let settings: RoutingSettings = { ...DEFAULTS, ...given };
  const store = stateStore ?? createMemoryStateStore(clock);
  // Opened when money is asked about first: most homes never spend any.
  let opened: SpendLedger | undefined;
  const ledger = (): SpendLedger => {
    opened ??= openLedger();
    return opened;
  };
  const states = createUpstreamStates({
    clock,
    cells: createSharedCells(() => store, clock),
    store: () => store,
    random,
    queueWaitMs,
    logger,
    onBreaker(target, state) {
      const slash = target.indexOf('/');
      events.emit({ kind: 'breaker-change', upstream: target.slice(0, slash), model: target.slice(slash + 1), state });
    },
  });
  const budgets = createBudgets({ ledger, store: () => budgetStore ?? store, clock, logger });
  const turns: Turns = new Map();
  const router = createRouter({ settings: () => settings, local, states, budgets, clock, random, logger, events, turns });
  states.keep(settings.upstreams);

  const closing = new AbortController();
  async function probeAll(): Promise<void> {
    // A cloud that is off hears nothing of us.
    const asked = states.all().filter(({ upstream }) => upstream.privacy !== 'cloud' || settings.cloud.enabled);
    await Promise.all(
      asked.map(async (state) => {
        const health = await state.upstream.probe(AbortSignal.any([closing.signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)])).catch(() => null);
        if (health === null || closing.signal.aborted) return;
        if (health.state !== state.health?.state)
          logger.info('upstream-state', {
            upstream: state.upstream.name,
            state: health.state,
            ...(health.reason === undefined ? {} : { reason: health.reason }),
          });
        state.health = health;
      }),
    );
  }
  const timer = probeIntervalMs === null ? undefined : setInterval(() => void probeAll(), probeIntervalMs).unref();
  if (probeIntervalMs !== null && settings.upstreams.length > 0) void probeAll();

  return {
    answer: router.answer,
    firstTarget: router.firstTarget,
    localName: router.localName,
    explain: (call) => explain(call, { router, local, states, budgets, settings: () => settings, turns, clock }),
    configure(next) {
      settings = { ...settings, ...next };
      states.keep(settings.upstreams);
      if (probeIntervalMs !== null && (next.upstreams !== undefined || next.cloud !== undefined)) void probeAll();
    },
    get settings() {
      return settings;
    },
    get ledger() {
      return ledger();
    },
    upstreams: () =>
      states.all().map((state) => {
        const { upstream, slots, health } = state;
        const coolUntilMs = states.coolUntilMs(upstream);
        const told = health?.state ?? 'ready';
        return {
          upstream,
          state: state.draining ? 'draining' : told === 'ready' && upstream.maxConcurrent !== null && slots.inFlight >= upstream.maxConcurrent ? 'busy' : told,
          reason: state.draining ? 'told to take no new requests' : (state.misconfigured ?? health?.reason ?? null),
          inFlight: slots.inFlight,
          queued: slots.queued,
          coolUntilMs: coolUntilMs > clock.now() ? coolUntilMs : null,
          breakers: states.breakers(upstream).map(({ model, state: breaker }) => ({
            model,
            phase: phaseOf(breaker, clock.now()),
            openUntilMs: breaker.openUntilMs === 0 ? null : breaker.openUntilMs,
            failuresInRow: breaker.failuresInRow,
          })),
        };
      }),
    control(name, action) {
      const state = states.all().find(({ upstream }) => upstream.name === name);
      if (state === undefined) return false;
      if (action === 'reset-breaker') states.reset(state.upstream);
      else state.draining = action === 'drain';
      return true;
    },
    named: () => namedEntries(settings),
    running: () => states.running(),
    close() {
      closing.abort();
      clearInterval(timer);
      opened?.close();
    },
  };
}
