import { describe, expect, test } from 'vitest';
import { endpoints } from '../../src/contract/index.ts';
import { createMemoryPressure } from '../../src/hardware/index.ts';
import { createFakeEngine } from '../support/fake-engine.ts';
import { fakeModels } from '../support/http-fixture.ts';
import { startObserved } from '../support/observed-http.ts';

const model = 'org/fake';
const body = (content: string, more: object = {}, name = model) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ model: name, messages: [{ role: 'user', content }], ...more }),
});

/** What the operating system says, as the test wants it: the real reader of this platform's files and programs reads it. */
function createMachine(platform: 'linux' | 'darwin') {
  const machine = { some: 0, full: 0, vm: 1, childBytes: 1_000_000 };
  const pressure = createMemoryPressure({
    platform,
    readText: async (path) => {
      if (path === '/proc/pressure/memory')
        return `some avg10=${machine.some}.00 avg60=0 avg300=0 total=1\nfull avg10=${machine.full}.00 avg60=0 avg300=0 total=1\n`;
      return path.endsWith('/status') ? `VmRSS:\t${machine.childBytes / 1000} kB\n` : null;
    },
    run: async (file, args) =>
      file === 'ps'
        ? args
            .at(-1)!
            .split(',')
            .map((pid) => `${pid} ${machine.childBytes / 1000}`)
            .join('\n')
        : `${machine.vm}\n`,
  });
  return { machine, pressure };
}

