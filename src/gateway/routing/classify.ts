import { HearthError, isHearthError } from '../../core/index.ts';
import type { Attempt } from '../answer.ts';
import { UpstreamFault } from '../upstream.ts';

/** What an error before the commit point means for the request (docs/spec/serving.md §6.3). */
export interface Failure {
  readonly error: HearthError;
  readonly fallback: boolean;
  /** The same target may be tried again. */
  readonly repeat: boolean;
  readonly countsForBreaker: boolean;
  readonly misconfigured: boolean;
  readonly retryAfterMs: number | null;
}

/** The request's own end, or this process's: nobody else is asked. */
const FINAL = new Set(['client_closed_request', 'cancelled', 'request_timeout', 'draining']);
/** The name of a target leads nowhere: others of the route may still answer. */
const ABSENT = new Set(['model_not_found', 'model_not_cached']);
/** What one target cannot do, another one may: the target is passed over without an attempt. */
const UNFIT = new Set(['capability_mismatch', 'unsupported_parameter', 'context_length_exceeded', 'not_an_embedder', 'permission_denied']);

export function classify(thrown: unknown): Failure {
  if (thrown instanceof UpstreamFault)
    return {
      error: thrown,
      fallback: thrown.fallback,
      repeat: thrown.fallback,
      countsForBreaker: thrown.countsForBreaker,
      misconfigured: thrown.misconfigured,
      retryAfterMs: thrown.retryAfterMs ?? null,
    };
  const error = isHearthError(thrown) ? thrown : new HearthError('internal_error', 'An attempt failed in an unexpected way.', { cause: thrown });
  const { status } = error.row;
  const fallback = !FINAL.has(error.code) && (ABSENT.has(error.code) || status === 408 || status === 429 || status >= 500);
  const told = error.details['retryAfterS'];
  return {
    error,
    fallback,
    // A request that brought a local model down is not sent to it again: three crashes would close the model for everybody.
    repeat: false,
    countsForBreaker: false,
    misconfigured: false,
    retryAfterMs: typeof told === 'number' ? told * 1000 : null,
  };
}

export const isUnfit = (error: unknown): error is HearthError => isHearthError(error) && (UNFIT.has(error.code) || ABSENT.has(error.code));

/** The error with what was tried before it, for the headers of its answer. */
export function withAttempts(error: HearthError, attempts: readonly Attempt[], more: Readonly<Record<string, unknown>>): HearthError {
  return new HearthError(error.code, error.message, { cause: error.cause, details: { ...error.details, ...more, attempts } });
}
