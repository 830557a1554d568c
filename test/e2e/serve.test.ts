import { existsSync, statSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { socketFetch } from '../../src/app/index.ts';
import { serverDataSchema } from '../../src/contract/index.ts';
import { createTestHome, type Started, type TestHome } from '../support/hearth-process.ts';
import { hasEnded } from '../support/process-state.ts';
import { installTinyModel, TINY_COMMIT, TINY_MODEL, writeTinyModel } from '../support/tiny-model.ts';

/** The start document of `serve --json`, once it is there. */
async function started(server: Started): Promise<ReturnType<typeof serverDataSchema.parse>> {
  const text = await server.waitFor('stdout', /\n\}\n/);
  const document = JSON.parse(text) as { status: string; command: string; data: unknown; error: null };
  expect(document).toMatchObject({ status: 'success', command: 'server', error: null });
  return serverDataSchema.parse(document.data);
}

/** As long as the context of the tiny model lets it be; its end tokens never come. */
const LONG = { max_tokens: 480, logit_bias: { 98: -100, 99: -100 } };
/** More megabytes than a socket takes unread: such a stream has no end before its client reads. */
const MANY = { ...LONG, n: 4, logprobs: true, top_logprobs: 20 };

const freePort = async (): Promise<number> => {
  const probe = createServer();
  await new Promise<void>((ready) => probe.listen(0, '127.0.0.1', ready));
  const { port } = probe.address() as { port: number };
  await new Promise((done) => probe.close(done));
  return port;
};

/** Process ids of the engines that the daemon runs, as it says itself over its socket. */
async function childrenOf(home: TestHome, server: Started): Promise<{ children: number[] }> {
  const fetchStatus = socketFetch(join(home.home, 'run/hearthd.sock'));
  const response = await fetchStatus(new Request('http://localhost/admin/v1/status'));
  const status = (await response.json()) as { pid: number; models: { pid: number | null }[] };
  expect(status.pid).toBe(server.child.pid);
  return { children: status.models.flatMap((model) => model.pid ?? []) };
}

const healthy = async (port: number): Promise<boolean> => (await fetch(`http://127.0.0.1:${port}/health`).catch(() => null))?.status === 200;

