import { execFileSync } from 'node:child_process';
import { linkSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readDesired, writeDesired } from '../../src/app/daemon/desired-state.ts';
import { findConfigFile } from '../../src/config/index.ts';
import { HearthError, openFileLock, systemClock } from '../../src/core/index.ts';
import { openSpendLedger } from '../../src/gateway/routing/spend-ledger.ts';
import { createApiKeyStore } from '../../src/security/index.ts';
import { sweepLeftovers } from '../../src/supervisor/index.ts';
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

/** Each managed path with what opens it; each must refuse, or leave what it found as it is. */
const PATHS: Readonly<Record<string, (path: string) => unknown>> = {
  'config.yaml': (path) => findConfigFile(dirname(path)),
  'run/hearthd.lock': (path) => openFileLock(path).take(),
  'run/children.json': (path) => sweepLeftovers({ path }),
  'state/desired.json': (path) => (readDesired(dirname(dirname(path))) === null ? writeDesired(dirname(dirname(path)), 'up') : 'taken'),
  'state/access.sqlite': (path) =>
    createApiKeyStore({ path, clock: systemClock }).create({ name: null, policy: { scopes: ['inference'] } as never, expiresAtMs: null }),
  'state/spend.sqlite': (path) => openSpendLedger(path),
  'state/usage.sqlite': (path) => createUsageLedger(path).read({}),
  'logs/hearthd.log': (path) => createLogFile({ path, maxSizeBytes: 1024, maxFiles: 1 }),
};
const SQLITE = /sqlite$/;

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
        expect(() => open(other.slice(0, -beside.length))).toThrow(expect.objectContaining({ code: 'unsafe_path' }));
      }
      expect(readFileSync(target, 'utf8')).toBe('precious');
    }
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
});
