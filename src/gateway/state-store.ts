/** A value with the number of its writes. */
export interface StoredValue {
  readonly version: number;
  readonly value: string;
}

export interface TakenTokens {
  readonly granted: boolean;
  /** Until the same cost would be granted; 0 when it was, Infinity when it never will be: it is more than the bucket holds. */
  readonly retryAfterMs: number;
  /** What is left in the bucket; below 0 after more was taken back than it held. */
  readonly remaining: number;
}

/**
 * What several requests, and several machines, have to agree on: limits, breakers, stickiness, leases, budgets (docs/spec/serving.md §8).
 * Keys are plain text of at most 512 characters. Every call is atomic. Throws `state_store_unavailable` where the store is gone or slow.
 */
export interface StateStore extends AsyncDisposable {
  /** true: other processes see the same state. */
  readonly shared: boolean;
  /** null when there is none, or its time is over. */
  get(key: string): Promise<StoredValue | null>;
  /** Writes when `version` is the present one (0 = there is none). Answers the new version, or null when somebody else was faster. */
  compareAndSet(key: string, version: number, value: string, ttlMs: number): Promise<number | null>;
  /** Adds to the count of the window that began with the first increment; answers the sum. `by` may be a fraction or below 0. */
  increment(key: string, by: number, windowMs: number): Promise<number>;
  /**
   * Takes `cost` from a bucket that begins full with `burst` and fills by `perSecond`. A cost below 0 gives back. `force`: takes it
   * also where that leaves less than nothing, such as the rest of a cost that is known only afterwards.
   */
  takeTokens(bucket: string, cost: number, perSecond: number, burst: number, how?: { readonly force?: boolean }): Promise<TakenTokens>;
  /** true when the lease is the owner's now: it was free, over, or the owner's already. */
  acquireLease(key: string, owner: string, ttlMs: number): Promise<boolean>;
  /** false when it is no longer the owner's. */
  renewLease(key: string, owner: string, ttlMs: number): Promise<boolean>;
  /** false when it was not the owner's. */
  releaseLease(key: string, owner: string): Promise<boolean>;
}
