import type { Clock } from '../../core/index.ts';
import type { StateStore } from '../state-store.ts';

/** Small facts that several machines may know at different times, such as that an upstream is not to be called. The last writer wins. */
export interface SharedCells {
  get<T>(key: string): T | null;
  /** Known here at once, and elsewhere within a second. */
  set(key: string, value: unknown, ttlMs: number): void;
  /** Reads what others may have written since the last look; nothing to do without a shared store. */
  refresh(keys: readonly string[]): Promise<void>;
}

const FRESH_MS = 1000;
/** Above it, what is over is forgotten. */
const MAX_CELLS = 2_000;

interface Cell {
  readonly value: unknown;
  readonly untilMs: number;
  /** Of the clock that never goes back. */
  readonly readAt: number;
  readonly version: number;
}

export function createSharedCells(store: () => StateStore, clock: Clock): SharedCells {
  const cells = new Map<string, Cell>();

  function put(key: string, cell: Cell): void {
    cells.set(key, cell);
    if (cells.size <= MAX_CELLS) return;
    const now = clock.now();
    for (const [other, { untilMs }] of cells) if (untilMs <= now && other !== key) cells.delete(other);
  }

  async function publish(key: string, value: unknown, ttlMs: number): Promise<void> {
    const text = JSON.stringify({ value, untilMs: clock.now() + ttlMs });
    for (let tries = 0; tries < 3; tries += 1) {
      const version = (await store().get(key))?.version ?? 0;
      if ((await store().compareAndSet(key, version, text, ttlMs)) !== null) return;
    }
  }

  return {
    get<T>(key: string) {
      const cell = cells.get(key);
      if (cell === undefined || cell.untilMs <= clock.now()) return null;
      return cell.value as T;
    },
    set(key, value, ttlMs) {
      put(key, { value, untilMs: clock.now() + ttlMs, readAt: clock.monotonic(), version: 0 });
      if (store().shared) void publish(key, value, ttlMs).catch(() => {});
    },
    async refresh(keys) {
      if (!store().shared) return;
      const now = clock.monotonic();
      const old = keys.filter((key) => (cells.get(key)?.readAt ?? Number.NEGATIVE_INFINITY) < now - FRESH_MS);
      await Promise.all(
        old.map(async (key) => {
          const found = await store()
            .get(key)
            .catch(() => null);
          const cell = cells.get(key);
          if (found !== null && found.version !== cell?.version)
            put(key, { ...(JSON.parse(found.value) as { value: unknown; untilMs: number }), readAt: now, version: found.version });
          else put(key, { value: null, untilMs: 0, version: 0, ...cell, readAt: now });
        }),
      );
    },
  };
}
