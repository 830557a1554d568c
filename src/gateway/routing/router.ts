import { setTimeout as sleep } from 'node:timers/promises';
import type { GenerateRequest } from '../../contract/index.ts';
import { type Clock, type EventSink, HearthError, isHearthError, type Logger } from '../../core/index.ts';
import type { Answer, AnswerCall, Attempt, Target } from '../answer.ts';
import type { ResolvedModel } from '../model-source.ts';
import type { Upstream, UpstreamTimeouts } from '../upstream.ts';
import { affinityKey } from './affinity-key.ts';
import { answerOf } from './answer-of.ts';
import { asItCame, type Budgets, type CloudSettings } from './budgets.ts';
import { balanced, type Candidate, candidatesOf, exclusion, type LocalTarget, type LocalView, type Turns } from './candidates.ts';
import { classify, type Failure, isUnfit } from './classify.ts';
import { ATTEMPT_RULES, type AttemptRules, backoffMs, decideAttempt, type PastAttempt } from './decide-attempt.ts';
import { failureOf } from './failure-of.ts';
import { type NameTable, planOf, type RoutePlan } from './names.ts';
import type { UpstreamStates } from './upstream-states.ts';

/** What can change while requests run: the next one sees it. */
export interface RoutingSettings extends NameTable {
  readonly cloud: CloudSettings;
  readonly maxAttempts: number;
  readonly spillAtQueueDepth: number;
  readonly timeouts: Partial<UpstreamTimeouts>;
}

/** The models of this machine, as the router asks them. */
export interface LocalDoor {
  resolve(name: string, signal: AbortSignal): Promise<ResolvedModel>;
  target(model: ResolvedModel): Promise<LocalTarget>;
  view(model: ResolvedModel): LocalView;
  /** One answer at its commit point, without another try. */
  answer(target: LocalTarget, request: GenerateRequest, call: AnswerCall): Promise<Answer>;
  /** The request can be cancelled by its id from now on, and ends after its longest time. */
  open(requestId: string, call: AnswerCall): { readonly signal: AbortSignal; close(): void };
}

export interface RouterOptions {
  readonly settings: () => RoutingSettings;
  readonly local: LocalDoor;
  readonly states: UpstreamStates;
  readonly budgets: Budgets;
  readonly turns: Turns;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly events: EventSink;
}

export interface Router {
  answer(call: AnswerCall): Promise<Answer>;
  /** Where a name leads; null: to the one local model of that name. */
  plan(name: string, signal: AbortSignal): Promise<RoutePlan | null>;
  /** The target that is asked first when nothing is in the way; for what has to be known of a model before a request is decoded. */
  firstTarget(name: string, signal: AbortSignal): Promise<Target>;
  localName(name: string, signal: AbortSignal): Promise<string>;
  rules(plan: RoutePlan, call: Pick<AnswerCall, 'wishes'>): AttemptRules;
}

/** A name that is no exact id here is not looked up again for this time. */
const ABSENT_MS = 1000;
const NEVER = new AbortController().signal;

