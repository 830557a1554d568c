import { type Clock, HearthError, type Logger, uuidv7 } from '../../core/index.ts';
import type { StateStore } from '../state-store.ts';
import type { Upstream, UpstreamHealth } from '../upstream.ts';
import { type BreakerState, CLOSED, observe, phaseOf } from './breaker.ts';
import type { SharedCells } from './shared-cells.ts';
import { createSlots, type Slots } from './slots.ts';

export interface UpstreamState {
  readonly upstream: Upstream;
  readonly slots: Slots;
  /** Set by `drain`: no new requests. */
  draining: boolean;
  /** What it said to 401 or 403: it is asked when nothing else is left. */
  misconfigured: string | null;
  health: UpstreamHealth | null;
}

/** A probe must have an outcome within this time, else the next request is one. */
const PROBE_LEASE_MS = 120_000;
const SHARED_MS = 3_600_000;
/** Clients name the models of an upstream, and a loose one answers to every name: of more than these, the one that was quiet for longest is forgotten. */
const MAX_BREAKERS = 1_000;

/** What is known of all upstreams between requests: places, breakers, cool-downs, health. */
export interface UpstreamStates {
  of(upstream: Upstream): UpstreamState;
  all(): readonly UpstreamState[];
  breaker(id: string): BreakerState;
  /** Epoch milliseconds before which the upstream wants no call; 0 = none. */
  coolUntilMs(upstream: Upstream): number;
  /** Some other request has the probe of this half-open breaker. */
  probing(id: string): boolean;
  /** Takes the one probe of a half-open breaker; null when another request has it. */
  takeProbe(id: string): Promise<(() => void) | null>;
  record(id: string, ok: boolean, probe: boolean): void;
  cool(upstream: Upstream, ms: number): void;
  /** Closes its breakers and forgets cool-down and misconfiguration. */
  reset(upstream: Upstream): void;
  refresh(ids: readonly string[], upstreams: readonly Upstream[]): Promise<void>;
  /** Breakers that are not as new, for views and metrics. */
  breakers(upstream: Upstream): readonly { readonly model: string; readonly state: BreakerState }[];
  /** Forgets upstreams that are no longer configured; those of the same name keep what is known. */
  keep(upstreams: readonly Upstream[]): void;
  running(): number;
}

export interface UpstreamStatesOptions {
  readonly clock: Clock;
  readonly cells: SharedCells;
  readonly store: () => StateStore;
  readonly random: () => number;
  readonly queueWaitMs: number;
  readonly logger: Logger;
  readonly onBreaker: (id: string, phase: 'open' | 'closed') => void;
}

export function createUpstreamStates(options: UpstreamStatesOptions): UpstreamStates {
  const { clock, cells, store, random } = options;
  const owner = uuidv7();
  const states = new Map<string, UpstreamState>();
  const breakers = new Map<string, BreakerState>();
  const heldElsewhereUntil = new Map<string, number>();

  function of(upstream: Upstream): UpstreamState {
    const known = states.get(upstream.name);
    if (known?.upstream === upstream) return known;
    const made: UpstreamState = {
      upstream,
      slots: createSlots({
        limit: () => upstream.maxConcurrent,
        waitMs: options.queueWaitMs,
        onTimeout: () => new HearthError('queue_timeout', `No place at ${upstream.name} became free in time.`, { details: { retryAfterS: 5 } }),
      }),
      draining: known?.draining ?? false,
      misconfigured: null,
      health: null,
    };
    states.set(upstream.name, made);
    return made;
  }

  /** The local state, or what another machine found where that is worse. */
  function breaker(id: string): BreakerState {
    const mine = breakers.get(id) ?? CLOSED;
    const told = cells.get<BreakerState>(`breaker:${id}`);
    return told !== null && told.openUntilMs > mine.openUntilMs ? told : mine;
  }

  /** One that is open keeps requests from a server that fails: it goes only where all are. */
  function forgetOne(): void {
    let quietest = breakers.keys().next().value!;
    for (const [id, { openUntilMs }] of breakers) {
      if (openUntilMs !== 0) continue;
      quietest = id;
      break;
    }
    breakers.delete(quietest);
    heldElsewhereUntil.delete(quietest);
  }

  function change(id: string, before: BreakerState, after: BreakerState): void {
    breakers.delete(id);
    breakers.set(id, after);
    if (breakers.size > MAX_BREAKERS) forgetOne();
    if (before.openUntilMs === after.openUntilMs) return;
    cells.set(`breaker:${id}`, after, SHARED_MS);
    const phase = after.openUntilMs === 0 ? 'closed' : 'open';
    options.logger.warning(phase === 'open' ? 'breaker-open' : 'breaker-close', { target: id, ...(phase === 'open' ? { until: after.openUntilMs } : {}) });
    options.onBreaker(id, phase);
  }

  return {
    of,
    all: () => [...states.values()],
    breaker,
    coolUntilMs: ({ name }) => cells.get<number>(`cool:${name}`) ?? 0,
    probing: (id) => phaseOf(breaker(id), clock.now()) === 'half-open' && (heldElsewhereUntil.get(id) ?? 0) > clock.now(),

    async takeProbe(id) {
      const lease = `probe:${id}`;
      // Each probe is an owner of its own: two requests of one process are two.
      const probe = `${owner}:${uuidv7()}`;
      if (!(await store().acquireLease(lease, probe, PROBE_LEASE_MS))) {
        heldElsewhereUntil.set(id, clock.now() + 1000);
        return null;
      }
      return () =>
        void store()
          .releaseLease(lease, probe)
          .catch(() => {});
    },

    record(id, ok, probe) {
      const before = breaker(id);
      change(id, before, observe(before, ok, { nowMs: clock.now(), random, probe }));
    },

    cool(upstream, ms) {
      cells.set(`cool:${upstream.name}`, clock.now() + ms, ms);
    },

    reset(upstream) {
      for (const id of [...breakers.keys()]) if (id.startsWith(`${upstream.name}/`)) change(id, breaker(id), CLOSED);
      cells.set(`cool:${upstream.name}`, 0, 1);
      of(upstream).misconfigured = null;
    },

    async refresh(ids, upstreams) {
      if (store().shared) await cells.refresh([...ids.map((id) => `breaker:${id}`), ...upstreams.map(({ name }) => `cool:${name}`)]);
    },

    breakers: ({ name }) =>
      [...breakers.keys()].filter((id) => id.startsWith(`${name}/`)).map((id) => ({ model: id.slice(name.length + 1), state: breaker(id) })),

    keep(upstreams) {
      const names = new Set(upstreams.map(({ name }) => name));
      for (const name of states.keys()) if (!names.has(name)) states.delete(name);
      for (const upstream of upstreams) of(upstream);
    },

    running: () => [...states.values()].reduce((sum, { slots }) => sum + slots.inFlight, 0),
  };
}
