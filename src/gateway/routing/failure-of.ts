import { HearthError } from '../../core/index.ts';
import type { Attempt } from '../answer.ts';
import type { Candidate } from './candidates.ts';
import { type Failure, withAttempts } from './classify.ts';
import type { Decision } from './decide-attempt.ts';

export interface Ending {
  readonly decision: Extract<Decision, { kind: 'give-up' }>;
  readonly candidates: readonly Candidate[];
  readonly last: Failure | null;
  readonly attempts: readonly Attempt[];
  readonly nowMs: number;
}

/** The one error of a request that nobody answered: the last attempt's, or why there was none (docs/spec/serving.md §6.4). */
export function failureOf({ decision, candidates, last, attempts, nowMs }: Ending): HearthError {
  const waitMs = last?.retryAfterMs ?? (decision.retryAtMs === null ? null : Math.max(0, decision.retryAtMs - nowMs));
  const retry = waitMs === null ? {} : { retryAfterS: Math.ceil(waitMs / 1000), retryAfterMs: Math.round(waitMs) };
  if (last !== null) return withAttempts(last.error, attempts, waitMs === null && last.error.row.status >= 500 ? { noRetry: true } : retry);

  const [only, ...more] = candidates;
  const reasons = candidates.map(({ id, out }) => ({ target: id, reason: out?.reason ?? (decision.why === 'cooling' ? 'cooling' : 'breaker_open') }));
  if (decision.why === 'cooling')
    return new HearthError('rate_limit_exceeded', `${only!.id} asked not to be called for another ${Math.ceil((waitMs ?? 0) / 1000)} seconds.`, {
      details: retry,
    });
  if (decision.why === 'open' && more.length === 0)
    return new HearthError('breaker_open', `${only!.id} failed too often and is left alone for a while.`, { details: retry });
  const errors = candidates.flatMap(({ out }) => (out ? [out.error] : []));
  // What is wrong with the request itself, or the money, is told as it is.
  if (errors.length === candidates.length) {
    if (more.length === 0) return errors[0]!;
    const telling = errors.every(({ row }) => row.status < 500 && row.status !== 404) ? errors[0] : errors.find(({ code }) => code === 'insufficient_quota');
    if (telling) return telling;
  }
  const list = reasons.map(({ target, reason }) => `${target}: ${reason}`).join(', ');
  const lasting = errors.length === candidates.length && errors.every(({ details }) => details['noRetry'] === true);
  return new HearthError('no_tier_available', `No target can take this request now (${list}).`, {
    details: { targets: reasons, ...(lasting ? { noRetry: true } : retry) },
  });
}
