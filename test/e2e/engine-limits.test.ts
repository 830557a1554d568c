import { describe, expect, test } from 'vitest';
import { recordProductEvents } from '../../src/app/security-events.ts';
import type { ProductEvent } from '../../src/contract/index.ts';
import type { SecurityEvent } from '../../src/core/index.ts';
import { createEnclosure } from '../../src/supervisor/index.ts';
import { createFakeEngine, type FakeEngineFlags } from '../support/fake-engine.ts';
import { fakeModels } from '../support/http-fixture.ts';
import { startObserved } from '../support/observed-http.ts';
import { isRunning } from '../support/process-state.ts';

const ask = (baseUrl: string, model: string, content = 'hi', more: object = {}) =>
  fetch(`${baseUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content }], ...more }),
  });
const LONG = 'word '.repeat(2_000).trim();
const MIB = 1024 ** 2;

/** A server with two engines: one that takes more and more of something, one that is well. */
async function startGreedy(greedy: FakeEngineFlags, gateway: object = {}) {
  const events: SecurityEvent[] = [];
  const sink = { record: (event: SecurityEvent) => void events.push(event), assertWritable() {} };
  const record = recordProductEvents(sink);
  const engines = [createFakeEngine({ contextTokens: 16_384, ...greedy, id: 'greedy', tokenMs: 20 }), createFakeEngine({ id: 'well', tokenMs: 20 })];
  const server = await startObserved(
    {},
    {
      engines,
      models: fakeModels(['org/greedy', 'org/well']),
      gateway: { events: { emit: (event) => record(event as ProductEvent) }, restartDelayMs: 1, ...gateway },
      enclosure: createEnclosure({ events: sink }),
    },
  );
  const load = (model: string, engine: string) =>
    server.api.request(
      new Request('http://hearth/admin/v1/models/load', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, engine }),
      }),
    );
  return Object.assign(server, { events, load });
}

describe('engines that take too much', () => {
  test('[security G45] over its memory an engine dies within two seconds: 503 with its code, an event, back-off, crash loop; the other model goes on', async () => {
    await using server = await startGreedy(
      { take: 'memory', takeAfterTokens: 1, processLimits: { memoryBytes: 400 * MIB } },
      { crashLimit: 3, breakerMs: 60_000 },
    );
    expect((await server.load('org/well', 'well')).status).toBe(200);
    const other = ask(server.baseUrl, 'org/well', 'word '.repeat(300).trim());
    const codes: string[] = [];
    for (let crash = 1; crash <= 3; crash += 1) {
      expect((await server.load('org/greedy', 'greedy')).status).toBe(200);
      const { pid } = server.gateway.snapshot().models.find(({ id }) => id === 'org/greedy')!;
      const response = await ask(server.baseUrl, 'org/greedy', LONG);
      codes.push(`${response.status} ${((await response.json()) as { error: { code: string } }).error.code}`);
      // The answer does not wait for the end of the process.
      await expect.poll(() => isRunning(pid!)).toBe(false);
      const state = server.gateway.snapshot().models.find(({ id }) => id === 'org/greedy')!;
      expect(state.crashes).toBe(crash);
    }
    expect(codes).toEqual(Array.from({ length: 3 }, () => '503 engine_killed'));
    const refused = await ask(server.baseUrl, 'org/greedy');
    expect([refused.status, ((await refused.json()) as { error: { code: string } }).error.code]).toEqual([503, 'breaker_open']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(1);
    expect((await other).status).toBe(200);
    const killed = server.events.filter(({ event }) => event === 'engine.killed');
    expect(killed).toHaveLength(3);
    for (const event of killed) expect(event).toMatchObject({ reason: 'oom', model: { id: 'org/greedy' }, details: { limit: 400 * MIB } });
  }, 120_000);

  test.each([
    ['processor', 'cpu', { cpuMs: 1_500 }],
    ['threads', 'threads', { threads: 30 }],
    ['output', 'output', { outputBytes: 1_000_000 }],
  ] as const)(
    '[security G46] too much %s ends an engine with the reason "%s"',
    async (take, reason, processLimits) => {
      await using server = await startGreedy({ take, takeAfterTokens: 1, processLimits });
      const response = await ask(server.baseUrl, 'org/greedy', LONG);
      expect([response.status, ((await response.json()) as { error: { code: string } }).error.code]).toEqual([503, 'engine_killed']);
      expect(server.events.filter(({ event }) => event === 'engine.killed').map(({ reason: told }) => told)).toEqual([reason]);
    },
    60_000,
  );

  test('[security G46] an engine whose time is over is ended with the reason "wall", and its load is not begun again for a waiting request', async () => {
    await using server = await startGreedy({ processLimits: { wallMs: 2_500 } });
    const response = await ask(server.baseUrl, 'org/greedy', LONG);
    expect([response.status, ((await response.json()) as { error: { code: string } }).error.code]).toEqual([503, 'engine_killed']);
    expect(server.events.at(-1)).toMatchObject({ event: 'engine.killed', reason: 'wall', details: { limit: 2_500 } });
  }, 60_000);

  test('[security G46] tokens, queue and concurrency are capped, each with its own word', async () => {
    await using server = await startGreedy({ parallel: 1 }, { queueLimit: 1 });
    const capped = (await (await ask(server.baseUrl, 'org/greedy', 'word '.repeat(30).trim(), { max_tokens: 5 })).json()) as {
      choices: { finish_reason: string }[];
      usage: { completion_tokens: number };
    };
    expect([capped.choices[0]!.finish_reason, capped.usage.completion_tokens]).toEqual(['length', 5]);
    const busy = ask(server.baseUrl, 'org/greedy', 'word '.repeat(150).trim());
    await expect.poll(() => server.gateway.snapshot().models.find(({ id }) => id === 'org/greedy')?.inFlight).toBe(1);
    const waiting = ask(server.baseUrl, 'org/greedy');
    await expect.poll(() => server.gateway.queue().length).toBe(1);
    const over = await ask(server.baseUrl, 'org/greedy');
    expect([over.status, ((await over.json()) as { error: { code: string } }).error.code]).toEqual([503, 'queue_full']);
    expect((await Promise.all([busy, waiting])).map(({ status }) => status)).toEqual([200, 200]);
  }, 60_000);
});

test('[security G49] the layers that are told are in force: the kernel and the looks confirm them, and without them none is told', async () => {
  await using server = await startGreedy({});
  expect((await ask(server.baseUrl, 'org/greedy')).status).toBe(200);
  const protectionOf = async () => {
    const status = (await (await server.get('/admin/v1/status')).json()) as {
      models: { id: string; pid: number; protection: { layers: string[]; held: { name: string; value: number }[]; limits: { memoryBytes: number } } }[];
    };
    return status.models.find(({ id }) => id === 'org/greedy')!;
  };
  await expect.poll(async () => (await protectionOf()).protection.layers).toContain('polling');
  const { pid, protection } = await protectionOf();
  const { readFileSync } = await import('node:fs');
  if (protection.layers.includes('rlimit')) {
    const text = readFileSync(`/proc/${pid}/limits`, 'utf8');
    expect(text).toMatch(/^Max core file size\s+0\s+0/m);
    const data = protection.held.find(({ name }) => name === 'rlimit:data')!.value;
    expect(text).toMatch(new RegExp(`^Max data size\\s+${data}\\s`, 'm'));
    expect(data).toBeGreaterThan(protection.limits.memoryBytes);
  } else expect(protection.held.filter(({ name }) => name.startsWith('cgroup:'))).not.toEqual(protection.layers.includes('systemd-scope') ? [] : null);

  await using bare = await startObserved({});
  expect((await ask(bare.baseUrl, 'org/fake')).status).toBe(200);
  const plain = (await (await bare.get('/admin/v1/status')).json()) as { models: { protection: { layers: string[] } }[] };
  expect(plain.models[0]!.protection.layers).toEqual([]);
}, 60_000);
