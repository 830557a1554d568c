import { expect, test } from 'vitest';
import { createTestHome } from '../support/hearth-process.ts';
import { startHttp } from '../support/http-fixture.ts';

interface Row {
  limit: string;
  value: number;
  key: string | null;
  origin: string;
  place: string | null;
  over: string;
}

test('`status --limits` tells each limit with its value, where that comes from, and what is over it', async () => {
  await using home = await createTestHome();
  expect((await home.run(['config', 'set', 'limits.queueTotal', '7'])).code).toBe(0);
  const run = (...more: string[]) => home.run(['status', '--limits', ...more], { env: { HEARTH_LIMITS_BODY_BYTES: '4096' } });
  const { limits } = (JSON.parse((await run('--json')).stdout) as { data: { limits: Row[] } }).data;
  const of = (name: string) => limits.find(({ limit }) => limit === name);
  expect(of('JSON body')).toMatchObject({ value: 4096, key: 'limits.bodyBytes', origin: 'env', place: 'HEARTH_LIMITS_BODY_BYTES', over: '413' });
  expect(of('queue')).toMatchObject({ value: 7, origin: 'user', place: expect.stringMatching(/config\.yaml:\d+$/) });
  expect(of('queue of one key')).toMatchObject({ value: 64, origin: 'default', place: null });
  expect(of('headers')).toMatchObject({ value: 16_384, key: null, origin: 'built in' });
  const text = (await run()).stdout;
  for (const { limit } of limits) expect(text).toContain(`\n${limit} `);
  expect(text).toMatch(/JSON body +\| +4 KiB \| 413 +\| limits\.bodyBytes \(env: HEARTH_LIMITS_BODY_BYTES\)\n/);
  expect((await run('--watch')).code).toBe(2);
});

test('limits that are told as built in are those that a request meets: one more of each is refused', async () => {
  await using home = await createTestHome();
  const { limits } = (JSON.parse((await home.run(['status', '--limits', '--json'])).stdout) as { data: { limits: Row[] } }).data;
  for (const line of (await home.run(['status', '--limits'])).stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
  const value = (name: string) => limits.find(({ limit }) => limit === name)!.value;
  await using server = await startHttp();
  const ask = async (more: object): Promise<number> => {
    const body = JSON.stringify({ model: 'org/fake', messages: [{ role: 'user', content: 'hi' }], max_tokens: 1, ...more });
    return (await fetch(`${server.baseUrl}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })).status;
  };
  const many = (count: number, of: unknown) => Array.from({ length: count }, () => of);
  const message = { role: 'user', content: 'hi' };
  const cases: readonly [name: string, body: (count: number) => object][] = [
    ['messages', (count) => ({ messages: many(count, message) })],
    ['parts of a message', (count) => ({ messages: [{ role: 'user', content: many(count, { type: 'text', text: 'a' }) }] })],
    ['stop strings', (count) => ({ stop: many(count, 'zz') })],
    ['one stop string', (count) => ({ stop: 'z'.repeat(count) })],
  ];
  for (const [name, body] of cases) {
    expect([name, await ask(body(value(name)))]).toEqual([name, 200]);
    expect([name, await ask(body(value(name) + 1))]).toEqual([name, 400]);
  }
  const deep = (depth: number) => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`) as unknown;
  expect(await ask({ metadata: deep(value('JSON depth') + 1) })).toBe(400);
  expect(await ask({ logit_bias: Object.fromEntries(Array.from({ length: value('logit_bias entries') + 1 }, (_, i) => [i, 1])) })).toBe(400);
});
