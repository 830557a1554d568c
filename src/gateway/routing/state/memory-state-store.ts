import type { Clock } from '../../../core/index.ts';
import type { StateStore } from '../../state-store.ts';
import { takeFrom } from './token-bucket.ts';

/** Keys above it: what is over is forgotten; what is still missing room then goes by age. */
const MAX_KEYS = 100_000;

interface Entry {
  readonly value: unknown;
  readonly untilMs: number;
}

/** The state of one process, gone with it. */
export function createMemoryStateStore(clock: Pick<Clock, 'now'>): StateStore {
  const kinds = { values: new Map<string, Entry>(), counts: new Map<string, Entry>(), buckets: new Map<string, Entry>(), leases: new Map<string, Entry>() };

  function read<T>(kind: keyof typeof kinds, key: string): (Entry & { readonly value: T }) | null {
    const entry = kinds[kind].get(key);
    if (entry === undefined) return null;
    if (entry.untilMs > clock.now()) return entry as Entry & { readonly value: T };
    kinds[kind].delete(key);
    return null;
  }

  function write(kind: keyof typeof kinds, key: string, value: unknown, untilMs: number): void {
    const entries = kinds[kind];
    if (entries.size >= MAX_KEYS && !entries.has(key)) makeRoom(entries);
    entries.set(key, { value, untilMs });
  }

  function makeRoom(entries: Map<string, Entry>): void {
    const now = clock.now();
    for (const [key, { untilMs }] of entries) if (untilMs <= now) entries.delete(key);
    for (const key of entries.keys()) {
      if (entries.size < MAX_KEYS) break;
      entries.delete(key);
    }
  }

  const holds = (key: string, owner: string): boolean => read<string>('leases', key)?.value === owner;

  return {
    shared: false,
    async get(key) {
      return read<{ readonly version: number; readonly value: string }>('values', key)?.value ?? null;
    },
    async compareAndSet(key, version, value, ttlMs) {
      const present = read<{ readonly version: number }>('values', key)?.value.version ?? 0;
      if (present !== version) return null;
      write('values', key, { version: version + 1, value }, clock.now() + ttlMs);
      return version + 1;
    },
    async increment(key, by, windowMs) {
      const known = read<number>('counts', key);
      const sum = (known?.value ?? 0) + by;
      write('counts', key, sum, known?.untilMs ?? clock.now() + windowMs);
      return sum;
    },
    async takeTokens(bucket, cost, perSecond, burst, how = {}) {
      const nowMs = clock.now();
      const taken = takeFrom(read<{ readonly level: number; readonly atMs: number }>('buckets', bucket)?.value ?? null, {
        cost,
        perSecond,
        burst,
        nowMs,
        force: how.force ?? false,
      });
      // A full bucket is as good as none.
      write('buckets', bucket, { level: taken.remaining, atMs: nowMs }, nowMs + Math.max(1000, ((burst - taken.remaining) / perSecond) * 1000));
      return taken;
    },
    async acquireLease(key, owner, ttlMs) {
      const held = read<string>('leases', key);
      if (held !== null && held.value !== owner) return false;
      write('leases', key, owner, clock.now() + ttlMs);
      return true;
    },
    async renewLease(key, owner, ttlMs) {
      if (!holds(key, owner)) return false;
      write('leases', key, owner, clock.now() + ttlMs);
      return true;
    },
    async releaseLease(key, owner) {
      if (!holds(key, owner)) return false;
      kinds.leases.delete(key);
      return true;
    },
    async [Symbol.asyncDispose]() {
      for (const entries of Object.values(kinds)) entries.clear();
    },
  };
}
