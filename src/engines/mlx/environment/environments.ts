import { existsSync, readFileSync } from 'node:fs';
import { open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HearthError, isAlive, makePrivateDirectory, writeFileAtomic } from '../../../core/index.ts';
import { runCommand } from '../../../supervisor/index.ts';
import type { MlxEnvironment, MlxEnvironmentSource } from '../mlx-engine.ts';
import { type InstalledRecord, installEnvironment } from './install.ts';
import { findTampering, hashFiles, type Manifest } from './integrity.ts';
import { findInterpreter } from './interpreter.ts';
import { type EnvironmentLock, readLocks } from './lock.ts';

export interface MlxEnvironmentsOptions {
  /** `<home>/engines/mlx`. */
  readonly directory: string;
  /** Where the locks are; absent: those of the package. */
  readonly locksDirectory?: string;
  readonly platform?: { readonly os: string; readonly arch: string };
  /** Absolute path of the Python to make environments from; null: one is looked for. */
  readonly python?: string | null;
  /** The parent's environment: where Python is looked for, and what pip needs to reach its index. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export interface EnvironmentState {
  readonly state: 'ready' | 'missing' | 'outdated' | 'unsupported';
  /** mlx and mlx-lm. */
  readonly version: string | null;
  readonly lock: string | null;
  readonly python: string | null;
  readonly directory: string | null;
  /** What to do, where something is to be done. */
  readonly fix: string | null;
}

export interface InstallEnvironmentOptions {
  /** Folder of wheels to take the packages from. */
  readonly offline?: string;
  readonly onStep?: (step: number, steps: number, message: string) => void;
  readonly signal: AbortSignal;
}

export interface MlxEnvironments extends MlxEnvironmentSource {
  state(): Promise<EnvironmentState>;
  /** `changed`: false when it was there already. Throws dependency_missing, engine_install_failed, insufficient_space, operation_in_progress. */
  install(options: InstallEnvironmentOptions): Promise<{ readonly changed: boolean; readonly state: EnvironmentState }>;
  /** What differs from what was installed, in words. Throws dependency_missing. */
  check(signal: AbortSignal): Promise<readonly string[]>;
  /** false: there was none. */
  remove(): Promise<boolean>;
}

/** In a checkout and in the installed package alike. */
const LOCKS = fileURLToPath(new URL('../../../../python/locks', import.meta.url));
/** Variables of the parent that pip may see: where its index is, and how to get there. */
const FOR_PIP =
  /^(PATH|HOME|LANG|LC_ALL|TMPDIR|(HTTPS?|NO|ALL)_PROXY|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|PIP_(INDEX_URL|EXTRA_INDEX_URL|CERT|TRUSTED_HOST|CONFIG_FILE))$/i;

