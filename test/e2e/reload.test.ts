import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { socketFetch } from '../../src/app/index.ts';
import type { ReloadResult, ResidentModel } from '../../src/contract/index.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { installTinyModel } from '../support/tiny-model.ts';

interface Daemon {
  readonly port: number;
  /** Over the socket: every scope. */
  ask<T>(method: string, path: string, body?: object): Promise<{ readonly status: number; readonly body: T }>;
  write(text: string): Promise<void>;
  lastReload(): Promise<ReloadResult>;
  hangUp(): void;
}

async function serve(home: TestHome, ...args: readonly string[]): Promise<Daemon> {
  const server = home.start(['serve', '--json', '--port', '0', ...args]);
  const text = await server.waitFor('stdout', /\n\}\n/);
  const { port } = (JSON.parse(text) as { data: { port: number } }).data;
  const fetchSocket = socketFetch(join(home.home, 'run/hearthd.sock'));
  const ask = async <T>(method: string, path: string, body?: object) => {
    const response = await fetchSocket(
      new Request(`http://localhost${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );
    return { status: response.status, body: (await response.json()) as T };
  };
  return {
    port,
    ask,
    async write(content) {
      // As editors do it: a new file in the place of the old one.
      await writeFile(join(home.home, 'config.yaml.new'), content, { mode: 0o600 });
      await rename(join(home.home, 'config.yaml.new'), join(home.home, 'config.yaml'));
    },
    lastReload: async () => (await ask<ReloadResult>('GET', '/admin/v1/config/reload')).body,
    hangUp: () => void server.child.kill('SIGHUP'),
  };
}

const models = (port: number) => fetch(`http://127.0.0.1:${port}/v1/models`);

describe('the configuration of a running daemon', () => {
  it('[serving V64] a valid one applies without dropping a stream: by the file, by SIGHUP, by the route; an invalid one is refused with file and line', async () => {
    await using home = await createTestHome();
    await installTinyModel(home.hfHome);
    const daemon = await serve(home, '--model', 'tiny-llama');
    const resident = async () => (await daemon.ask<{ models: ResidentModel[] }>('GET', '/admin/v1/models')).body.models[0]!;
    const before = await resident();
    expect(await daemon.lastReload()).toMatchObject({ at: null, cause: 'start', ok: true });

    const chat = (extra: object) =>
      fetch(`http://127.0.0.1:${daemon.port}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          model: 'tiny-llama',
          messages: [{ role: 'user', content: 'hi' }],
          max_tokens: 480,
          logit_bias: { 98: -100, 99: -100 },
          ...extra,
        }),
      });
    /** Each fills all places of the model: one runs, the others wait for it. */
    const streams = (count: number) =>
      Array.from({ length: count }, async () => (await chat({ stream: true, n: 4, logprobs: true, top_logprobs: 20, max_tokens: 400 })).text());
    const whole = (texts: string[]) => texts.map((text) => [text.split('"finish_reason":"length"').length - 1, text.endsWith('data: [DONE]\n\n')]);
    const first = streams(2);
    await expect.poll(async () => (await resident()).inFlight).toBe(1);

    await daemon.write('access:\n  requireKey: true\n');
    await expect.poll(daemon.lastReload).toMatchObject({ cause: 'file', ok: true, changed: ['access.requireKey'], needRestart: [] });
    expect((await models(daemon.port)).status).toBe(401);
    expect(whole(await Promise.all(first))).toEqual([
      [4, true],
      [4, true],
    ]);
    await daemon.write('access: {}\n');
    await expect.poll(async () => (await models(daemon.port)).status).toBe(200);

    // Engine options: the model lets its request end, and is loaded again with the new ones.
    const second = streams(3);
    await expect.poll(async () => (await resident()).inFlight).toBe(1);
    let parallelSequences = 0;
    let reloaded: ReloadResult | null = null;
    // The one who watches the file may be first on a busy machine; then there is nothing left to change.
    for (let i = 0; i < 10 && (reloaded?.changed.length ?? 0) === 0; i++) {
      parallelSequences = 2 + (i % 2);
      await daemon.write(`gateway:\n  parallelSequences: ${parallelSequences}\nmemory:\n  hardLimitPct: ${80 - i}\n`);
      const { status, body } = await daemon.ask<ReloadResult>('POST', '/admin/v1/config/reload');
      expect(status).toBe(200);
      reloaded = body;
    }
    expect(reloaded).toMatchObject({
      cause: 'admin',
      ok: true,
      changed: ['memory.hardLimitPct', 'gateway.parallelSequences'],
      needRestart: ['memory.hardLimitPct'],
    });
    expect((await models(daemon.port)).status).toBe(200);

    await daemon.write('access:\n  requireKey: perhaps\nsampling:\n  temperature: 9\n');
    await expect.poll(daemon.lastReload).toMatchObject({ cause: 'file', ok: false, changed: [] });
    const problems = [...(await daemon.lastReload()).problems].sort();
    expect(problems).toHaveLength(2);
    expect(problems[0]).toMatch(/config\.yaml:2: access\.requireKey must be true, false/);
    expect(problems[1]).toMatch(/config\.yaml:4: sampling\.temperature must be/);
    const refused = await daemon.ask<{ error: { code: string; message: string } }>('POST', '/admin/v1/config/reload');
    expect([refused.status, refused.body.error.code]).toEqual([400, 'config_invalid']);
    expect(refused.body.error.message).toContain('config.yaml:2');
    expect((await models(daemon.port)).status).toBe(200);

    expect(whole(await Promise.all(second))).toEqual([
      [4, true],
      [4, true],
      [4, true],
    ]);
    await expect.poll(resident).toMatchObject({ state: 'ready', parallelSequences, inFlight: 0 });
    expect((await resident()).pid).not.toBe(before.pid);
    expect((await chat({ max_tokens: 2 })).status).toBe(200);

    await daemon.write('# all as it was\n');
    await expect.poll(daemon.lastReload).toMatchObject({ cause: 'file', ok: true });
    daemon.hangUp();
    await expect.poll(daemon.lastReload).toMatchObject({ cause: 'signal', ok: true, changed: [] });
  });

  it('[security G39] [serving V77] listens on 127.0.0.1 and ::1 alone; another address needs an API key, and with one every route but the public ones does, on loopback too', async () => {
    await using home = await createTestHome();
    const refused = await home.run(['serve', '--host', '0.0.0.0', '--port', '0']);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('0.0.0.0 is reached by other machines');

    const first = await serve(home);
    const { listeners } = (await first.ask<{ listeners: string[] }>('GET', '/admin/v1/status')).body;
    const tcp = listeners.filter((address) => address.startsWith('http')).map((address) => new URL(address).hostname);
    expect(tcp.filter((host) => host !== '127.0.0.1' && host !== '[::1]')).toEqual([]);
    expect(tcp).toContain('127.0.0.1');
    const made = await home.run(['keys', 'api', 'new', '--scope', 'inference']);
    expect(made.code).toBe(0);
    const key = made.stdout.trim();
    expect((await fetch(`http://127.0.0.1:${first.port}/v1/models`, { headers: { 'x-api-key': key } })).status).toBe(200);
    await first.ask('POST', '/admin/v1/daemon/stop', {});
    await expect
      .poll(() =>
        models(first.port).then(
          () => true,
          () => false,
        ),
      )
      .toBe(false);

    const second = home.start(['serve', '--json', '--host', '0.0.0.0', '--port', '0']);
    const text = await second.waitFor('stdout', /\n\}\n/);
    const { port } = (JSON.parse(text) as { data: { port: number } }).data;
    await second.waitFor('stderr', /plain HTTP/);
    for (const path of ['/v1/models', '/admin/v1/status', '/metrics', '/nothing']) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      expect([path, response.status]).toEqual([path, 401]);
    }
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status).toBe(200);
  });
});