describe('hearth serve', () => {
  it('[store K111] listens on HEARTH_PORT, and on MLXK2_PORT; --port wins', async () => {
    await using home = await createTestHome();
    const [first, second, third] = [await freePort(), await freePort(), await freePort()];
    const runs: readonly (readonly [args: readonly string[], env: Readonly<Record<string, string>>, port: number])[] = [
      [[], { HEARTH_PORT: String(first) }, first],
      [[], { MLXK2_PORT: String(second) }, second],
      [['--port', String(third)], { HEARTH_PORT: String(first), MLXK2_PORT: String(second) }, third],
    ];
    for (const [args, env, port] of runs) {
      const server = home.start(['serve', '--json', ...args], { env });
      expect((await started(server)).port).toBe(port);
      expect(await healthy(port)).toBe(true);
      server.child.kill('SIGTERM');
      expect((await server.ended).code).toBe(0);
    }
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('ends with exit 0 at %s, frees the port and leaves no socket', async (signal) => {
    await using home = await createTestHome();
    const server = home.start(['serve', '--json', '--port', '0']);
    const { port } = await started(server);
    expect(statSync(join(home.home, 'run/hearthd.sock')).mode & 0o777).toBe(0o600);
    expect(statSync(home.home).mode & 0o777).toBe(0o700);
    server.child.kill(signal);
    expect((await server.ended).code).toBe(0);
    expect(await healthy(port)).toBe(false);
    expect(existsSync(join(home.home, 'run/hearthd.sock'))).toBe(false);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('[store K110] %s ends its children and frees the port', async (signal) => {
    await using home = await createTestHome();
    await installTinyModel(home.hfHome);
    const server = home.start(['serve', '--json', '--port', '0', '--model', 'tiny-llama']);
    const { port, model } = await started(server);
    expect(model).toBe('tiny-llama');
    const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: TINY_MODEL, messages: [{ role: 'user', content: 'hello' }], max_tokens: 4 }),
    });
    expect(answer.status).toBe(200);
    const { children } = await childrenOf(home, server);
    expect(children.length).toBe(1);
    server.child.kill(signal);
    expect((await server.ended).code).toBe(0);
    for (const pid of children) expect(await hasEnded(pid)).toBe(true);
    expect(await healthy(port)).toBe(false);
  });

  it('takes a directory by its path, which answers under its last part', async () => {
    await using home = await createTestHome();
    await writeTinyModel(join(home.directory, 'mine'));
    const server = home.start(['serve', '--json', '--port', '0', '--model', './mine']);
    const { port } = await started(server);
    const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'mine', messages: [{ role: 'user', content: 'hello' }], max_tokens: 4 }),
    });
    expect([answer.status, await answer.json()]).toMatchObject([200, { model: 'mine' }]);
    server.child.kill('SIGTERM');
    expect((await server.ended).code).toBe(0);
  });

  it('[store K109] a model that cannot be loaded ends it with the reason', async () => {
    await using home = await createTestHome();
    const { code, stderr } = await home.run(['serve', '--port', '0', '--model', 'no-such-model']);
    expect(code).toBe(1);
    expect(stderr).toContain('no-such-model');
    await installTinyModel(home.hfHome);
    await truncate(join(home.hfHome, 'hub/models--hearth-test--tiny-llama/snapshots', TINY_COMMIT, 'model.safetensors'), 1000);
    const broken = await home.run(['serve', '--json', '--port', '0', '--model', 'tiny-llama']);
    expect(broken.code).toBe(1);
    expect(JSON.parse(broken.stdout)).toMatchObject({ status: 'error', command: 'server', error: { message: expect.stringContaining('model.safetensors') } });
  });

  it('refuses a second daemon of one home, naming the first, also after kill -9 of an earlier one', async () => {
    await using home = await createTestHome();
    const killed = home.start(['serve', '--json', '--port', '0']);
    await started(killed);
    killed.child.kill('SIGKILL');
    await killed.ended;
    const server = home.start(['serve', '--json', '--port', '0']);
    const { port } = await started(server);
    const second = await home.run(['serve', '--port', '0']);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`pid ${server.child.pid}`);
    expect(second.stderr).toContain(`http://127.0.0.1:${port}`);
    expect(second.stderr).not.toContain('hearthd.lock');
  });

  it('[serving V63] at SIGTERM new requests get 503 draining while a running stream ends whole', async () => {
    await using home = await createTestHome();
    await installTinyModel(home.hfHome);
    const server = home.start(['serve', '--json', '--port', '0', '--model', 'tiny-llama']);
    const { port } = await started(server);
    const ask = (body: object) =>
      fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'tiny-llama', messages: [{ role: 'user', content: 'hi' }], ...body }),
      });
    const running = await ask({ stream: true, ...MANY });
    server.child.kill('SIGTERM');
    await server.waitFor('stderr', 'Stopping');
    const refused = await ask({});
    expect([refused.status, await refused.json()]).toMatchObject([503, { error: { code: 'draining' } }]);
    expect(await running.text()).toMatch(/data: \[DONE\]\n\n$/);
    expect((await server.ended).code).toBe(0);
  });

  it('a second SIGTERM ends running streams with an error in them', async () => {
    await using home = await createTestHome();
    await installTinyModel(home.hfHome);
    const server = home.start(['serve', '--json', '--port', '0', '--model', 'tiny-llama']);
    const { port } = await started(server);
    const running = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'tiny-llama', messages: [{ role: 'user', content: 'hi' }], stream: true, ...MANY }),
    });
    server.child.kill('SIGTERM');
    await server.waitFor('stderr', 'Stopping');
    server.child.kill('SIGTERM');
    const text = await running.text();
    expect(text).toContain('"code":"draining"');
    expect(text).not.toContain('[DONE]');
    expect((await server.ended).code).toBe(0);
  });

  it('names the process that has the port', async () => {
    await using home = await createTestHome();
    await using other: TestHome = await createTestHome();
    const server = home.start(['serve', '--json', '--port', '0']);
    const { port } = await started(server);
    const { code, stdout } = await other.run(['serve', '--json', '--port', String(port)]);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      status: 'error',
      command: 'server',
      error: { code: 'port_in_use', message: expect.stringContaining(String(port)) },
    });
    if (process.platform === 'linux') expect(stdout).toContain(`hearth.js (pid ${server.child.pid})`);
  });

  it('[store K112] with --log-json every line parses, and request lines carry the request id', async () => {
    await using home = await createTestHome();
    const server = home.start(['serve', '--json', '--log-json', '--port', '0'], { env: { HEARTH_DEBUG: '1' } });
    const { port } = await started(server);
    const answer = await fetch(`http://127.0.0.1:${port}/health`);
    await server.waitFor('stderr', '/health');
    server.child.kill('SIGTERM');
    const { stderr } = await server.ended;
    const lines = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const line of lines) expect(line).toMatchObject({ ts: expect.any(String), level: expect.any(String), msg: expect.any(String) });
    expect(lines.find((line) => line['path'] === '/health')).toMatchObject({ request_id: answer.headers.get('x-request-id'), status: 200 });
    expect(stderr).not.toContain(home.directory);
  });

  it('answers the other verbs over its socket as they answer without it', async () => {
    await using home = await createTestHome();
    const alone = await home.run(['health', '--json']);
    const server = home.start(['serve', '--json', '--log-json', '--port', '0']);
    await started(server);
    expect(await home.run(['health', '--json'])).toEqual(alone);
    await server.waitFor('stderr', '/admin/v1/store');
    for (const line of server.stderr().trim().split('\n'))
      expect(JSON.parse(line)).toMatchObject({ ts: expect.any(String), level: expect.any(String), msg: expect.any(String) });
    expect((await home.run(['show', 'nothing'])).code).toBe(1);
  });

  it('a listener that others reach is refused while there are no keys', async () => {
    await using home = await createTestHome();
    const { code, stdout } = await home.run(['serve', '--json', '--host', '0.0.0.0', '--port', '0']);
    expect([code, (JSON.parse(stdout) as { error: { code: string } }).error.code]).toEqual([1, 'bind_without_auth']);
  });
});

describe('a daemon that is killed', () => {
  it('[serving V62] leaves no child and no locked port, and the next one takes its place', async () => {
    await using home = await createTestHome();
    await installTinyModel(home.hfHome);
    const killed = home.start(['serve', '--json', '--port', '0', '--model', 'tiny-llama']);
    const { port } = await started(killed);
    const { children } = await childrenOf(home, killed);
    expect(children.length).toBe(1);
    killed.child.kill('SIGKILL');
    await killed.ended;
    for (const pid of children) expect(await hasEnded(pid)).toBe(true);
    const next = home.start(['serve', '--json', '--port', String(port), '--model', 'tiny-llama']);
    expect((await started(next)).port).toBe(port);
    expect(await healthy(port)).toBe(true);
    next.child.kill('SIGTERM');
    expect((await next.ended).code).toBe(0);
  });
});
