import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readDesired, writeDesired } from '../../src/app/daemon/desired-state.ts';
import { findConfigFile } from '../../src/config/index.ts';
import { HearthError, NO_SECURITY_EVENTS, openFileLock, systemClock } from '../../src/core/index.ts';
import { fillDirectory } from '../../src/formats/index.ts';
import { openSpendLedger } from '../../src/gateway/routing/spend-ledger.ts';
import { openAuditKey } from '../../src/security/audit/audit-key.ts';
import { openHeadFile } from '../../src/security/audit/head-file.ts';
import { createApiKeyStore, createIntake, recordPath } from '../../src/security/index.ts';
import { createInstallKey } from '../../src/security/trust/install-key.ts';
import { createPolicyFile } from '../../src/security/trust/policy-file.ts';
import { createStateDatabase } from '../../src/security/trust/state-database.ts';
import { acquireBlobLock } from '../../src/store/blob-lock.ts';
import { sweepLeftovers } from '../../src/supervisor/index.ts';
import { createCaptureStore } from '../../src/telemetry/captures.ts';
import { createLogFile } from '../../src/telemetry/index.ts';
import { createUsageLedger } from '../../src/telemetry/usage-ledger.ts';
import { createTestHome } from '../support/hearth-process.ts';

/** What somebody who can write into a directory may put at a path that hearth is going to open. */
const PLANTS = {
  'a symbolic link': (path: string, target: string) => symlinkSync(target, path),
  'a hard link': (path: string, target: string) => linkSync(target, path),
  'a FIFO': (path: string) => void execFileSync('mkfifo', [path]),
  'a directory': (path: string) => void mkdirSync(path),
} as const;
type Kind = keyof typeof PLANTS;

const KEY = { read: () => Buffer.alloc(32), obtain: async () => Buffer.alloc(32) };
const CAPTURE = 'req_00000000-0000-7000-8000-000000000000';

/** Each managed path with what opens it; each must refuse, or leave what it found as it is. */
const PATHS: Readonly<Record<string, (path: string) => unknown>> = {
  'config.yaml': (path) => findConfigFile(dirname(path)),
  'run/hearthd.lock': (path) => openFileLock(path).take(),
  'run/children.json': (path) => sweepLeftovers({ path }),
  'state/desired.json': (path) => (readDesired(dirname(dirname(path))) === null ? writeDesired(dirname(dirname(path)), 'up') : 'taken'),
  'trust/install.key': (path) => createInstallKey(dirname(path)).obtain(),
  'trust/state.db': (path) => createStateDatabase(path, KEY).put([{ kind: 'model', key: 'a', value: 1 }]),
  'audit/checkpoint.key': (path) => openAuditKey(dirname(path)),
  'audit/checkpoint.pub': (path) => openAuditKey(dirname(path)),
  'state/audit-head.json': (path) => openHeadFile(path),
  [`captures/${'1'.repeat(13)}-${CAPTURE}.json.zst`]: (path) =>
    createCaptureStore({ directory: dirname(path), clock: { ...systemClock, now: () => Number('1'.repeat(13)) } }).read(CAPTURE),
  'models/blobs/abc.lock': (path) => acquireBlobLock(path, { sleep: async () => {}, signal: AbortSignal.timeout(5_000) }),
  [`intake/${basename(recordPath('', 'org/model', null))}`]: (path) =>
    createIntake({ helpers: null as never, events: NO_SECURITY_EVENTS, recordsDirectory: dirname(path), clock: systemClock }).admit({
      id: 'org/model',
      revision: null,
      purpose: 'pull',
      files: [],
    }),
  'state/access.sqlite': (path) =>
    createApiKeyStore({ path, clock: systemClock }).create({ name: null, policy: { scopes: ['inference'] } as never, expiresAtMs: null }),
  'state/spend.sqlite': (path) => openSpendLedger(path),
  'state/usage.sqlite': (path) => createUsageLedger(path).read({}),
  'logs/hearthd.log': (path) => createLogFile({ path, maxSizeBytes: 1024, maxFiles: 1 }),
};
const SQLITE = /(sqlite|state\.db)$/;

