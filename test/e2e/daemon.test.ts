import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { takeDaemonLock } from '../../src/app/daemon/lock.ts';
import { socketFetch } from '../../src/app/index.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { hasEnded, isRunning } from '../support/process-state.ts';
import { installTinyModel, TINY_MODEL } from '../support/tiny-model.ts';

interface Status {
  readonly pid: number;
  readonly daemon: {
    readonly mode: string;
    readonly desired: string;
    readonly idle: boolean;
    readonly gateway: { readonly url: string | null; readonly port: number | null };
  };
  readonly models: readonly { readonly pid: number | null }[];
}

/** A test home whose daemon, which outlives the commands, ends with it. */
async function daemonHome(): Promise<TestHome> {
  const home = await createTestHome();
  return {
    ...home,
    async [Symbol.asyncDispose]() {
      const status = await statusOf(home).catch(() => null);
      if (status) {
        process.kill(status.pid, 'SIGKILL');
        await hasEnded(status.pid);
      }
      await home[Symbol.asyncDispose]();
    },
  };
}

async function statusOf(home: TestHome): Promise<Status | null> {
  const socket = join(home.home, 'run/hearthd.sock');
  if (!existsSync(socket)) return null;
  const response = await socketFetch(socket)(new Request('http://localhost/admin/v1/status')).catch(() => null);
  return response === null ? null : ((await response.json()) as Status);
}

const env = { HEARTH_GATEWAY_PORT: '0' };
const up = async (home: TestHome) => {
  const result = await home.run(['up', '--json'], { env });
  expect(result.stderr + result.stdout).toContain('"success"');
  return (await statusOf(home))!;
};
const ask = (url: string, body: object = {}) =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: TINY_MODEL, messages: [{ role: 'user', content: 'hi' }], max_tokens: 4, ...body }),
  });
const hearthdLog = (home: TestHome): string => readFileSync(join(home.home, 'logs/hearthd.log'), 'utf8');
const sizes = (directory: string): string =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.log'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => `${path} ${statSync(path).mtimeMs} ${statSync(path).size}`)
    .sort()
    .join('\n');

