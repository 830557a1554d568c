/** How attempts of one request are bounded and spaced (docs/spec/serving.md §6.3). Milliseconds. */
export interface AttemptRules {
  /** In all. */
  readonly maxAttempts: number;
  /** Requests that wait for a target: from there on the next level is used. */
  readonly spillAtQueueDepth: number;
  readonly backoffMs: number;
  readonly backoffCapMs: number;
  /** Nothing is waited for longer. */
  readonly longestWaitMs: number;
  /** false: a failed target is not followed by another one. */
  readonly fallback: boolean;
}

export const ATTEMPT_RULES: AttemptRules = {
  maxAttempts: 3,
  spillAtQueueDepth: 8,
  backoffMs: 250,
  backoffCapMs: 8_000,
  longestWaitMs: 10_000,
  fallback: true,
};

/** A target as a decision sees it. Targets are in the order of their balance within a level. */
export interface TargetView {
  readonly id: string;
  readonly level: number;
  /** Why this request may not go there at all; null: it may. */
  readonly out: string | null;
  /** Its model is loaded; such ones come first within a level. */
  readonly warm: boolean;
  /** Its last health probe failed: it is asked when nothing else is left. */
  readonly doubtful: boolean;
  /** Requests that wait for it. */
  readonly queued: number;
  /** The breaker lets nobody through before; 0 = closed. */
  readonly openUntilMs: number;
  /** The breaker waits for the outcome of a probe that another request makes. */
  readonly probing: boolean;
  /** It asked not to be called before (429). */
  readonly coolUntilMs: number;
}

/** An attempt of this request that failed before anything of an answer was out. */
export interface PastAttempt {
  readonly id: string;
  /** Another target may be tried. */
  readonly fallback: boolean;
  /** This target may be tried again; false for one that the request itself may have brought down. */
  readonly repeat: boolean;
  /** Before which the same target is not tried again: back-off, or what the target asked for and some jitter. */
  readonly notBeforeMs: number;
}

export type Decision =
  | { readonly kind: 'try'; readonly id: string }
  /** Nothing else is left: look again then. */
  | { readonly kind: 'wait'; readonly id: string; readonly untilMs: number }
  /** `retryAtMs`: when some target may answer again; null where waiting does not help, or nobody knows. */
  | { readonly kind: 'give-up'; readonly why: GiveUp; readonly retryAtMs: number | null };

/** `final`: the last error allows no other attempt; `attempts`: all are used; `out`: no target may be asked; `open`, `cooling`: none now. */
export type GiveUp = 'final' | 'attempts' | 'out' | 'open' | 'cooling' | 'failed';

/** The next target of one request, a wait, or the end: pure. */
export function decideAttempt(targets: readonly TargetView[], past: readonly PastAttempt[], nowMs: number, rules: AttemptRules): Decision {
  const last = past.at(-1);
  if (last !== undefined && !last.fallback) return { kind: 'give-up', why: 'final', retryAtMs: null };
  if (past.length >= rules.maxAttempts) return { kind: 'give-up', why: 'attempts', retryAtMs: soonest(targets, past, nowMs) };

  const allowed = targets.filter(({ out }) => out === null);
  if (allowed.length === 0) return { kind: 'give-up', why: past.length > 0 ? 'failed' : 'out', retryAtMs: null };
  const tried = new Set(past.map(({ id }) => id));
  const closed = allowed.filter(({ openUntilMs, probing }) => openUntilMs <= nowMs && !probing);
  const fresh = rules.fallback || last === undefined ? closed.filter(({ id, coolUntilMs }) => !tried.has(id) && coolUntilMs <= nowMs) : [];
  const next = firstOf(fresh, rules);
  if (next !== undefined) return { kind: 'try', id: next.id };

  // Only now those that are to be waited for: failed ones again, and those that asked for a pause.
  const others = closed
    .filter(({ id }) => (tried.has(id) ? past.every((attempt) => attempt.id !== id || attempt.repeat) : rules.fallback || last === undefined))
    .map((target) => ({ target, atMs: notBefore(target, past) }))
    .sort((a, b) => a.atMs - b.atMs);
  const [soon] = others;
  if (soon === undefined) {
    const open = allowed.some(({ openUntilMs, probing }) => openUntilMs > nowMs || probing);
    return { kind: 'give-up', why: past.length > 0 ? 'failed' : open ? 'open' : 'out', retryAtMs: soonest(targets, past, nowMs) };
  }
  if (soon.atMs <= nowMs) return { kind: 'try', id: soon.target.id };
  if (soon.atMs - nowMs <= rules.longestWaitMs) return { kind: 'wait', id: soon.target.id, untilMs: soon.atMs };
  return { kind: 'give-up', why: 'cooling', retryAtMs: soon.atMs };
}

/** The first level with a target that is not over its depth, warm ones first; where all are over it, the shortest queue; doubtful ones last. */
function firstOf(fresh: readonly TargetView[], { spillAtQueueDepth }: AttemptRules): TargetView | undefined {
  for (const doubtful of [false, true]) {
    const candidates = fresh.filter((target) => target.doubtful === doubtful);
    const levels = [...new Set(candidates.map(({ level }) => level))].sort((a, b) => a - b);
    for (const level of levels) {
      const here = candidates.filter((target) => target.level === level && target.queued <= spillAtQueueDepth);
      if (here.length > 0) return here.find(({ warm }) => warm) ?? here[0];
    }
    if (candidates.length > 0) return candidates.reduce((best, target) => (target.queued < best.queued ? target : best));
  }
  return undefined;
}

const notBefore = (target: TargetView, past: readonly PastAttempt[]): number =>
  past.reduce((at, attempt) => (attempt.id === target.id ? Math.max(at, attempt.notBeforeMs) : at), target.coolUntilMs);

/** When the first of the allowed targets may be asked again, where one of them says so. */
function soonest(targets: readonly TargetView[], past: readonly PastAttempt[], nowMs: number): number | null {
  const times = targets.filter(({ out }) => out === null).map((target) => Math.max(target.openUntilMs, target.coolUntilMs));
  const told = times.filter((at) => at > nowMs);
  if (told.length === 0 || (past.length > 0 && told.length < times.length)) return null;
  return Math.min(...told);
}

/** Full jitter: anything up to the doubled step, at most the cap. `failures` so far, from 1. */
export const backoffMs = (failures: number, { backoffMs: first, backoffCapMs }: AttemptRules, random: () => number): number =>
  random() * Math.min(backoffCapMs, first * 2 ** Math.max(0, failures - 1));
