import { type Clock, isHearthError } from '../../../core/index.ts';
import type { StateStore } from '../../state-store.ts';

export interface LocalFallbackOptions {
  readonly shared: StateStore;
  readonly local: StateStore;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** After a failure the shared store is left alone this long; 1 s. */
  readonly pauseMs?: number;
  /** Told once at each change. */
  readonly onChange: (state: 'local' | 'shared', reason: string | null) => void;
}

/** The shared store while it answers, else the local one: for limits and breakers, where a guess is better than a refusal. */
export function withLocalFallback({ shared, local, clock, pauseMs = 1000, onChange }: LocalFallbackOptions): StateStore {
  let localUntil = 0;
  let failed = false;

  async function ask<T>(call: (store: StateStore) => Promise<T>): Promise<T> {
    if (clock.monotonic() < localUntil) return await call(local);
    try {
      const answer = await call(shared);
      if (failed) onChange('shared', null);
      failed = false;
      return answer;
    } catch (error) {
      if (!isHearthError(error) || error.code !== 'state_store_unavailable') throw error;
      localUntil = clock.monotonic() + pauseMs;
      if (!failed) onChange('local', error.message);
      failed = true;
      return await call(local);
    }
  }

  return {
    shared: shared.shared,
    get: (key) => ask((store) => store.get(key)),
    compareAndSet: (key, version, value, ttlMs) => ask((store) => store.compareAndSet(key, version, value, ttlMs)),
    increment: (key, by, windowMs) => ask((store) => store.increment(key, by, windowMs)),
    takeTokens: (bucket, cost, perSecond, burst, how) => ask((store) => store.takeTokens(bucket, cost, perSecond, burst, how)),
    acquireLease: (key, owner, ttlMs) => ask((store) => store.acquireLease(key, owner, ttlMs)),
    renewLease: (key, owner, ttlMs) => ask((store) => store.renewLease(key, owner, ttlMs)),
    releaseLease: (key, owner) => ask((store) => store.releaseLease(key, owner)),
    async [Symbol.asyncDispose]() {
      await shared[Symbol.asyncDispose]();
      await local[Symbol.asyncDispose]();
    },
  };
}