describe('the daemon on demand', () => {
  it('up starts it detached, a model answers through its gateway, down ends both and remembers the wish', async () => {
    await using home = await daemonHome();
    await installTinyModel(home.hfHome);
    const first = await up(home);
    expect(first.daemon).toMatchObject({ mode: 'on-demand', desired: 'up' });
    expect((await ask(first.daemon.gateway.url!)).status).toBe(200);
    expect((await up(home)).pid).toBe(first.pid);
    const engines = (await statusOf(home))!.models.flatMap(({ pid }) => pid ?? []);
    expect(engines).toHaveLength(1);
    const down = JSON.parse((await home.run(['down', '--json'])).stdout);
    expect(down.data.services.map(({ service, status }: { service: string; status: string }) => [service, status])).toEqual([
      ['gateway', 'stopped'],
      [TINY_MODEL, 'stopped'],
    ]);
    for (const pid of [first.pid, ...engines]) expect(await hasEnded(pid)).toBe(true);
    expect(JSON.parse(readFileSync(join(home.home, 'state/desired.json'), 'utf8'))).toEqual({ desired: 'down', tiers: {} });
    await expect(ask(first.daemon.gateway.url!)).rejects.toThrow();
    const again = await home.run(['down']);
    expect([again.code, again.stdout]).toEqual([0, 'Nothing is running.\n']);
  });

  it.skipIf(process.platform !== 'linux')('leaves its garbage little room, unless its user has set another one (reads /proc: Linux)', async () => {
    await using home = await daemonHome();
    expect((await home.run(['up'], { env: { ...env, MALLOC_ARENA_MAX: '3' } })).code).toBe(0);
    const { pid } = (await statusOf(home))!;
    const wordsOf = (file: string): string[] => readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0');
    expect(wordsOf('cmdline')).toContain('--max-semi-space-size=4');
    expect(wordsOf('environ').filter((each) => each.startsWith('MALLOC_'))).toEqual(
      expect.arrayContaining(['MALLOC_ARENA_MAX=3', 'MALLOC_MMAP_THRESHOLD_=32768', 'MALLOC_TRIM_THRESHOLD_=65536']),
    );
  });

  it('status and logs start no daemon and change no file; they tell of one that runs', async () => {
    await using home = await daemonHome();
    const none = JSON.parse((await home.run(['status', '--json'])).stdout);
    expect(none.data).toMatchObject({ services: [], no_stack: true, daemon: { state: 'stopped', pid: null } });
    expect(existsSync(home.home)).toBe(false);
    const { pid } = await up(home);
    const before = sizes(home.home);
    const { data } = JSON.parse((await home.run(['status', '--json'])).stdout);
    expect(data).toMatchObject({
      daemon: { state: 'running', pid, mode: 'on-demand', desired: 'up' },
      services: [{ tier: 'gateway', model: 'proxy', status: 'healthy' }],
      hardware: { memory_gb: expect.any(Number) },
    });
    expect(sizes(home.home)).toBe(before);
    expect((await home.run(['logs'])).stdout).toContain('hearthd');
    const tail = await home.run(['logs', 'hearthd', '--tail', '500']);
    expect(tail.stdout).toContain('The gateway is open.');
    const unknown = await home.run(['logs', '../state/desired.json']);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain('hearthd');
    expect((await home.run(['logs', 'hearthd', '--rotate'])).code).toBe(0);
    await expect.poll(() => existsSync(join(home.home, 'logs/hearthd.log.1.gz'))).toBe(true);
    const all = await home.run(['logs', 'hearthd', '--all']);
    expect(all.stdout.indexOf('==> hearthd.log.1.gz <==')).toBeLessThan(all.stdout.indexOf('==> hearthd.log <=='));
    expect(all.stdout).toContain('The gateway is open.');
    const following = home.start(['logs', 'hearthd', '-f']);
    await following.waitFor('stdout', 'request');
    following.child.kill('SIGINT');
    expect((await following.ended).code).toBe(0);
  });

  it('one that nobody uses leaves for `hearth serve`; one that is up does not', async () => {
    await using home = await daemonHome();
    const started = home.start(['--on-demand'], { program: 'hearthd', env });
    await expect.poll(() => statusOf(home), { timeout: 30_000 }).not.toBeNull();
    expect((await statusOf(home))!.daemon).toMatchObject({ mode: 'on-demand', desired: 'down', idle: true });
    const server = home.start(['serve', '--json', '--port', '0']);
    await server.waitFor('stdout', /\n\}\n/);
    expect((await started.ended).code).toBe(0);
    expect((await statusOf(home))!.pid).toBe(server.child.pid);
    const refused = await home.run(['up'], { env });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('hearth serve')]);
    expect((await home.run(['down', '--daemon'])).code).toBe(0);
    expect((await server.ended).code).toBe(0);
    const { pid } = await up(home);
    const second = await home.run(['serve', '--port', '0']);
    expect([second.code, second.stderr]).toEqual([1, expect.stringContaining(`pid ${pid}`)]);
    expect(second.stderr).toContain('hearth down --daemon');
  });

  it('a daemon that cannot start is told with its last lines, and the log names the reason', async () => {
    await using home = await daemonHome();
    await mkdir(join(home.home, 'run'), { recursive: true, mode: 0o700 });
    await mkdir(join(home.home, 'run', 'hearthd.lock'), { mode: 0o700 });
    const { code, stdout } = await home.run(['up', '--json'], { env });
    expect(code).toBe(1);
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'daemon_start_failed',
      detail: { lastLines: expect.arrayContaining([expect.stringContaining('hearthd.lock')]) },
    });
  });

  it('a daemon of another API version is refused, and can still be stopped', async () => {
    await using home = await daemonHome();
    await mkdir(join(home.home, 'run'), { recursive: true, mode: 0o700 });
    let stopped = false;
    const { createServer: createHttp } = await import('node:http');
    const old = createHttp((request, response) => {
      response.setHeader('content-type', 'application/json');
      if (request.url === '/admin/v1/version') response.end(JSON.stringify({ name: 'hearth', version: '0.0.9', api_version: 0 }));
      else {
        stopped = true;
        response.end(JSON.stringify({ stopping: true, pid: process.pid }), () => old.close());
        old.closeAllConnections();
      }
    });
    await new Promise<void>((ready) => old.listen(join(home.home, 'run/hearthd.sock'), ready));
    const { code, stderr } = await home.run(['up'], { env });
    expect([code, stderr]).toEqual([1, expect.stringContaining('0.0.9')]);
    expect(stderr).toContain('hearth down --daemon');
    await home.run(['down', '--daemon']);
    expect(stopped).toBe(true);
    old.close();
  });
});

