import { once } from 'node:events';
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { childrenOf } from '../../src/supervisor/limits/group-usage.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { installTinyModel } from '../support/tiny-model.ts';

const linux = process.platform === 'linux';

interface Socket {
  readonly kind: string;
  readonly local: string;
  readonly remote: string;
  readonly listens: boolean;
}

/** Sockets of the internet that a process holds, by the inodes of its descriptors, as its own network sees them. */
function socketsOf(pid: number): Socket[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  );
  return ['tcp', 'tcp6', 'udp', 'udp6', 'raw', 'raw6'].flatMap((kind) =>
    readFileSync(`/proc/${pid}/net/${kind}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => inodes.has(fields[9] ?? ''))
      .map((fields) => ({ kind, local: fields[1]!, remote: fields[2]!, listens: fields[3] === '0A' })),
  );
}

const descendants = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(descendants)];

/** Everything below the home that another user could open. */
function openToOthers(home: TestHome): string[] {
  return readdirSync(home.home, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .concat(home.home)
    .filter((path) => !lstatSync(path).isSymbolicLink() && (lstatSync(path).mode & 0o077) !== 0);
}

describe('a fresh installation', () => {
  test.skipIf(!linux)(
    '[security G82] leaves no file that others can read, listens on loopback at the gateway port alone, and connects to nobody while it is idle (reads /proc: Linux)',
    async () => {
      await using home = await createTestHome();
      await installTinyModel(home.hfHome);
      const before = process.umask(0o022);
      const up = await home.run(['up', '--json'], { env: { HEARTH_GATEWAY_PORT: '0' } }).finally(() => process.umask(before));
      const { data } = JSON.parse(up.stdout) as { data: { services: { port: number; pid: number }[]; endpoint: string } };
      const { port, pid } = data.services[0]!;
      const hex = port.toString(16).toUpperCase().padStart(4, '0');
      const documented = [`tcp 0100007F:${hex}`, `tcp6 00000000000000000000000001000000:${hex}`];
      try {
        const look = () => {
          for (const process of descendants(pid)) {
            const sockets = socketsOf(process);
            for (const { kind, local, listens } of sockets) {
              expect(documented).toContain(`${kind} ${local}`);
              expect(listens).toBe(true);
            }
            if (process !== pid) expect(sockets).toEqual([]);
          }
        };
        look();
        expect(socketsOf(pid).length).toBeGreaterThan(0);
        const answer = await fetch(`${data.endpoint}/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', connection: 'close' },
          body: JSON.stringify({ model: 'tiny-llama', messages: [{ role: 'user', content: 'hi' }], max_tokens: 2 }),
        });
        expect(answer.status).toBe(200);
        await answer.arrayBuffer();
        await expect.poll(() => socketsOf(pid).every(({ listens }) => listens)).toBe(true);
        expect(descendants(pid).length).toBeGreaterThan(1);
        for (let i = 0; i < 20; i += 1) {
          look();
          await sleep(100);
        }
        expect(openToOthers(home)).toEqual([]);
      } finally {
        await home.run(['down', '--daemon']);
      }
      expect(openToOthers(home)).toEqual([]);
      // What ended well leaves no half-written file and no child in the journal.
      expect(readdirSync(join(home.home, 'run')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
      expect(JSON.parse(readFileSync(join(home.home, 'run/children.json'), 'utf8'))).toMatchObject({ children: [] });
    },
    120_000,
  );
});

describe('hearth doctor', () => {
  const findingsOf = (stdout: string) =>
    (JSON.parse(stdout) as { data: { findings: { id: string; severity: string; message: string; fix: string | null }[] } }).data.findings;

  test('says of a healthy home what was found, and makes nothing', async () => {
    await using home = await createTestHome();
    const { code, stdout } = await home.run(['doctor', '--json']);
    const findings = findingsOf(stdout);
    expect(code).toBe(0);
    expect(findings.map(({ id }) => id)).toEqual(
      expect.arrayContaining([
        'node',
        'home',
        'config',
        'sandbox',
        'limits',
        'parent-death',
        'open-files',
        'disk-home',
        'disk-models',
        'memory',
        'logs',
        'daemon',
        'engines',
        'trust',
        'audit',
      ]),
    );
    expect(findings.filter(({ severity }) => severity === 'fail')).toEqual([]);
    for (const { severity, fix } of findings) expect(fix === null).toBe(severity === 'ok');
    const never = { severity: 'warn', message: expect.stringContaining('never checked'), fix: expect.stringContaining('hearth deps check') };
    expect(findings.find(({ id }) => id === 'dependencies')).toMatchObject(never);
    expect(() => lstatSync(home.home)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });

  test('loose modes are a warning, and closed with --fix; a broken configuration is a failure, exit 1; a sandbox that is off is told', async () => {
    await using home = await createTestHome();
    mkdirSync(join(home.home, 'logs'), { recursive: true });
    chmodSync(home.home, 0o700);
    chmodSync(join(home.home, 'logs'), 0o777);
    const loose = await home.run(['doctor', '--json']);
    expect(findingsOf(loose.stdout).find(({ id }) => id === 'home-modes')).toMatchObject({ severity: 'warn', fix: expect.stringContaining('--fix') });
    expect(lstatSync(join(home.home, 'logs')).mode & 0o777).toBe(0o777);
    await home.run(['doctor', '--fix']);
    expect(lstatSync(join(home.home, 'logs')).mode & 0o777).toBe(0o700);
    mkdirSync(join(home.home, 'run'), { mode: 0o700 });
    const [socket, kept] = ['hearthd.sock', 'kept.sock'].map((name) => join(home.home, 'run', name)) as [string, string];
    const server = createServer().listen(socket);
    await once(server, 'listening');
    // A process that is killed leaves its socket; one that closes it removes what has its name.
    renameSync(socket, kept);
    server.close();
    await once(server, 'close');
    renameSync(kept, socket);
    const stale = await home.run(['doctor', '--json']);
    expect(findingsOf(stale.stdout).find(({ id }) => id === 'daemon')).toMatchObject({ severity: 'warn', message: expect.stringContaining('socket') });
    const off = await home.run(['doctor', '--json'], { env: { HEARTH_SECURITY_SANDBOX: 'off' } });
    expect(findingsOf(off.stdout).find(({ id }) => id === 'sandbox')).toMatchObject({ severity: 'warn' });
    writeFileSync(join(home.home, 'config.yaml'), 'nonsense: 1\n', { mode: 0o600 });
    const broken = await home.run(['doctor', '--json']);
    expect([broken.code, findingsOf(broken.stdout).find(({ id }) => id === 'config')?.severity]).toEqual([1, 'fail']);
  });
});

test('what a killed writer left is removed at the next start once it is old, and nothing else', async () => {
  await using home = await createTestHome();
  const state = join(home.home, 'state');
  mkdirSync(state, { recursive: true, mode: 0o700 });
  for (const name of ['.0123456789abcdef.tmp', '.fedcba9876543210.tmp', 'mine.tmp']) writeFileSync(join(state, name), '', { mode: 0o600 });
  const old = new Date(Date.now() - 3_600_000);
  for (const name of ['.0123456789abcdef.tmp', 'mine.tmp']) utimesSync(join(state, name), old, old);
  const { sweepTemporaries } = await import('../../src/app/daemon/prepare-home.ts');
  expect(sweepTemporaries(home.home)).toBe(1);
  expect(readdirSync(state).sort()).toEqual(['.fedcba9876543210.tmp', 'mine.tmp']);
});
