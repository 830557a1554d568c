import { type Clock, HearthError } from '../../core/index.ts';
import type { AnswerCall, Target } from '../answer.ts';
import type { ResolvedModel } from '../model-source.ts';
import { byAffinity, byBusyness, byWeight, type Credits, type Ordered } from './balance.ts';
import { phaseOf } from './breaker.ts';
import type { CloudSettings } from './budgets.ts';
import type { TargetView } from './decide-attempt.ts';
import { idOf, type NamedTarget, type RoutePlan } from './names.ts';
import type { UpstreamStates } from './upstream-states.ts';

/** What the router needs to know of a model that runs here. */
export interface LocalView {
  readonly loaded: boolean;
  readonly inFlight: number;
  readonly queued: number;
}

export type LocalTarget = Target & { readonly model: ResolvedModel };

/** One target of one request. */
export interface Candidate {
  readonly id: string;
  readonly level: number;
  readonly named: NamedTarget;
  /** Why this request does not go there: a word for the log, and the error where it is the only target. */
  out: { readonly reason: string; readonly error: HearthError } | null;
  target: Target | null;
}

export const candidatesOf = (plan: RoutePlan): Candidate[] => {
  const seen = new Set<string>();
  return plan.levels.flatMap((level, index) =>
    level.flatMap((named) => {
      const id = idOf(named);
      // A target that is named twice is one: its first level counts.
      if (seen.has(id)) return [];
      seen.add(id);
      return [{ id, level: index, named, out: null, target: null }];
    }),
  );
};

const none = (reason: string, message: string): Candidate['out'] => ({
  reason,
  error: new HearthError('no_tier_available', message, { details: { reason, noRetry: true } }),
});

/** What keeps a request from an upstream before anything is asked (docs/spec/serving.md §6.1): drained, private, or a cloud that may not be used. */
export function exclusion(
  { named }: Candidate,
  call: Pick<AnswerCall, 'requester' | 'wishes'>,
  states: UpstreamStates,
  cloud: CloudSettings,
): Candidate['out'] {
  if (named.kind === 'local') return null;
  const { upstream } = named;
  const { name, privacy } = upstream;
  const localOnly = call.wishes?.localOnly === true || call.requester?.policy.privacy === 'local-only';
  if (localOnly && privacy !== 'local') return none('privacy', `This request may not leave the machine, and ${name} is elsewhere.`);
  if (states.of(upstream).draining) return none('draining', `${name} was told to take no new requests.`);
  if (privacy !== 'cloud') return null;
  if (!cloud.enabled) return none('cloud_off', `${name} is a cloud, and \`cloud.enabled\` is off.`);
  if (upstream.hasKey === false) return none('no_key', `${name} is a cloud and has no key.`);
  if (upstream.pricePerMillionTokens === undefined) return none('no_price', `${name} is a cloud whose price nobody told: set its pricePerMillionTokens.`);
  return null;
}

/** Besides what a decision sees, what the balance looks at. */
export interface CandidateView extends TargetView {
  readonly inFlight: number;
  readonly weight: number;
}

export interface ViewSources {
  readonly states: UpstreamStates;
  readonly local: (model: ResolvedModel) => LocalView;
  readonly clock: Clock;
}

export function viewOf(candidate: Candidate, { states, local }: ViewSources): CandidateView {
  const { id, level, named, out, target } = candidate;
  const base = { id, level, out: out?.reason ?? null, doubtful: false, openUntilMs: 0, probing: false, coolUntilMs: 0 };
  if (named.kind === 'local') {
    const view = target?.model ? local(target.model) : { loaded: false, inFlight: 0, queued: 0 };
    return { ...base, warm: view.loaded, queued: view.queued, inFlight: view.inFlight, weight: 1 };
  }
  const state = states.of(named.upstream);
  const health = state.health?.state;
  return {
    ...base,
    warm: health !== 'starting',
    doubtful: state.misconfigured !== null || health === 'dead' || health === 'draining',
    queued: state.slots.queued + (state.health?.waiting ?? 0),
    inFlight: state.slots.inFlight,
    weight: named.upstream.weight,
    openUntilMs: states.breaker(id).openUntilMs,
    probing: states.probing(id),
    coolUntilMs: states.coolUntilMs(named.upstream),
  };
}

/** Credits of weighted turns, for each level of each route. */
export type Turns = Map<string, Credits>;

/** The views in the order in which a level should be asked; `picked` is told which one was. */
export function balanced(
  candidates: readonly Candidate[],
  plan: RoutePlan,
  turns: Turns,
  affinity: () => string,
  sources: ViewSources,
): { readonly views: readonly CandidateView[]; picked(id: string): void } {
  const nowMs = sources.clock.now();
  const levels = Map.groupBy(
    candidates.map((candidate) => viewOf(candidate, sources)),
    ({ level }) => level,
  );
  const ordered: Ordered[] = [];
  const views = [...levels].flatMap(([level, members]) => {
    // Who cannot be asked takes no turn.
    const able = members.filter(
      (view) => view.out === null && view.coolUntilMs <= nowMs && phaseOf({ ...NEVER, openUntilMs: view.openUntilMs }, nowMs) !== 'open',
    );
    if (able.length < 2) return members;
    const key = `${plan.route ?? ''}\n${level}`;
    const credits = turns.get(key) ?? new Map<string, number>();
    turns.set(key, credits);
    const order =
      plan.balance === 'weighted' ? byWeight(able, credits) : plan.balance === 'least-busy' ? byBusyness(able, credits) : byAffinity(able, affinity());
    ordered.push(order);
    return [...order.ids.map((id) => able.find((view) => view.id === id)!), ...members.filter((view) => !able.includes(view))];
  });
  return {
    views,
    picked(id) {
      for (const order of ordered) if (order.ids.includes(id)) order.picked(id);
    },
  };
}

const NEVER = { failuresInRow: 0, seconds: [], opened: 0 };