describe.skipIf(process.platform === 'win32')('[security G53] what is planted at a managed path', () => {
  test.each(Object.keys(PLANTS) as Kind[])('%s is refused, and what it leads to is unchanged', async (kind) => {
    await using home = await createTestHome();
    const target = join(home.directory, 'precious');
    writeFileSync(target, 'precious', { mode: 0o600 });
    for (const [name, open] of Object.entries(PATHS)) {
      const path = join(home.home, name);
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      PLANTS[kind](path, target);
      const before = lstatSync(path).ino;
      const error = await Promise.resolve()
        .then(() => open(path))
        .then(
          () => null,
          (reason: unknown) => reason,
        );
      expect([name, error instanceof HearthError ? error.code : error]).toEqual([name, 'unsafe_path']);
      expect(lstatSync(path).ino).toBe(before);
      expect(readFileSync(target, 'utf8')).toBe('precious');
      for (const beside of SQLITE.test(name) ? ['-wal', '-journal'] : []) {
        const other = join(home.home, `${name}.other${beside}`);
        PLANTS[kind](other, target);
        await expect((async () => open(other.slice(0, -beside.length)))()).rejects.toMatchObject({ code: 'unsafe_path' });
      }
      expect(readFileSync(target, 'utf8')).toBe('precious');
    }
  });

  test.each(Object.keys(PLANTS) as Kind[])('%s at the place of the policy, of its seal or of a converted model is refused too', async (kind) => {
    await using home = await createTestHome();
    const target = join(home.directory, 'precious');
    writeFileSync(target, 'precious', { mode: 0o600 });
    for (const name of ['policy.json', 'policy.mac']) {
      const directory = join(home.home, `trust-${name}`);
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      PLANTS[kind](join(directory, name), target);
      expect(() => createPolicyFile(directory, KEY).read()).toThrow(expect.objectContaining({ code: 'trust_tampered' }));
    }
    const model = join(home.home, 'converted');
    PLANTS[kind](model, target);
    const filled = fillDirectory(model, async (directory) => writeFileSync(join(directory, 'config.json'), '{}'));
    await expect(filled).rejects.toMatchObject({ code: 'invalid_argument' });
    expect(readFileSync(target, 'utf8')).toBe('precious');
  });

  test('also at the place of the socket: the daemon does not start, and says which path', async () => {
    await using home = await createTestHome();
    const target = join(home.directory, 'precious');
    writeFileSync(target, 'precious', { mode: 0o600 });
    mkdirSync(join(home.home, 'run'), { recursive: true, mode: 0o700 });
    for (const kind of Object.keys(PLANTS) as Kind[]) {
      const path = join(home.home, 'run/hearthd.sock');
      PLANTS[kind](path, target);
      const { code, stderr } = await home.run(['--foreground'], { program: 'hearthd', env: { HEARTH_GATEWAY_PORT: '0' } });
      expect([kind, code]).toEqual([kind, 1]);
      expect(stderr).toContain(path);
      expect(readFileSync(target, 'utf8')).toBe('precious');
      rmSync(path, { recursive: true });
    }
  });

  test("compiled code is kept in a directory that is the user's own alone, and nowhere when another one lies at its name", async () => {
    await using home = await createTestHome();
    const temporary = join(home.directory, 'temporary');
    const [cache, elsewhere] = [join(temporary, `hearth-code-${process.getuid!()}`), join(home.directory, 'elsewhere')];
    const version = () => home.run(['version'], { env: { TMPDIR: temporary } });
    for (const directory of [temporary, elsewhere]) mkdirSync(directory, { mode: 0o700 });

    expect((await version()).code).toBe(0);
    expect(lstatSync(cache).mode & 0o777).toBe(0o700);
    expect(readdirSync(temporary)).toEqual([basename(cache)]);
    expect(readdirSync(cache, { recursive: true }).length).toBeGreaterThan(1);
    rmSync(cache, { recursive: true });

    symlinkSync(elsewhere, cache);
    expect((await version()).code).toBe(0);
    expect(readdirSync(elsewhere)).toEqual([]);
    rmSync(cache);

    mkdirSync(cache);
    chmodSync(cache, 0o777);
    expect((await version()).code).toBe(0);
    expect(readdirSync(cache)).toEqual([]);
  });
});