describe('memory pressure', () => {
  test.each(['linux', 'darwin'] as const)(
    '[serving V55] a drill on %s: caches go first, then no load, then idle models and the newest who wait; nothing dies, and all is well after it',
    async (platform) => {
      const { machine, pressure } = createMachine(platform);
      const told: string[] = [];
      const engine = createFakeEngine({ tokenMs: 30, parallel: 1 });
      const cached = {
        ...engine,
        capabilities: (...given: Parameters<typeof engine.capabilities>) => ({ ...engine.capabilities(...given), prefixCache: 'exact' as const }),
      };
      await using server = await startObserved(
        {},
        {
          engines: [cached],
          models: fakeModels(['org/fake', 'org/idle', 'org/cold']),
          gateway: { memory: pressure, memorySampleMs: 30, memoryBudgetBytes: 1_000_000_000, queueWaitMs: 20_000 },
        },
      );
      const stop = new AbortController();
      void (async () => {
        for await (const { events } of server.telemetry.feed.read(0, stop.signal, 1000))
          for (const { event } of events)
            if (event.kind === 'memory-pressure') told.push(event.level);
            else if (event.kind === 'prefix-cache-clear') told.push('caches');
            else if (event.kind === 'model-unload-end') told.push(`unload ${event.model} ${event.reason}`);
      })();
      const ask = (content: string, name = model) => fetch(`${server.baseUrl}/v1/chat/completions`, body(content, {}, name));
      expect((await ask('hi', 'org/idle')).status).toBe(200);
      expect((await ask('hi')).status).toBe(200);
      const state = (id: string) => server.gateway.snapshot().models.find((each) => each.id === id)?.state;

      Object.assign(machine, { some: 30, vm: 2 });
      await expect.poll(() => server.gateway.memory().level).toBe('soft');
      const cold = ask('hi', 'org/cold');
      await expect.poll(() => server.gateway.queue().map(({ model: each }) => each)).toEqual(['org/cold']);
      expect((await ask('still answers')).status).toBe(200);
      expect(state('org/cold')).toBe('unloaded');

      const running = ask('word '.repeat(60).trim());
      await expect.poll(() => server.gateway.snapshot().models.find(({ id }) => id === model)?.inFlight).toBe(1);
      const waiting = [ask('one'), ask('two')];
      await expect.poll(() => server.gateway.queue().length).toBe(3);
      Object.assign(machine, { full: 30, vm: 4 });
      await expect.poll(() => state('org/idle')).toBe('unloaded');
      const refused = (await Promise.all([cold, ...waiting])).map(async (response) => [
        response.status,
        response.headers.get('retry-after'),
        ((await response.json()) as { error: { code: string } }).error.code,
      ]);
      for (const each of await Promise.all(refused)) expect(each).toEqual([503, '10', 'memory_budget']);
      expect((await ask('not now')).status).toBe(503);
      // Who was let in before ends whole.
      expect((await running).status).toBe(200);
      expect(told.indexOf('caches')).toBeGreaterThanOrEqual(0);
      expect(told.indexOf('caches')).toBeLessThan(told.indexOf('hard'));
      expect(told.indexOf('hard')).toBeLessThan(told.indexOf('unload org/idle pressure'));

      Object.assign(machine, { some: 0, full: 0, vm: 1 });
      await expect.poll(() => server.gateway.memory().level).toBe('normal');
      expect((await ask('hi', 'org/cold')).status).toBe(200);
      expect((await ask('hi')).status).toBe(200);
      expect(await server.metric('hearth_engine_restarts_total{model="org/fake",reason="crash"}')).toBe(0);
      stop.abort();
    },
  );

  test('engines that take too much of the budget are seen by their own memory', async () => {
    const { machine, pressure } = createMachine('linux');
    await using server = await startObserved({}, { gateway: { memory: pressure, memorySampleMs: 30, memoryBudgetBytes: 100_000_000 } });
    expect((await fetch(`${server.baseUrl}/v1/chat/completions`, body('hi'))).status).toBe(200);
    machine.childBytes = 90_000_000;
    await expect.poll(() => server.gateway.memory().level).toBe('soft');
    expect(await server.metric('hearth_memory_used_bytes')).toBe(90_000 * 1024);
    machine.childBytes = 95_000_000;
    await expect.poll(() => server.gateway.snapshot().models[0]?.state).toBe('unloaded');
    await expect.poll(() => server.gateway.memory().level).toBe('normal');
    machine.childBytes = 1_000_000;
    expect((await fetch(`${server.baseUrl}/v1/chat/completions`, body('hi'))).status).toBe(200);
  });

  test('[serving V54] a request whose cache could not fit under the guard gets 503 and Retry-After, others are answered, and the process lives', async () => {
    const engine = createFakeEngine({ tokenMs: 60 });
    // A megabyte for each token, in a cache that grows.
    const growing = {
      ...engine,
      growsCache: true,
      estimate: () => ({ weightsBytes: 1_000_000, kvBytesPerToken: 1_000_000, kvPoolBytes: 0, computeBytes: 0, processBytes: 0 }),
    };
    await using server = await startObserved({}, { engines: [growing], gateway: { memoryBudgetBytes: 200_000_000, queueWaitMs: 300 } });
    const ask = (content: string, maxTokens: number) => fetch(`${server.baseUrl}/v1/chat/completions`, body(content, { max_tokens: maxTokens }));
    await server.client.call(endpoints.loadModel, { body: { model } });
    expect((await ask('a b', 20)).status).toBe(200);
    const { pid } = server.gateway.snapshot().models[0]!;
    const never = await ask('a b', 500);
    expect([never.status, never.headers.get('retry-after')]).toEqual([503, '10']);
    expect(await never.json()).toMatchObject({ error: { code: 'memory_budget', retryable: true } });
    // Two that fit alone, not together: the second waits for the first; where that takes too long it is turned away.
    const first = ask('w '.repeat(20).trim(), 90);
    await expect.poll(() => server.gateway.snapshot().models[0]?.inFlight).toBe(1);
    const second = await ask('w '.repeat(20).trim(), 90);
    expect(second.status).toBe(503);
    expect((await first).status).toBe(200);
    expect((await ask('a b', 90)).status).toBe(200);
    expect(server.gateway.snapshot().models[0]).toMatchObject({ pid, inFlight: 0, crashes: 0 });
    expect(await server.metric('hearth_rejections_total{reason="memory_budget"}')).toBe(2);
  });
});