export function createRouter(options: RouterOptions): Router {
  const { settings, local, states, budgets, clock, random, events, turns } = options;
  const absent = new Map<string, number>();
  const looks = new Map<string, Promise<boolean>>();

  /** Whether a model of this machine has exactly this id. Requests that come together wait for one look, which none of them can cancel. */
  function isHere(name: string): Promise<boolean> {
    const running = looks.get(name);
    if (running !== undefined) return running;
    const look = local
      .resolve(name, NEVER)
      .then(
        ({ id }) => id === name,
        () => false,
      )
      .finally(() => looks.delete(name));
    looks.set(name, look);
    return look;
  }

  async function plan(name: string, signal: AbortSignal): Promise<RoutePlan | null> {
    const planned = planOf(name, settings());
    if (planned === null || (absent.get(name) ?? Number.NEGATIVE_INFINITY) > clock.monotonic() - ABSENT_MS) return planned;
    // The exact id of a model goes before everything that is configured.
    if (await isHere(name)) return null;
    if (absent.size > 1000) absent.clear();
    absent.set(name, clock.monotonic());
    throwIfGone(signal);
    return planned;
  }

  const rules = (route: RoutePlan, { wishes }: Pick<AnswerCall, 'wishes'>): AttemptRules => {
    const { maxAttempts, spillAtQueueDepth } = settings();
    return { ...ATTEMPT_RULES, maxAttempts, spillAtQueueDepth, fallback: route.fallback && wishes?.noFallback !== true };
  };

  async function targetOf({ named }: Candidate, signal: AbortSignal): Promise<Target> {
    if (named.kind === 'upstream') return named.upstream.targetOf(named.model);
    return await local.target(await local.resolve(named.name, signal));
  }

  /** Tries the targets of a route until one answers. */
  async function attemptAll(route: RoutePlan, call: AnswerCall): Promise<Answer> {
    const candidates = candidatesOf(route);
    const limits = rules(route, call);
    const arrivedAt = clock.monotonic();
    const past: PastAttempt[] = [];
    const attempts: Attempt[] = [];
    const decoded = new Map<string, GenerateRequest>();
    let last: Failure | null = null;
    let admitted = false;
    let opened: ReturnType<LocalDoor['open']> | null = null;
    let signal = call.signal;
    const affinity = () => affinityKey(call.name, [...decoded.values()][0] ?? EMPTY_REQUEST);

    /** The request for this target; null where it cannot be put into the canonical form but goes through as it is. */
    async function prepare(candidate: Candidate): Promise<GenerateRequest | null> {
      candidate.target ??= await targetOf(candidate, signal);
      const passes =
        candidate.named.kind === 'upstream' && call.raw !== undefined && !cappedByKey(call) && candidate.named.upstream.speaks(call.raw.api, call.raw.path);
      let request: GenerateRequest | null;
      try {
        request = call.decode(candidate.target);
        decoded.set(candidate.id, request);
      } catch (error) {
        // Only what the canonical form lacks is left to the upstream; a refusal of this caller stays one.
        if (!passes || !isHearthError(error) || error.row.status !== 400) throw error;
        request = null;
      }
      if (opened === null) {
        opened = local.open(request?.requestId ?? call.requestId ?? '', call);
        signal = opened.signal;
      }
      if (!admitted) await call.admit?.(request ?? asItCame(call), candidate.target);
      admitted = true;
      return request;
    }

    async function attempt(candidate: Candidate, request: GenerateRequest | null, probe: (() => void) | null): Promise<Answer> {
      const { named } = candidate;
      if (named.kind === 'local') {
        // It has a longest time of its own, and can be cancelled by the same id.
        const answer = await local.answer(candidate.target as LocalTarget, request!, call);
        opened?.close();
        return answer;
      }
      return await askUpstream(named.upstream, candidate, request, probe);
    }

    async function askUpstream(upstream: Upstream, candidate: Candidate, request: GenerateRequest | null, probe: (() => void) | null): Promise<Answer> {
      const model = candidate.named.kind === 'upstream' ? candidate.named.model : '';
      const calledAt = clock.monotonic();
      const reservation = await budgets.reserve(
        upstream,
        {
          model,
          requester: call.requester,
          request: request ?? asItCame(call),
        },
        settings().cloud,
      );
      let leave = () => {};
      try {
        leave = await states.of(upstream).slots.take(signal);
        call.onAdmitted?.();
        const sentAt = clock.monotonic();
        const given = await upstream.send({
          model: upstream.ownName(model),
          stream: call.stream,
          timeouts: settings().timeouts,
          signal,
          ...(request === null ? {} : { request }),
          // A limit of the key is in the decoded request only.
          ...(call.raw === undefined || cappedByKey(call) ? {} : { raw: call.raw }),
          ...(call.headers === undefined ? {} : { headers: call.headers }),
          ...(call.hops === undefined ? {} : { hops: call.hops }),
          ...(call.onProgress === undefined ? {} : { onProgress: call.onProgress }),
        });
        states.record(candidate.id, true, probe !== null);
        states.of(upstream).misconfigured = null;
        return answerOf(given, {
          attempts: [],
          arrivedAt: calledAt,
          sentAt,
          nowMs: () => clock.monotonic(),
          signal,
          dropped: request?.remote?.asked.includes('seed') && request.sampling.seed === undefined ? ['seed'] : [],
          onFault: () => states.record(candidate.id, false, false),
          onEnd(usage, complete) {
            leave();
            const costUsd = reservation.settle(usage, { complete, answered: true });
            if (upstream.pricePerMillionTokens !== undefined) events.emit({ kind: 'cost', upstream: upstream.name, usd: costUsd });
            opened?.close();
          },
        });
      } catch (error) {
        leave();
        reservation.settle(null, { complete: false, answered: false });
        throw error;
      }
    }

    /** One event for each attempt, and one for going on to another target. */
    function tell(candidate: Candidate, result: string, begun: number): void {
      const model = candidate.named.kind === 'upstream' ? candidate.named.model : candidate.id;
      events.emit({ kind: 'upstream-attempt', upstream: labelOf(candidate), model, result, durationMs: clock.monotonic() - begun });
      const before = attempts.at(-1);
      const asked = past.at(-1);
      if (before !== undefined && asked?.id !== candidate.id)
        events.emit({ kind: 'fallback', from: before.upstream, to: labelOf(candidate), reason: before.outcome });
    }

    function failed(candidate: Candidate, error: unknown, probe: boolean, begun: number): void {
      const failure = classify(error);
      last = failure;
      const nowMs = clock.now();
      const { named } = candidate;
      const { code } = failure.error;
      tell(candidate, code, begun);
      attempts.push({ upstream: labelOf(candidate), outcome: code, startMs: begun - arrivedAt, endMs: clock.monotonic() - arrivedAt });
      if (named.kind === 'upstream') {
        // A probe that told nothing about the server leaves the breaker as it is: the next request is one.
        if (failure.countsForBreaker) states.record(candidate.id, false, probe);
        if (failure.misconfigured) states.of(named.upstream).misconfigured = failure.error.message;
        if (failure.retryAfterMs !== null) states.cool(named.upstream, failure.retryAfterMs);
      }
      const asked = failure.retryAfterMs === null ? 0 : failure.retryAfterMs * (1 + 0.1 * random());
      past.push({
        id: candidate.id,
        fallback: failure.fallback,
        repeat: failure.repeat,
        notBeforeMs: nowMs + Math.max(asked, backoffMs(past.length + 1, limits, random)),
      });
    }

    try {
      for (;;) {
        const upstreams = candidates.flatMap(({ named }) => (named.kind === 'upstream' ? [named.upstream] : []));
        await states.refresh(
          candidates.map(({ id }) => id),
          upstreams,
        );
        for (const candidate of candidates) candidate.out ??= exclusion(candidate, call, states, settings().cloud);
        await seeLocals(candidates, signal);
        const needsKey = route.balance === 'prefix-affine' && decoded.size === 0 && candidates.filter(({ out }) => out === null).length > 1;
        if (needsKey) await tryPrepare(candidates, prepare);
        const { views, picked } = balanced(candidates, route, turns, affinity, { states, local: local.view, clock });
        const decision = decideAttempt(views, past, clock.now(), limits);
        if (decision.kind === 'give-up') throw failureOf({ decision, candidates, last, attempts, nowMs: clock.now() });
        if (decision.kind === 'wait') {
          await sleep(Math.max(1, decision.untilMs - clock.now()) * (past.length === 0 ? 1 + 0.1 * random() : 1), undefined, { signal, ref: false }).catch(
            () => {},
          );
          throwIfGone(signal);
          continue;
        }
        const candidate = candidates.find(({ id }) => id === decision.id)!;
        let request: GenerateRequest | null;
        try {
          request = await prepare(candidate);
        } catch (error) {
          if (!isUnfit(error) || signal.aborted) throw error;
          candidate.out = { reason: error.code, error };
          continue;
        }
        const halfOpen = candidate.named.kind === 'upstream' && states.breaker(candidate.id).openUntilMs !== 0;
        const probe = halfOpen ? await states.takeProbe(candidate.id) : null;
        if (halfOpen && probe === null) continue;
        picked(candidate.id);
        const begun = clock.monotonic();
        try {
          const answer = await attempt(candidate, request, probe);
          tell(candidate, 'ok', begun);
          const last: Attempt = { upstream: labelOf(candidate), outcome: 'ok', startMs: begun - arrivedAt };
          return Object.assign(answer, { attempts: [...attempts, last] });
        } catch (error) {
          if (
            isHearthError(error) &&
            ['insufficient_quota', 'state_store_unavailable'].includes(error.code) &&
            candidate.named.kind === 'upstream' &&
            !('fallback' in error)
          ) {
            const reason = error.details['reason'];
            candidate.out = { reason: typeof reason === 'string' ? reason : error.code, error };
            continue;
          }
          throwIfGone(signal);
          failed(candidate, error, probe !== null, begun);
        } finally {
          probe?.();
        }
      }
    } catch (error) {
      (opened as ReturnType<LocalDoor['open']> | null)?.close();
      throw error;
    }
  }

  /** Which models of this machine there are, so that their load is known. */
  async function seeLocals(candidates: readonly Candidate[], signal: AbortSignal): Promise<void> {
    for (const candidate of candidates) {
      if (candidate.named.kind !== 'local' || candidate.target !== null || candidate.out !== null) continue;
      try {
        candidate.target = await targetOf(candidate, signal);
      } catch (error) {
        throwIfGone(signal);
        if (!isHearthError(error)) throw error;
        candidate.out = { reason: error.code, error };
      }
    }
  }

  return {
    plan,
    rules,

    async localName(name, signal) {
      const route = await plan(name, signal);
      const first = route?.levels.flat().find(({ kind }) => kind === 'local');
      if (route === null || first?.kind === 'local') return first?.kind === 'local' ? first.name : name;
      throw new HearthError('model_not_found', `${name} is not on this machine, and this cannot be asked of others.`, { details: { param: 'model' } });
    },

    async firstTarget(name, signal) {
      const route = await plan(name, signal);
      if (route === null) return await local.target(await local.resolve(name, signal));
      const candidates = candidatesOf(route);
      await seeLocals(candidates, signal);
      const first = candidates.find(({ out }) => out === null) ?? candidates[0]!;
      if (first.out) throw first.out.error;
      return first.target ?? (await targetOf(first, signal));
    },

    async answer(call) {
      const route = await plan(call.name, call.signal);
      // One model of this machine: nothing to choose, nothing to wait for but itself.
      const only = route === null ? call.name : onlyLocal(route);
      if (only === null) return await attemptAll(route!, call);
      const target = await local.target(await local.resolve(only, call.signal));
      const request = call.decode(target);
      await call.admit?.(request, target);
      return await local.answer(target, request, call);
    },
  };
}

