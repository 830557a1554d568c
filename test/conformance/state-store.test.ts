import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { withLocalFallback } from '../../src/gateway/routing/state/local-fallback.ts';
import { createMemoryStateStore } from '../../src/gateway/routing/state/memory-state-store.ts';
import { createRedisStateStore } from '../../src/gateway/routing/state/redis-state-store.ts';
import { startRedis, withoutRedis } from '../support/redis-server.ts';
import { describeStateStore } from './state-store.ts';

/** Long enough for a machine that does other things as well. */
const PATIENT = { timeoutMs: 5000 };

describe('[house H10] shared state', () => {
  describeStateStore({
    name: 'memory',
    async setUp() {
      let nowMs = 1_000_000;
      const store = createMemoryStateStore({ now: () => nowMs });
      return {
        first: store,
        second: store,
        async pass(ms) {
          nowMs += ms;
        },
        [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
      };
    },
  });

  describeStateStore({
    name: 'redis',
    ...(withoutRedis === undefined ? {} : { skip: withoutRedis }),
    async setUp() {
      const server = await startRedis();
      const first = await createRedisStateStore({ url: server.url, ...PATIENT });
      const second = await createRedisStateStore({ url: server.url, ...PATIENT });
      return {
        first,
        second,
        pass: (ms) => sleep(ms),
        async [Symbol.asyncDispose]() {
          await first[Symbol.asyncDispose]();
          await second[Symbol.asyncDispose]();
          await server[Symbol.asyncDispose]();
        },
      };
    },
  });
});

const title = 'Redis that is slow or gone: a call fails in time, limits go local with one event, and come back';
describe.skipIf(withoutRedis !== undefined)(withoutRedis === undefined ? title : `${title} (skipped: ${withoutRedis})`, () => {
  it('tells each change once', async () => {
    await using server = await startRedis();
    await using shared = await createRedisStateStore({ url: server.url, timeoutMs: 300 });
    const clock = { nowMs: 0, now: () => clock.nowMs, monotonic: () => clock.nowMs };
    const changes: string[] = [];
    await using limits = withLocalFallback({ shared, local: createMemoryStateStore(clock), clock, onChange: (state) => changes.push(state) });
    expect(await limits.increment('n', 7, 60_000)).toBe(7);

    server.pause();
    await expect(shared.get('n')).rejects.toMatchObject({ code: 'state_store_unavailable' });
    expect(await limits.increment('n', 1, 60_000)).toBe(1);
    expect(await limits.increment('n', 1, 60_000)).toBe(2);
    expect(changes).toEqual(['local']);

    server.resume();
    clock.nowMs += 2000;
    await expect.poll(() => limits.increment('n', 0, 60_000).finally(() => (clock.nowMs += 2000))).toBeGreaterThanOrEqual(7);
    expect(changes).toEqual(['local', 'shared']);

    await server.kill();
    await expect(shared.takeTokens('b', 1, 1, 1)).rejects.toMatchObject({ code: 'state_store_unavailable' });
    expect((await limits.takeTokens('b', 1, 1, 1)).granted).toBe(true);
    expect(changes).toEqual(['local', 'shared', 'local']);
  });

  it('says so when there is no server at all', async () => {
    await using shared = await createRedisStateStore({ url: 'redis://127.0.0.1:2', timeoutMs: 50 });
    await expect(shared.get('n')).rejects.toMatchObject({ code: 'state_store_unavailable' });
  });
});
