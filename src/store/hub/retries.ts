import { HearthError, isHearthError } from '../../core/index.ts';
import type { StoreOptions } from '../options.ts';
import { TransientError } from './hub-request.ts';

/** What a hub call needs to try again; `onNotice` is told of long waits that the hub asks for. */
export interface RetryContext {
  readonly sleep: StoreOptions['sleep'];
  readonly onNotice?: (message: string) => void;
}

const LONGEST_WAIT_MS = 5 * 60_000;
const WORTH_TELLING_MS = 5000;

export const retryDelayMs = (attempt: number): number => Math.min(30_000, 1000 * 2 ** (attempt - 1));

/**
 * Waits before try `attempt` + 1: what the server asks for, or 1, 2, 4 … 30 seconds.
 * Errors: download_failed when the server asks for more than five minutes: nobody waits that long without having said so.
 */
export async function waitForRetry(context: RetryContext, error: Error, attempt: number, signal: AbortSignal): Promise<void> {
  const asked = error instanceof TransientError ? error.retryAfterMs : null;
  if (asked !== null && asked > LONGEST_WAIT_MS) {
    throw new HearthError('download_failed', `${sentence(error)}, and asks to come back in ${Math.ceil(asked / 60_000)} minutes.`, {
      cause: error,
      details: { retry_after_s: Math.ceil(asked / 1000) },
    });
  }
  const delayMs = Math.max(asked ?? 0, retryDelayMs(attempt));
  if (asked !== null && asked >= WORTH_TELLING_MS) context.onNotice?.(`${sentence(error)} and asks for a pause of ${Math.ceil(asked / 1000)} s.`);
  await context.sleep(delayMs, signal);
}

const sentence = (error: Error): string => error.message.charAt(0).toUpperCase() + error.message.slice(1);

/** Another try may help: the hub answered a moment ago, so that a network that went away may come back too. */
export const isPassing = (error: unknown): error is Error => error instanceof TransientError || (isHearthError(error) && error.code === 'hub_unreachable');

/** `Retry-After` as seconds or as a date, else the seconds until the window of a `RateLimit` header is new; null when neither is given. */
export function retryAfterMs(headers: Headers): number | null {
  const text = headers.get('retry-after')?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = text === '' ? Number.NaN : Date.parse(text);
  // By the server's own clock: ours may be wrong.
  if (!Number.isNaN(at)) return Math.max(0, at - (Date.parse(headers.get('date') ?? '') || Date.now()));
  const window = /(?:^|[;,\s])t=(\d{1,9})/.exec(headers.get('ratelimit') ?? '');
  return window === null ? null : Number(window[1]) * 1000;
}
