import { HearthError, isHearthError } from '../core/index.ts';

/** A request that can be ended from outside. */
export interface OpenRequest {
  /** Aborted when the client goes, the request is cancelled, or its longest time is over. */
  readonly signal: AbortSignal;
  close(): void;
}

/** The requests that wait or run, by id: several prompts of one request, and several attempts, share theirs. */
export interface OpenRequests {
  open(requestId: string, owner: string, signal: AbortSignal): OpenRequest;
  /** Ends a request; false when there is none of that id, or it is not one of this owner. */
  cancel(requestId: string, by?: string): boolean;
  /** Ends all of them. */
  endAll(error: HearthError): void;
}

interface Entry {
  readonly owner: string;
  readonly controller: AbortController;
}

export function createOpenRequests(longestMs: () => number): OpenRequests {
  const entries = new Map<string, Set<Entry>>();

  return {
    open(requestId, owner, signal) {
      const controller = new AbortController();
      const entry: Entry = { owner, controller };
      const forward = () => controller.abort(isHearthError(signal.reason) ? signal.reason : new HearthError('client_closed_request', 'The client went away.'));
      if (signal.aborted) forward();
      signal.addEventListener('abort', forward, { once: true });
      const ms = longestMs();
      const tooLong = () => new HearthError('request_timeout', `The request took longer than ${ms / 1000} seconds.`);
      const timer = setTimeout(() => controller.abort(tooLong()), ms).unref();
      const siblings = entries.get(requestId) ?? new Set();
      entries.set(requestId, siblings.add(entry));
      return {
        signal: controller.signal,
        close() {
          clearTimeout(timer);
          signal.removeEventListener('abort', forward);
          siblings.delete(entry);
          if (siblings.size === 0 && entries.get(requestId) === siblings) entries.delete(requestId);
        },
      };
    },
    cancel(requestId, by) {
      const found = [...(entries.get(requestId) ?? [])].filter(({ owner }) => by === undefined || owner === by);
      for (const { controller } of found) controller.abort(new HearthError('cancelled', 'The request was cancelled.'));
      return found.length > 0;
    },
    endAll(error) {
      for (const siblings of entries.values()) for (const { controller } of siblings) controller.abort(error);
    },
  };
}