describe('hearthd', () => {
  it('refuses options that it does not know, and those that do not go together, with exit code 2', async () => {
    await using home = await createTestHome();
    for (const args of [['--nonsense'], ['--foreground', '--service'], ['word']]) {
      const { code, stderr } = await home.run(args, { program: 'hearthd' });
      expect([code, stderr]).toEqual([2, expect.stringContaining('Usage: hearthd')]);
    }
    expect(existsSync(home.home)).toBe(false);
  });

  it('in the foreground opens the gateway, and ends with exit 0 at SIGTERM', async () => {
    await using home = await createTestHome();
    const daemon = home.start(['--foreground'], { program: 'hearthd', env });
    await daemon.waitFor('stderr', 'listens on http://127.0.0.1:');
    expect((await statusOf(home))!.daemon).toMatchObject({ mode: 'foreground', desired: 'up' });
    daemon.child.kill('SIGTERM');
    expect((await daemon.ended).code).toBe(0);
    expect(existsSync(join(home.home, 'run/hearthd.sock'))).toBe(false);
  });

  it('[security G51] [serving V62] SIGKILL of the daemon leaves no engine, and the next start frees socket and port, sweeps and reports', async () => {
    await using home = await daemonHome();
    await installTinyModel(home.hfHome);
    const first = await up(home);
    expect((await ask(first.daemon.gateway.url!)).status).toBe(200);
    const [engine] = (await statusOf(home))!.models.flatMap(({ pid }) => pid ?? []);
    const journal = join(home.home, 'run/children.json');
    // The journal names the leader of the engine's group, which may be the wall around it.
    const groupOf = (pid: number): number =>
      Number(
        readFileSync(`/proc/${pid}/stat`, 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ')[2],
      );
    const [written] = JSON.parse(readFileSync(journal, 'utf8')).children as { pid: number }[];
    expect(written!.pid).toBe(process.platform === 'linux' ? groupOf(engine!) : engine);
    process.kill(first.pid, 'SIGKILL');
    expect(await hasEnded(first.pid)).toBe(true);
    expect(await hasEnded(engine!)).toBe(true);
    // One that did not end by itself, as the next daemon finds it.
    const launchId = 'c'.repeat(32);
    const left = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', '--', `--hearth-launch=${launchId}`], { stdio: 'ignore', detached: true });
    const { processTable } = await import('../../src/supervisor/index.ts');
    await expect.poll(() => processTable.identify(left.pid!)?.commandLine).toContain(launchId);
    const { startTime } = processTable.identify(left.pid!)!;
    const stranger = { pid: process.pid, startTime: '1', bootId: processTable.bootId(), launchId };
    writeFileSync(journal, JSON.stringify({ version: 1, children: [{ pid: left.pid, startTime, bootId: processTable.bootId(), launchId }, stranger] }));
    expect(existsSync(join(home.home, 'run/hearthd.sock'))).toBe(true);
    const port = String(first.daemon.gateway.port);
    const again = await home.run(['up', '--json'], { env: { HEARTH_GATEWAY_PORT: port } });
    expect(again.code).toBe(0);
    expect(await hasEnded(left.pid!)).toBe(true);
    const second = (await statusOf(home))!;
    expect(second.pid).not.toBe(first.pid);
    expect(String(second.daemon.gateway.port)).toBe(port);
    expect((await ask(second.daemon.gateway.url!)).status).toBe(200);
    expect(hearthdLog(home)).toContain('Ended an engine that an earlier daemon had left.');
    expect(hearthdLog(home)).toContain('nothing was signalled');
    expect(hearthdLog(home)).toContain('Removed the socket of a daemon that is gone.');
  });

  it('[stack S60] a stale socket and a corrupt journal are cleaned with a notice; foreign PID files are ignored', async () => {
    await using home = await daemonHome();
    await mkdir(join(home.home, 'run'), { recursive: true, mode: 0o700 });
    const socket = join(home.home, 'run/hearthd.sock');
    const holder = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]);
    await new Promise((ended) => holder.once('exit', ended));
    await using stranger = ended(spawn('sleep', ['60'], { stdio: 'ignore' }));
    for (const path of ['run/hearthd.pid', 'hearth.pid']) await writeFile(join(home.home, path), `${stranger.pid}\n`);
    await writeFile(join(home.home, 'run/children.json'), '{broken');
    await up(home);
    expect(hearthdLog(home)).toContain('Removed the socket of a daemon that is gone.');
    expect(hearthdLog(home)).toContain('The journal of children could not be read');
    expect(readdirSync(join(home.home, 'run')).some((name) => name.startsWith('children.json.corrupt-'))).toBe(true);
    expect((await home.run(['down'])).code).toBe(0);
    expect(isRunning(stranger.pid)).toBe(true);
    expect(readFileSync(join(home.home, 'run/hearthd.pid'), 'utf8')).toBe(`${stranger.pid}\n`);
  });

  it('[security G54] started under umask 000 it still makes directories 0700 and files 0600, and repairs loose modes with a notice', async () => {
    await using home = await daemonHome();
    await installTinyModel(home.hfHome);
    await mkdir(join(home.home, 'logs'), { recursive: true });
    await chmod(home.home, 0o755);
    await chmod(join(home.home, 'logs'), 0o777);
    await writeFile(join(home.home, 'run.lock.unrelated'), '', { mode: 0o600 });
    const before = process.umask(0);
    const result = await home.run(['up', '--json'], { env }).finally(() => process.umask(before));
    expect(result.code).toBe(0);
    const { daemon } = (await statusOf(home))!;
    expect((await ask(daemon.gateway.url!)).status).toBe(200);
    expect(result.stderr).toContain('it is closed to them now');
    const loose = readdirSync(home.home, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isSymbolicLink())
      .map((entry) => join(entry.parentPath, entry.name))
      .concat(home.home)
      .filter((path) => (statSync(path).mode & 0o777) !== (statSync(path).isDirectory() ? 0o700 : 0o600));
    expect(loose).toEqual([]);
  });

  it('[security G56] a killed holder of the lock keeps nobody out, and of 50 parallel starts one wins', async () => {
    await using home = await daemonHome();
    const holder = home.start(['--on-demand'], { program: 'hearthd', env });
    await expect.poll(() => statusOf(home), { timeout: 30_000 }).not.toBeNull();
    const lockPath = join(home.home, 'run/hearthd.lock');
    expect(takeDaemonLock(lockPath)).toBeNull();
    holder.child.kill('SIGKILL');
    await holder.ended;
    const lock = takeDaemonLock(lockPath);
    expect(lock).not.toBeNull();
    lock!.release();
    const starts = Array.from({ length: 50 }, () => home.start(['--on-demand'], { program: 'hearthd', env }));
    const results = await Promise.race([
      Promise.all(starts.map(async (start) => ({ start, ...(await start.ended) }))),
      (async () => {
        // All but the winner end by themselves.
        await expect.poll(() => starts.filter(({ child }) => child.exitCode === null).length, { timeout: 240_000, interval: 200 }).toBe(1);
        return starts.filter(({ child }) => child.exitCode !== null).map((start) => ({ start, code: start.child.exitCode, stderr: start.stderr() }));
      })(),
    ]);
    const losers = results.filter(({ code }) => code !== null);
    expect(losers).toHaveLength(49);
    expect(new Set(losers.map(({ code }) => code))).toEqual(new Set([1]));
    const winner = starts.find(({ child }) => child.exitCode === null)!;
    expect((await statusOf(home))!.pid).toBe(winner.child.pid);
  }, 300_000);

  it('a gateway port that is taken is told with port and process', async () => {
    await using home = await daemonHome();
    const taken = createServer();
    await new Promise<void>((ready) => taken.listen(0, '127.0.0.1', ready));
    const { port } = taken.address() as { port: number };
    const { code, stderr } = await home.run(['up'], { env: { HEARTH_GATEWAY_PORT: String(port) } });
    expect([code, stderr]).toEqual([1, expect.stringContaining(`Port ${port} is in use by`)]);
    if (process.platform === 'linux') expect(stderr).toContain(`pid ${process.pid}`);
    await new Promise((done) => taken.close(done));
  });
});

function ended(child: ReturnType<typeof spawn>) {
  return {
    pid: child.pid!,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await hasEnded(child.pid!);
    },
  };
}
