import { type Clock, type HearthError, isHearthError } from '../../core/index.ts';
import type { AnswerCall } from '../answer.ts';
import { affinityKey } from './affinity-key.ts';
import type { Balance } from './balance.ts';
import type { Budgets } from './budgets.ts';
import { balanced, type Candidate, candidatesOf, exclusion, type Turns } from './candidates.ts';
import { decideAttempt } from './decide-attempt.ts';
import type { LocalDoor, Router, RoutingSettings } from './router.ts';
import type { UpstreamStates } from './upstream-states.ts';

/** What would be done with a request, and why; nothing is sent, loaded or set aside. */
export interface Explanation {
  readonly name: string;
  /** null: one target of its own. */
  readonly route: string | null;
  readonly balance: Balance;
  readonly fallback: boolean;
  /** In the order in which they would be asked. */
  readonly targets: readonly ExplainedTarget[];
  /** The target that would be asked now; null: none. */
  readonly chosen: string | null;
  /** `try`, `wait`, or why not: `out`, `open`, `cooling`. */
  readonly decision: string;
}

export interface ExplainedTarget {
  readonly target: string;
  readonly level: number;
  readonly upstream: string | null;
  readonly in: boolean;
  /** Why it is out, or what it is worth: `warm`, `cold`. */
  readonly reason: string;
  readonly message: string | null;
  readonly inFlight: number;
  readonly queued: number;
}

export interface ExplainSources {
  readonly router: Router;
  readonly local: LocalDoor;
  readonly states: UpstreamStates;
  readonly budgets: Budgets;
  readonly settings: () => RoutingSettings;
  readonly turns: Turns;
  readonly clock: Clock;
}

export async function explain(call: AnswerCall, { router, local, states, budgets, settings, turns, clock }: ExplainSources): Promise<Explanation> {
  const found = await router.plan(call.name, call.signal);
  const route = found ?? { route: null, balance: 'prefix-affine' as const, fallback: true, levels: [[{ kind: 'local' as const, name: call.name }]] };
  const candidates = candidatesOf(route);
  await states.refresh(
    candidates.map(({ id }) => id),
    candidates.flatMap(({ named }) => (named.kind === 'upstream' ? [named.upstream] : [])),
  );
  let key = call.name;
  for (const candidate of candidates) {
    candidate.out = exclusion(candidate, call, states, settings().cloud);
    try {
      const { named } = candidate;
      candidate.target = named.kind === 'upstream' ? named.upstream.targetOf(named.model) : await local.target(await local.resolve(named.name, call.signal));
      const request = call.decode(candidate.target);
      if (key === call.name) key = affinityKey(call.name, request);
      const refused =
        named.kind === 'upstream' ? budgets.peek(named.upstream, { model: named.model, requester: call.requester, request }, settings().cloud) : null;
      if (refused) candidate.out ??= { reason: String(refused.details['reason']), error: refused };
    } catch (error) {
      if (!isHearthError(error)) throw error;
      candidate.out ??= { reason: error.code, error };
    }
  }
  const { views } = balanced(candidates, route, turns, () => key, { states, local: local.view, clock });
  const rules = router.rules(route, call);
  const decision = decideAttempt(views, [], clock.now(), rules);
  const order = [...views].sort((a, b) => Number(a.out !== null) - Number(b.out !== null) || a.level - b.level || Number(b.warm) - Number(a.warm));
  return {
    name: call.name,
    route: route.route,
    balance: route.balance,
    fallback: rules.fallback,
    targets: order.map((view) => {
      const candidate = candidates.find(({ id }) => id === view.id)!;
      const { inFlight } = view;
      const waiting = stateReason(view, clock.now(), rules.spillAtQueueDepth);
      return {
        target: view.id,
        level: view.level,
        upstream: upstreamOf(candidate),
        in: view.out === null && waiting === null,
        reason: view.out ?? waiting ?? (view.warm ? 'warm' : 'cold'),
        message: messageOf(candidate.out?.error),
        inFlight,
        queued: view.queued,
      };
    }),
    chosen: decision.kind === 'give-up' ? null : decision.id,
    decision: decision.kind === 'give-up' ? decision.why : decision.kind,
  };
}

const upstreamOf = ({ named, target }: Candidate): string | null => (named.kind === 'upstream' ? named.upstream.name : (target?.upstream ?? null));
const messageOf = (error: HearthError | undefined): string | null => error?.message ?? null;

function stateReason(view: ReturnType<typeof balanced>['views'][number], nowMs: number, spillAtQueueDepth: number): string | null {
  if (view.openUntilMs > nowMs) return 'breaker_open';
  if (view.probing) return 'probing';
  if (view.coolUntilMs > nowMs) return 'cooling';
  return view.queued > spillAtQueueDepth ? 'queue' : null;
}