/** Upstream or engine, for headers, events and traces. */
const labelOf = ({ named, target }: Candidate): string => (named.kind === 'upstream' ? named.upstream.name : (target?.upstream ?? named.name));

const onlyLocal = ({ levels }: RoutePlan): string | null => {
  const [first, ...more] = levels.flat();
  return more.length === 0 && first?.kind === 'local' ? first.name : null;
};

/** Prefixes are compared by the first target that the request fits; which one is asked is decided afterwards. */
async function tryPrepare(candidates: readonly Candidate[], prepare: (candidate: Candidate) => Promise<unknown>): Promise<void> {
  for (const candidate of candidates) {
    if (candidate.out !== null) continue;
    try {
      await prepare(candidate);
      return;
    } catch (error) {
      if (!isUnfit(error)) throw error;
      candidate.out = { reason: error.code, error };
    }
  }
}

const cappedByKey = ({ requester }: AnswerCall): boolean => (requester?.policy.maxTokens ?? null) !== null;

const EMPTY_REQUEST = { requestId: '', stop: [], choices: 1 } as unknown as GenerateRequest;

function throwIfGone(signal: AbortSignal): void {
  if (!signal.aborted) return;
  throw isHearthError(signal.reason) ? signal.reason : new HearthError('client_closed_request', 'The client went away.');
}
