import type { ErrorCode } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';

/** What a fault of an upstream means for the request and for the upstream. */
export interface FaultMeaning {
  /** Another target may be tried, as long as nothing of the answer is out (docs/spec/serving.md §6.3). */
  readonly fallback: boolean;
  /** Whether the breaker counts it: yes for faults of the server, no for mistakes of the request, for 429 and for the client's leaving. */
  readonly countsForBreaker: boolean;
  /** The upstream may not be called before this time has passed, by any request. */
  readonly retryAfterMs?: number;
  /** HTTP status that the upstream gave; absent where it gave none. */
  readonly status?: number;
  /** 401 or 403: its key or address is wrong, which no repeat mends. */
  readonly misconfigured?: boolean;
}

/**
 * A fault of an upstream before or after the commit point, classified by docs/spec/serving.md §6.4. `code` is a row of the error table whose
 * status is the one that the client gets when no target is left; `details.upstreamCode` and `details.upstreamType` are the upstream's own words.
 */
export class UpstreamFault extends HearthError implements FaultMeaning {
  readonly fallback: boolean;
  readonly countsForBreaker: boolean;
  readonly retryAfterMs?: number;
  readonly status?: number;
  readonly misconfigured: boolean;

  constructor(code: ErrorCode, message: string, meaning: FaultMeaning, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    super(code, message, options);
    this.fallback = meaning.fallback;
    this.countsForBreaker = meaning.countsForBreaker;
    this.misconfigured = meaning.misconfigured ?? false;
    if (meaning.retryAfterMs !== undefined) this.retryAfterMs = meaning.retryAfterMs;
    if (meaning.status !== undefined) this.status = meaning.status;
  }
}
