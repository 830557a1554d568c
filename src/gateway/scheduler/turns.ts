import type { ModelState, Waiting } from './scheduler-types.ts';

/** A batch request that has waited this long counts as interactive (docs/spec/serving.md §4 item 7). */
const BATCH_PATIENCE_MS = 30_000;

/** Who is next: interactive before batch, then the owner whose last turn is longest ago, then who came first. */
export function nextTurn({ queue, turns }: Pick<ModelState, 'queue' | 'turns'>, nowMs: number): Waiting | undefined {
  let best: Waiting | undefined;
  for (const waiting of queue) if (best === undefined || isBefore(waiting, best, turns, nowMs)) best = waiting;
  return best;
}

/** The queue is in order of arrival, so that of two equals the first one stays. */
function isBefore(a: Waiting, b: Waiting, turns: ReadonlyMap<string, number>, nowMs: number): boolean {
  const rank = (waiting: Waiting) => (waiting.priority === 'interactive' || nowMs - waiting.sinceMs >= BATCH_PATIENCE_MS ? 0 : 1);
  return rank(a) === rank(b) ? (turns.get(a.owner) ?? 0) < (turns.get(b.owner) ?? 0) : rank(a) < rank(b);
}

/** Seconds until a queue of this length has moved on: queued × mean service time ÷ sequences, between 1 and 60 (§5.3). */
export const retryAfterSeconds = (queued: number, meanServiceMs: number, sequences: number): number =>
  Math.min(60, Math.max(1, Math.ceil((queued * meanServiceMs) / 1000 / Math.max(1, sequences))));
