import { type HearthError, isHearthError } from '../../core/index.ts';

/** Places at one upstream, first come first served. */
export interface Slots {
  readonly inFlight: number;
  readonly queued: number;
  /** Waits for a place; answers what gives it back, once. Rejects with the signal's reason, or the error of a wait that took too long. */
  take(signal: AbortSignal): Promise<() => void>;
}

export interface SlotsOptions {
  /** null = no limit. */
  readonly limit: () => number | null;
  readonly waitMs: number;
  readonly onTimeout: () => HearthError;
}

export function createSlots({ limit, waitMs, onTimeout }: SlotsOptions): Slots {
  let inFlight = 0;
  const queue = new Set<() => void>();

  const free = () => inFlight < (limit() ?? Number.POSITIVE_INFINITY);
  function hold(): () => void {
    inFlight += 1;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      inFlight -= 1;
      const [next] = queue;
      if (next !== undefined && free()) next();
    };
  }

  return {
    get inFlight() {
      return inFlight;
    },
    get queued() {
      return queue.size;
    },
    async take(signal) {
      signal.throwIfAborted();
      if (queue.size === 0 && free()) return hold();
      return await new Promise((resolve, reject) => {
        const leave = () => {
          queue.delete(enter);
          clearTimeout(timer);
          signal.removeEventListener('abort', gone);
        };
        const enter = () => {
          leave();
          resolve(hold());
        };
        const gone = () => {
          leave();
          reject(isHearthError(signal.reason) ? signal.reason : signal.reason instanceof Error ? signal.reason : onTimeout());
        };
        const timer = setTimeout(() => {
          leave();
          reject(onTimeout());
        }, waitMs).unref();
        queue.add(enter);
        signal.addEventListener('abort', gone, { once: true });
      });
    },
  };
}
