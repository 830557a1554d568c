import { HearthError } from '../../core/index.ts';
import type { Requester } from '../answer.ts';
import type { StateStore, TakenTokens } from '../state-store.ts';

export interface KeyLimitsOptions {
  readonly store: StateStore;
  /** Requests a minute of a key that names no number, and of all callers without a key together; 0 = no limit. Read at each request. */
  readonly defaultRpm?: () => number;
}

export interface KeyLimits {
  /** One HTTP request; `end` has to be called in every case. */
  begin(requester: Requester): RequestMeter;
}

/** Keeps one HTTP request within the limits of its key. */
export interface RequestMeter {
  /**
   * Before anything is queued: the first call takes a place and a request, every call takes tokens. Throws rate_limit_exceeded.
   */
  admit(reservedTokens: number): Promise<void>;
  /** Gives the place back, and settles the tokens: what was reserved against what was used. */
  end(usedTokens: number): Promise<void>;
  /** `x-ratelimit-*` as far as there are limits. */
  headers(): Readonly<Record<string, string>>;
}

interface Bucket {
  readonly limit: number;
  readonly taken: TakenTokens;
}

const MINUTE_MS = 60_000;

/** Token buckets for requests and tokens a minute, and places, each for one API key (docs/spec/serving.md §6.6). Budgets: routing/budgets.ts. */
export function createKeyLimits({ store, defaultRpm = () => 0 }: KeyLimitsOptions): KeyLimits {
  const running = new Map<string, number>();

  return {
    begin({ id, policy }) {
      const rpm = policy.rpm ?? (id === 'owner' ? 0 : defaultRpm());
      const { tpm, maxConcurrent } = policy;
      let requests: Bucket | null = null;
      let tokens: Bucket | null = null;
      let reserved = 0;
      let placed = false;
      let ended = false;

      async function enter(): Promise<void> {
        const others = running.get(id) ?? 0;
        if (maxConcurrent !== null && others >= maxConcurrent) {
          throw limited(`This key may have ${maxConcurrent} requests at a time, and has them.`, 1000);
        }
        running.set(id, others + 1);
        placed = true;
        if (rpm > 0) {
          requests = { limit: rpm, taken: await store.takeTokens(`rpm:${id}`, 1, rpm / 60, rpm) };
          if (!requests.taken.granted) throw limited(`This key may send ${rpm} requests a minute.`, requests.taken.retryAfterMs);
        }
      }

      return {
        async admit(wanted) {
          if (!placed) await enter();
          if (tpm === null) return;
          // What is larger than the whole bucket takes all of it.
          const cost = Math.min(tpm, Math.max(0, wanted));
          tokens = { limit: tpm, taken: await store.takeTokens(`tpm:${id}`, cost, tpm / 60, tpm) };
          if (!tokens.taken.granted) throw limited(`This key may use ${tpm} tokens a minute.`, tokens.taken.retryAfterMs);
          reserved += cost;
        },

        async end(usedTokens) {
          if (ended) return;
          ended = true;
          if (placed) {
            const others = (running.get(id) ?? 1) - 1;
            if (others > 0) running.set(id, others);
            else running.delete(id);
          }
          const rest = usedTokens - reserved;
          if (tpm !== null && rest !== 0) await store.takeTokens(`tpm:${id}`, rest, tpm / 60, tpm, { force: true });
        },

        headers: () => ({ ...bucketHeaders('requests', requests), ...bucketHeaders('tokens', tokens) }),
      };
    },
  };
}

const limited = (message: string, retryAfterMs: number): HearthError => {
  const ms = Math.min(MINUTE_MS, Math.max(1, Math.ceil(retryAfterMs)));
  return new HearthError('rate_limit_exceeded', message, { details: { retryAfterS: Math.ceil(ms / 1000) } });
};

function bucketHeaders(name: 'requests' | 'tokens', bucket: Bucket | null): Record<string, string> {
  if (!bucket) return {};
  const remaining = Math.max(0, Math.floor(bucket.taken.remaining));
  // Until the bucket is full again.
  const seconds = ((bucket.limit - Math.max(0, bucket.taken.remaining)) * 60) / bucket.limit;
  return {
    [`x-ratelimit-limit-${name}`]: String(bucket.limit),
    [`x-ratelimit-remaining-${name}`]: String(remaining),
    [`x-ratelimit-reset-${name}`]: `${Math.round(seconds * 1000) / 1000}s`,
  };
}
