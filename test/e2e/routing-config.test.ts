import { existsSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { socketFetch } from '../../src/app/index.ts';
import { createTestHome } from '../support/hearth-process.ts';
import { chatReply, json, startMockUpstream, status } from '../support/mock-upstream.ts';
import { startRedis, withoutRedis } from '../support/redis-server.ts';

const config = (url: string, more = '') => `
remotes:
  box: { kind: openai, baseUrl: "${url}/v1", privacy: local, models: [m] }
  sky: { kind: openai, baseUrl: "${url}/v1", privacy: cloud, apiKey: { env: SKY_KEY }, models: [m], pricePerMillionTokens: { input: 1, output: 10 } }
routes:
  chat: [sky/m, box/m]
aliases:
  claude-*: chat
gateway: { maxAttempts: 1 }
cloud: { enabled: true, dailyCapUsd: 0.5 }
${more}`;

describe('routes in the configuration of a daemon', () => {
  test('[serving V70] answer by alias, book what a cloud cost, follow a changed file, and tell breakers in /metrics', async () => {
    await using mock = await startMockUpstream();
    await using home = await createTestHome();
    await mkdir(home.home, { recursive: true, mode: 0o700 });
    const file = join(home.home, 'config.yaml');
    await writeFile(file, config(mock.url), { mode: 0o600 });
    const server = home.start(['serve', '--json', '--port', '0'], { env: { SKY_KEY: 'sky-secret-0123456789' } });
    const { data } = JSON.parse(await server.waitFor('stdout', /\n\}\n/)) as { data: { port: number } };
    const socket = socketFetch(join(home.home, 'run/hearthd.sock'));
    const admin = async (path: string) => await (await socket(new Request(`http://localhost${path}`))).text();
    const chat = (model: string) =>
      fetch(`http://127.0.0.1:${data.port}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, max_tokens: 10, messages: [{ role: 'user', content: 'hi' }] }),
      });

    mock.script(json(chatReply('from the sky')));
    const first = await chat('claude-opus');
    expect(first.status).toBe(200);
    expect(first.headers.get('x-hearth-upstream')).toBe('sky');
    expect(mock.requests.at(-1)!.headers.authorization).toBe('Bearer sky-secret-0123456789');
    expect(statSync(join(home.home, 'state/spend.sqlite')).mode & 0o777).toBe(0o600);
    const view = await admin('/admin/v1/upstreams');
    expect(JSON.parse(view)).toMatchObject({ spend: { enabled: true, dailyCapUsd: 0.5 } });
    expect(view + (await admin('/admin/v1/status'))).not.toContain('sky-secret');

    mock.script(status(500, { error: { message: 'broken' } }));
    for (let count = 0; count < 5; count += 1) await chat('box/m');
    const metrics = await admin('/metrics');
    expect(metrics).toMatch(/hearth_breaker_state\{upstream="box",model="m"\} 2/);
    expect(metrics).toMatch(/hearth_upstream_attempts_total\{upstream="sky",result="ok"\} 1/);
    expect(metrics).toMatch(/hearth_cost_usd_total\{upstream="sky"\} 0\.0000/);

    // The breaker of an upstream that did not change stays as it is.
    await writeFile(file, `${config(mock.url).replace('claude-*: chat', 'claude-*: box/m')}`, { mode: 0o600 });
    await expect.poll(() => admin('/admin/v1/routes')).toContain('"target":"box/m"');
    expect((await chat('claude-opus')).status).toBe(503);
    expect(server.stderr() + server.stdout()).not.toContain('sky-secret');
  });

  test.skipIf(withoutRedis !== undefined)('budgets of two daemons are one where they share a Redis server, and refuse when it is gone', async () => {
    // An answer of Redis has 50 ms, which a busy machine may not give: then all of it is tried again.
    for (let tries = 0; !(await shareBudgets()); tries += 1) expect(tries).toBeLessThan(10);
  });

  /** False where Redis was too slow for one of the requests. */
  async function shareBudgets(): Promise<boolean> {
    await using redis = await startRedis();
    await using mock = await startMockUpstream();
    mock.script(json(chatReply('from the sky')));
    await using one = await createTestHome();
    await using two = await createTestHome();
    const start = async (home: typeof one) => {
      await mkdir(home.home, { recursive: true, mode: 0o700 });
      // One request sets aside about 0.0001 dollars and costs 0.00005.
      const text = config(mock.url, `stateStore: "${redis.url}"`).replace('0.5', '0.00022');
      await writeFile(join(home.home, 'config.yaml'), text, { mode: 0o600 });
      const server = home.start(['serve', '--json', '--port', '0'], { env: { SKY_KEY: 'sky-secret-0123456789' } });
      const { data } = JSON.parse(await server.waitFor('stdout', /\n\}\n/)) as { data: { port: number } };
      const chat = () =>
        fetch(`http://127.0.0.1:${data.port}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ model: 'sky/m', max_tokens: 10, messages: [{ role: 'user', content: 'hi' }] }),
        });
      return { chat, home };
    };
    const [a, b] = [await start(one), await start(two)];
    // Three answers of 0.000049 dollars: what a fourth one may cost no longer fits, whoever asks.
    for (const [side, status] of [
      [a, 200],
      [b, 200],
      [a, 200],
      [b, 429],
      [a, 429],
    ] as const) {
      const answer = await side.chat();
      if (answer.status === 503 && (await answer.text()).includes('state_store_unavailable')) return false;
      expect(answer.status).toBe(status);
    }
    await redis.kill();
    const refused = await b.chat();
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ error: { code: 'state_store_unavailable' } });
    expect(existsSync(join(a.home.home, 'state/spend.sqlite'))).toBe(true);
    return true;
  }
});
