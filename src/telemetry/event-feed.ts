import type { ProductEvent } from '../contract/index.ts';

/** An event with its place in the order of all events of this process. */
export interface NumberedEvent {
  readonly id: number;
  readonly atMs: number;
  readonly event: ProductEvent;
}

export interface EventFeed {
  readonly listener: (event: ProductEvent) => void;
  /** Newest number given so far. */
  readonly lastId: number;
  /**
   * Events after that number, in batches: at most `framesPerSecond` of them in a second, however many events come. `missed` counts
   * those that the ring no longer had. Ends with the signal.
   */
  read(
    afterId: number,
    signal: AbortSignal,
    framesPerSecond?: number,
  ): AsyncGenerator<{ readonly events: readonly NumberedEvent[]; readonly missed: number }, void>;
}

/** Events that are kept for viewers that come back or fall behind (docs/spec/serving.md §7). */
export const RING_EVENTS = 1_000;

export function createEventFeed(size = RING_EVENTS, now: () => number = Date.now): EventFeed {
  const ring: NumberedEvent[] = [];
  const waiting = new Set<() => void>();
  let lastId = 0;

  function after(id: number): { events: NumberedEvent[]; missed: number } {
    const first = ring[0]?.id ?? lastId + 1;
    return { events: id < first ? [...ring] : ring.slice(id - first + 1), missed: Math.max(0, first - 1 - id) };
  }

  return {
    listener(event) {
      // What only a trace needs is long, and may hold what was asked for with its content.
      lastId += 1;
      ring.push({ id: lastId, atMs: now(), event: event.kind === 'request-end' ? withoutDetail(event) : event });
      if (ring.length > size) ring.shift();
      for (const wake of waiting) wake();
    },
    get lastId() {
      return lastId;
    },
    async *read(afterId, signal, framesPerSecond = 10) {
      let seen = Math.min(afterId, lastId);
      while (!signal.aborted) {
        if (seen >= lastId) await untilNext(waiting, signal);
        if (signal.aborted) return;
        const { events, missed } = after(seen);
        seen = lastId;
        if (events.length > 0) yield { events, missed };
        // All that comes meanwhile goes into the next frame.
        await pause(1000 / framesPerSecond, signal);
      }
    },
  };
}

const withoutDetail = (event: Extract<ProductEvent, { kind: 'request-end' }>): ProductEvent => ({
  ...event,
  answers: event.answers.map(({ content: _, gapsMs: __, ...answer }) => ({ ...answer, gapsMs: [] })),
});

function untilNext(waiting: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      waiting.delete(done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    waiting.add(done);
    signal.addEventListener('abort', done, { once: true });
  });
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done, { once: true });
  });
}
