import { HearthError } from '../../core/index.ts';
import type { ModelState, SchedulerOptions } from './scheduler-types.ts';

type Options = Pick<SchedulerOptions, 'restartDelayMs' | 'restartDelayCapMs' | 'crashLimit' | 'crashWindowMs' | 'stableAfterMs' | 'breakerMs' | 'breakerCapMs'>;

/** How long the next try waits after this many failures in a row. */
export const backOffMs = (options: Options, attempts: number): number => Math.min(options.restartDelayCapMs, options.restartDelayMs * 2 ** (attempts - 1));

/** Counts a crash; the one that makes a loop of them opens the breaker. */
export function noteCrash(model: ModelState, options: Options, now: number): void {
  if (model.readyAtMs !== null && now - model.readyAtMs >= options.stableAfterMs) Object.assign(model, { crashes: [], breakerTrips: 0 });
  model.readyAtMs = null;
  model.crashes = [...model.crashes.filter((at) => now - at < options.crashWindowMs), now];
  // After a crash loop there is one trial: its failure opens the breaker again, for twice as long.
  if (model.crashes.length < options.crashLimit && model.breakerTrips === 0) return;
  model.breakerUntilMs = now + Math.min(options.breakerCapMs, options.breakerMs * 2 ** model.breakerTrips);
  model.breakerTrips += 1;
}

export function breakerError(model: ModelState, { crashLimit }: Options, now: number): HearthError {
  const retryAfterS = Math.ceil((model.breakerUntilMs - now) / 1000);
  return new HearthError('breaker_open', `The model crashed ${crashLimit} times in a short while; the next try is in ${retryAfterS} seconds.`, {
    details: { retryAfterS },
  });
}