/** The managed Python environments of mlx: one in use, each by its lock (docs/spec/engines.md §3.1). The user's own Python is never changed. */
export function createMlxEnvironments(options: MlxEnvironmentsOptions): MlxEnvironments {
  const { directory, locksDirectory = LOCKS } = options;
  const platform = options.platform ?? { os: process.platform, arch: process.arch };
  const parent = options.environment ?? {};
  const pointer = join(directory, 'current');

  const used = (): { readonly id: string; readonly record: InstalledRecord } | null => {
    try {
      const id = readFileSync(pointer, 'utf8').trim();
      if (!/^[0-9a-f]{12}$/.test(id)) return null;
      return { id, record: JSON.parse(readFileSync(join(directory, id, 'complete.json'), 'utf8')) as InstalledRecord };
    } catch {
      return null;
    }
  };
  const versionOf = ({ packages }: InstalledRecord): string => `mlx ${packages['mlx']}, mlx-lm ${packages['mlx-lm']}`;
  const current = (): (MlxEnvironment & { readonly id: string }) | null => {
    const it = used();
    if (it === null) return null;
    const place = join(directory, it.id);
    const python = join(place, 'bin', 'python');
    return existsSync(python) ? { id: it.id, python, readPaths: [place, it.record.basePrefix], version: versionOf(it.record) } : null;
  };

  async function check(signal: AbortSignal): Promise<readonly string[]> {
    const it = used();
    if (it === null) throw new HearthError('dependency_missing', 'The engine mlx is not installed. Install it with `hearth engines install mlx`.');
    const place = join(directory, it.id);
    const manifest = JSON.parse(await readFile(join(place, 'manifest.json'), 'utf8').catch(() => 'null')) as Manifest | null;
    if (manifest === null) return ['the list of its files is missing'];
    return findTampering(place, await hashFiles(place, signal), manifest);
  }

  async function state(): Promise<EnvironmentState> {
    const locks = await readLocks(locksDirectory, platform);
    const it = used();
    if (it !== null) {
      const known = locks.some(({ id }) => id === it.id);
      return {
        state: known ? 'ready' : 'outdated',
        version: versionOf(it.record),
        lock: it.id,
        python: it.record.python,
        directory: join(directory, it.id),
        fix: known ? null : 'hearth engines update mlx',
      };
    }
    const none = { version: null, lock: null, python: null, directory: null };
    return locks.length === 0 ? { state: 'unsupported', ...none, fix: null } : { state: 'missing', ...none, fix: 'hearth engines install mlx' };
  }

  async function install({ offline, onStep = () => {}, signal }: InstallEnvironmentOptions): Promise<{ changed: boolean; state: EnvironmentState }> {
    const locks = await readLocks(locksDirectory, platform);
    if (locks.length === 0)
      throw new HearthError(
        'dependency_missing',
        `MLX has no packages for ${platform.os} on ${platform.arch}; they exist for macOS 14 on Apple silicon and for Linux on x64 and arm64. The engine ember runs here.`,
      );
    const before = await state();
    if (before.state === 'ready' && current() !== null) return { changed: false, state: before };
    const versions = preferred(locks).map(({ python }) => python);
    const searchPath = (parent['PATH'] ?? '').split(':').filter((part) => part !== '');
    const interpreter = await findInterpreter({ wanted: options.python ?? null, searchPath, versions, run: runCommand, signal });
    const lock = locks.find(({ python }) => python === interpreter.version)!;
    await makePrivateDirectory(directory);
    await using _ = await exclusive(join(directory, 'install.lock'));
    const place = join(directory, lock.id);
    const env = Object.fromEntries(Object.entries(parent).filter((entry): entry is [string, string] => entry[1] !== undefined && FOR_PIP.test(entry[0])));
    try {
      await installEnvironment({ directory: place, lock, interpreter, offline: offline ?? null, env, run: runCommand, onStep, signal });
    } catch (error) {
      await rm(place, { recursive: true, force: true });
      throw error;
    }
    await writeFileAtomic(pointer, `${lock.id}\n`);
    return { changed: true, state: await state() };
  }

  return {
    current,
    async verify(_environment, signal) {
      const problems = await check(signal);
      if (problems.length === 0) return;
      const more = problems.length > 3 ? ` and ${problems.length - 3} more` : '';
      throw new HearthError(
        'engine_tampered',
        `The environment of mlx is not as it was installed: ${problems.slice(0, 3).join('; ')}${more}. It is not started.`,
      );
    },
    state,
    install,
    check,
    async remove() {
      const names = await readdir(directory).catch(() => []);
      // The pointer first: what is half removed is not used.
      await rm(pointer, { force: true });
      await rm(directory, { recursive: true, force: true });
      return names.length > 0;
    },
  };
}

/** 3.12 first, then newer ones, then older ones. */
const preferred = (locks: readonly EnvironmentLock[]): readonly EnvironmentLock[] => {
  const rank = ({ python }: EnvironmentLock): number => (python === '3.12' ? 0 : python > '3.12' ? 1 : 2);
  return [...locks].sort((a, b) => rank(a) - rank(b));
};

/** One installation at a time, over all processes; a lock whose process is gone does not count. */
async function exclusive(path: string): Promise<AsyncDisposable> {
  for (;;) {
    try {
      await using file = await open(path, 'wx', 0o600);
      await file.writeFile(String(process.pid));
      return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const pid = Number(await readFile(path, 'utf8').catch(() => ''));
      if (pid > 0 && isAlive(pid)) throw new HearthError('operation_in_progress', `The engine mlx is being installed by process ${pid}.`);
      await rm(path, { force: true });
    }
  }
}
