import type { EventSink } from '../core/index.ts';

type Event = Parameters<EventSink['emit']>[0];

export interface EventBus extends EventSink {
  /** Hears every later event; returns how to stop. A listener that throws does not disturb the others. */
  subscribe(listener: (event: Event) => void): () => void;
}

export function createEventBus(onListenerError: (error: unknown) => void = () => {}): EventBus {
  const listeners = new Set<(event: Event) => void>();
  return {
    emit(event) {
      for (const listener of [...listeners]) {
        try {
          listener(event);
        } catch (error) {
          onListenerError(error);
        }
      }
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
