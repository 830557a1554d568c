import { HearthError } from '../../../core/index.ts';
import type { StateStore } from '../../state-store.ts';
import { ACQUIRE_LEASE, COMPARE_AND_SET, GET, INCREMENT, RELEASE_LEASE, RENEW_LEASE, TAKE_TOKENS } from './redis-scripts.ts';

export interface RedisStateStoreOptions {
  /** `redis://127.0.0.1:6379/0`, with user and password where it needs them. */
  readonly url: string;
  /** A call that takes longer counts as failed; 50 ms. */
  readonly timeoutMs?: number;
  /** In front of every key. */
  readonly prefix?: string;
}

/** Time for the first connection; later ones are made in the background. */
const CONNECT_MS = 3000;

/**
 * The state of all processes that name the same Redis server (6 or newer). Errors: dependency_missing without the client package,
 * state_store_unavailable for a call that fails or takes too long.
 */
export async function createRedisStateStore({ url, timeoutMs = 50, prefix = 'hearth:' }: RedisStateStoreOptions): Promise<StateStore> {
  const { createClient } = await import('@redis/client').catch((error: unknown) => {
    throw new HearthError('dependency_missing', '`stateStore` names a Redis server; install the package @redis/client beside hearth.', { cause: error });
  });
  const client = createClient({
    url,
    // A call that cannot be sent now is of no use later.
    disableOfflineQueue: true,
    socket: { connectTimeout: CONNECT_MS, reconnectStrategy: (tries) => Math.min(100 * 2 ** Math.min(tries, 5), 2000) },
  });
  // Each call tells its own failure; a start does not wait for a server that is not there.
  const failed = new Promise<void>((resolve) => client.on('error', () => resolve()));
  await Promise.race([client.connect().catch(() => {}), failed]);

  async function run(script: string, kind: string, key: string, args: readonly (string | number)[]): Promise<unknown> {
    const reply = client.eval(script, { keys: [`${prefix}${kind}:${key}`], arguments: args.map(String) });
    reply.catch(() => {});
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    });
    try {
      return await Promise.race([reply, late]);
    } catch (error) {
      throw new HearthError('state_store_unavailable', `The shared state cannot be used: ${error instanceof Error ? error.message : 'no answer'}.`, {
        cause: error,
      });
    } finally {
      clearTimeout(timer);
    }
  }

  const whole = (ms: number): number => Math.max(1, Math.ceil(ms));

  return {
    shared: true,
    async get(key) {
      const reply = (await run(GET, 'value', key, [])) as readonly [string, string] | null;
      return reply === null ? null : { version: Number(reply[0]), value: reply[1] };
    },
    async compareAndSet(key, version, value, ttlMs) {
      return Number(await run(COMPARE_AND_SET, 'value', key, [version, value, whole(ttlMs)])) || null;
    },
    async increment(key, by, windowMs) {
      return Number(await run(INCREMENT, 'count', key, [by, whole(windowMs)]));
    },
    async takeTokens(bucket, cost, perSecond, burst, how = {}) {
      const reply = (await run(TAKE_TOKENS, 'bucket', bucket, [cost, perSecond, burst, how.force ? 1 : 0])) as readonly [number, string, string];
      const retryAfterMs = Number(reply[1]);
      return { granted: reply[0] === 1, retryAfterMs: retryAfterMs < 0 ? Number.POSITIVE_INFINITY : retryAfterMs, remaining: Number(reply[2]) };
    },
    acquireLease: async (key, owner, ttlMs) => (await run(ACQUIRE_LEASE, 'lease', key, [owner, whole(ttlMs)])) === 1,
    renewLease: async (key, owner, ttlMs) => (await run(RENEW_LEASE, 'lease', key, [owner, whole(ttlMs)])) === 1,
    releaseLease: async (key, owner) => (await run(RELEASE_LEASE, 'lease', key, [owner])) === 1,
    async [Symbol.asyncDispose]() {
      client.destroy();
    },
  };
}
