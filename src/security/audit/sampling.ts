import type { Clock, SecurityEvent, SecurityEventName } from '../../core/index.ts';

/** What anybody can cause by sending requests: written down whole up to this many in a minute, then counted. */
const SAMPLED: readonly SecurityEventName[] = ['input.rejected', 'limit.hit'];
const PER_MINUTE = 100;
const MINUTE_MS = 60_000;

export interface Sampler {
  /** The events to write for this one: itself, nothing, or first the count of a minute that is over. */
  take(event: SecurityEvent): readonly SecurityEvent[];
  /** Counts of minutes that are over; `all`: of the running one too. */
  due(all?: boolean): readonly SecurityEvent[];
}

/** Keeps a flood of refused requests from filling the log (docs/spec/security.md §16). */
export function createSampler(clock: Clock): Sampler {
  const windows = new Map<SecurityEventName, { startedAt: number; seen: number; reasons: Map<string, number> }>();

  function close(name: SecurityEventName): SecurityEvent[] {
    const window = windows.get(name);
    windows.delete(name);
    if (!window || window.seen <= PER_MINUTE) return [];
    const details = { omitted: window.seen - PER_MINUTE, reasons: Object.fromEntries(window.reasons) };
    return [{ event: name, outcome: 'denied', reason: 'sampled', details }];
  }

  return {
    take(event) {
      if (!SAMPLED.includes(event.event)) return [event];
      const now = clock.monotonic();
      const running = windows.get(event.event);
      const told = running && now - running.startedAt >= MINUTE_MS ? close(event.event) : [];
      const window = windows.get(event.event) ?? { startedAt: now, seen: 0, reasons: new Map<string, number>() };
      windows.set(event.event, window);
      window.seen += 1;
      if (window.seen <= PER_MINUTE) return [...told, event];
      const reason = event.reason ?? 'none';
      window.reasons.set(reason, (window.reasons.get(reason) ?? 0) + 1);
      return told;
    },
    due(all = false) {
      const now = clock.monotonic();
      return [...windows].flatMap(([name, { startedAt }]) => (all || now - startedAt >= MINUTE_MS ? close(name) : []));
    },
  };
}
