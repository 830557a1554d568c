import { type HearthError, isHearthError, toHearthError } from '../../core/index.ts';
import { gigabytes, guardBytes, memoryError } from '../scheduler/memory-limits.ts';

export interface MemoryGuardOptions {
  readonly budgetBytes: number;
  /** Memory that is taken now, or set aside for loads. */
  readonly usedBytes: () => number;
  /** Longest wait for memory. */
  readonly waitMs: number;
}

export interface MemoryGuard {
  /**
   * Sets memory aside for one request; answers what gives it back. Waits while others hold it; throws memory_budget when that takes too
   * long, or when the request could not fit even alone.
   */
  reserve(bytes: number, signal: AbortSignal): Promise<() => void>;
  /** Something was given back. */
  recheck(): void;
  readonly reservedBytes: number;
}

interface Waiter {
  readonly bytes: number;
  resolve(release: () => void): void;
}

/** Admission of requests whose KV cache is allocated while they run (docs/spec/serving.md §4 items 2 and 4): first come, first served. */
export function createMemoryGuard({ budgetBytes, usedBytes, waitMs }: MemoryGuardOptions): MemoryGuard {
  const guard = guardBytes(budgetBytes);
  const waiting: Waiter[] = [];
  let reserved = 0;
  const free = () => guard - usedBytes() - reserved;

  function take(bytes: number): () => void {
    let held = true;
    reserved += bytes;
    return () => {
      if (!held) return;
      held = false;
      reserved -= bytes;
      recheck();
    };
  }

  function recheck(): void {
    for (let head = waiting[0]; head && head.bytes <= free(); head = waiting[0]) {
      waiting.shift();
      head.resolve(take(head.bytes));
    }
  }

  return {
    reserve(bytes, signal) {
      if (waiting.length === 0 && bytes <= free()) return Promise.resolve(take(bytes));
      if (bytes > free() + reserved)
        return Promise.reject(
          memoryError(`The cache of this request may need ${gigabytes(bytes)}; there are ${gigabytes(Math.max(0, free() + reserved))} for requests.`),
        );
      return new Promise((resolve, reject) => {
        const leave = (error: HearthError) => {
          const index = waiting.indexOf(waiter);
          if (index === -1) return;
          waiting.splice(index, 1);
          settle();
          reject(error);
          recheck();
        };
        const timer = setTimeout(() => leave(memoryError(`The request waited ${waitMs / 1000} seconds for memory that other requests hold.`)), waitMs).unref();
        const onAbort = () => leave(isHearthError(signal.reason) ? signal.reason : toHearthError(signal.reason));
        const settle = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
        };
        const waiter: Waiter = {
          bytes,
          resolve(release) {
            settle();
            resolve(release);
          },
        };
        waiting.push(waiter);
        if (signal.aborted) onAbort();
        else signal.addEventListener('abort', onAbort, { once: true });
      });
    },
    recheck,
    get reservedBytes() {
      return reserved;
    },
  };
}
