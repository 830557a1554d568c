import { execFileSync } from 'node:child_process';
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { never, startEngine, temporaryDirectory } from '../../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../../test/support/golden-model.ts';
import { TINY_PACKAGES, writeWheel } from '../../../../test/support/wheels.ts';
import { runCommand } from '../../../supervisor/index.ts';
import { createEmberEngine, createMlxEngine } from '../../index.ts';
import { createMlxEnvironments, type MlxEnvironments, type MlxEnvironmentsOptions } from './environments.ts';
import { findInterpreter } from './interpreter.ts';
import { readLocks } from './lock.ts';

const VERSIONS = ['3.11', '3.12', '3.13'];
const PLATFORM = { os: process.platform, arch: process.arch };
const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const locks = join(home.path, 'locks');
const wheels = join(home.path, 'wheels');

const search = { wanted: null, searchPath: (process.env['PATH'] ?? '').split(':'), versions: VERSIONS, run: runCommand, signal: never };
const python = await findInterpreter(search).catch(() => null);
const suite = python === null ? describe.skip : describe;
const why = python === null ? ' (skipped: there is no Python 3.11 to 3.13 here)' : '';
/** Python's own start, four times an installation, on a busy machine. */
const SLOW = 400_000;

beforeAll(() => {
  mkdirSync(locks);
  const lines = TINY_PACKAGES.map((each) => writeWheel(wheels, each));
  for (const version of VERSIONS)
    writeFileSync(join(locks, `mlx-${PLATFORM.os}-${PLATFORM.arch}-py${version.replace('.', '')}.txt`), `# tests ${version}\n${lines.join('\n')}\n`);
});

const open = (name: string, more: Partial<MlxEnvironmentsOptions> = {}): MlxEnvironments =>
  createMlxEnvironments({
    directory: join(home.path, name),
    locksDirectory: locks,
    environment: { PATH: process.env['PATH'] },
    python: python?.path ?? null,
    ...more,
  });

suite(`the environment of mlx${why}`, () => {
  test(
    '[engines E34] is installed from a folder of wheels without network; a second installation does nothing',
    async () => {
      const environments = open('first');
      expect(await environments.state()).toMatchObject({ state: 'missing', fix: 'hearth engines install mlx' });
      const steps: string[] = [];
      const { changed, state } = await environments.install({
        offline: wheels,
        signal: never,
        onStep: (step, steps_, message) => steps.push(`${step}/${steps_} ${message}`),
      });
      expect([changed, state.state, state.version]).toEqual([true, 'ready', 'mlx 0.0.1, mlx-lm 0.0.2']);
      expect(steps.at(-1)).toContain('5/5');
      const { python: own } = environments.current()!;
      // Nothing but what the lock names: pip stays outside.
      const names = execFileSync(own, ['-I', '-c', 'import importlib.metadata as m; print(",".join(sorted(d.metadata["Name"] for d in m.distributions())))'], {
        encoding: 'utf8',
      });
      expect(names.trim()).toBe('mlx,mlx-lm');
      expect((await environments.install({ offline: wheels, signal: never })).changed).toBe(false);
      expect(await environments.check(never)).toEqual([]);
      expect([await environments.remove(), await environments.remove(), environments.current()]).toEqual([true, false, null]);
    },
    SLOW,
  );

  test(
    '[engines E34] an installation that is ended at any step leaves nothing that is used, and the next one succeeds',
    async () => {
      for (const last of [1, 2, 3, 4]) {
        const environments = open(`cut-${last}`);
        const abort = new AbortController();
        await expect(
          environments.install({ offline: wheels, signal: abort.signal, onStep: (step) => void (step === last && abort.abort()) }),
        ).rejects.toBeDefined();
        expect(environments.current()).toBeNull();
        expect((await environments.state()).state).toBe('missing');
      }
      // What a process that was killed leaves behind: files, no last word, and its lock.
      const environments = open('killed');
      const [lock] = await readLocks(locks, PLATFORM);
      const own = (await readLocks(locks, PLATFORM)).find((each) => each.python === python!.version) ?? lock!;
      mkdirSync(join(home.path, 'killed', own.id, 'bin'), { recursive: true });
      writeFileSync(join(home.path, 'killed', own.id, 'bin', 'python'), 'half');
      writeFileSync(join(home.path, 'killed', 'install.lock'), '999999');
      expect(environments.current()).toBeNull();
      expect((await environments.install({ offline: wheels, signal: never })).changed).toBe(true);
      expect(await environments.check(never)).toEqual([]);
    },
    SLOW,
  );

  test(
    'a wheel that is not the locked one, or is not there, is refused, and nothing of it stays',
    async () => {
      const other = join(home.path, 'other-wheels');
      cpSync(wheels, other, { recursive: true });
      writeWheel(other, { ...TINY_PACKAGES[1]!, files: { 'mlx_lm/__init__.py': 'evil = True\n' } });
      await expect(open('changed').install({ offline: other, signal: never })).rejects.toMatchObject({
        code: 'engine_install_failed',
        message: expect.stringContaining('not the one'),
      });
      rmSync(join(other, 'mlx_lm-0.0.2-py3-none-any.whl'));
      await expect(open('absent').install({ offline: other, signal: never })).rejects.toMatchObject({
        code: 'engine_install_failed',
        message: expect.stringContaining(other),
      });
      expect(readdirSync(join(home.path, 'absent'))).toEqual([]);
    },
    SLOW,
  );

  test(
    '[engines E35] [security G70] a changed file, an added .pth and sitecustomize end in engine_tampered and no start; PYTHONPATH and user modules add nothing; ember still answers',
    async () => {
      const environments = open('kept');
      await environments.install({ offline: wheels, signal: never });
      const { facts } = makeGoldenModel(join(home.path, 'model'));
      const places = { convertedDirectory: join(home.path, 'converted') };
      const engine = createMlxEngine({ environments, ...places });
      await expect(engine.prepare(facts, () => {}, never)).resolves.toBeDefined();

      const root = join(home.path, 'kept', (await environments.state()).lock!);
      const site = join(root, 'lib', `python${python!.version}`, 'site-packages');
      const spoils: Record<string, () => void> = {
        'mlx/core.py was changed': () => appendFileSync(join(site, 'mlx', 'core.py'), 'evil = True\n'),
        'extra.pth': () => writeFileSync(join(site, 'extra.pth'), 'import os\n'),
        'sitecustomize.py': () => writeFileSync(join(site, 'sitecustomize.py'), 'evil = True\n'),
        'usercustomize.py': () => writeFileSync(join(site, 'usercustomize.py'), ''),
        'mlx/__init__.py is missing': () => rmSync(join(site, 'mlx', '__init__.py')),
      };
      const backup = join(home.path, 'backup');
      cpSync(root, backup, { recursive: true, verbatimSymlinks: true });
      for (const [named, spoil] of Object.entries(spoils)) {
        spoil();
        await expect(startEngine(engine, facts, {})).rejects.toMatchObject({ code: 'engine_tampered', message: expect.stringContaining(named) });
        rmSync(root, { recursive: true });
        cpSync(backup, root, { recursive: true, verbatimSymlinks: true });
      }
      expect(await environments.check(never)).toEqual([]);

      // What lies outside cannot add a module.
      const foreign = join(home.path, 'foreign');
      const user = join(foreign, 'lib', `python${python!.version}`, 'site-packages');
      mkdirSync(user, { recursive: true });
      for (const directory of [foreign, user]) for (const name of ['sitecustomize.py', 'mlx.py']) writeFileSync(join(directory, name), 'raise SystemExit(7)\n');
      const spec = engine.processSpec(await engine.prepare(facts, () => {}, never), {})!;
      const env = { PYTHONPATH: foreign, PYTHONUSERBASE: foreign, PYTHONSTARTUP: join(foreign, 'mlx.py'), HOME: foreign };
      const isolation = spec.args.filter((each) => /^-[A-Z]$/.test(each));
      const out = execFileSync(spec.command, [...isolation, '-c', 'import mlx.core, sys; print(mlx.core.value, sys.flags.no_user_site)'], {
        env,
        cwd: foreign,
        encoding: 'utf8',
      });
      expect(out.trim()).toBe('1 1');

      appendFileSync(join(site, 'mlx', 'core.py'), 'evil = True\n');
      await using other = await startEngine(createEmberEngine(places), facts, { contextTokens: 64, threads: 1 });
      expect((await other.ask({ maxTokens: 2 })).finish).toBeDefined();
    },
    SLOW,
  );

  test('one installation at a time', async () => {
    const environments = open('busy');
    mkdirSync(join(home.path, 'busy'), { recursive: true });
    writeFileSync(join(home.path, 'busy', 'install.lock'), String(process.pid));
    await expect(environments.install({ offline: wheels, signal: never })).rejects.toMatchObject({ code: 'operation_in_progress' });
  });
});

describe('what an environment can be made from', () => {
  test('no Python, a Python of another version, and a platform without packages are told with what is needed', async () => {
    const nowhere = { ...search, searchPath: [join(home.path, 'nothing')], versions: ['2.7'] };
    await expect(findInterpreter(nowhere)).rejects.toMatchObject({ code: 'dependency_missing', message: expect.stringContaining('2.7') });
    await expect(findInterpreter({ ...search, wanted: join(home.path, 'no-python') })).rejects.toMatchObject({ code: 'dependency_missing' });
    await expect(findInterpreter({ ...search, wanted: 'python3' })).rejects.toMatchObject({ code: 'config_invalid' });
    const elsewhere = open('elsewhere', { platform: { os: 'win32', arch: 'x64' } });
    expect(await elsewhere.state()).toMatchObject({ state: 'unsupported' });
    await expect(elsewhere.install({ signal: never })).rejects.toMatchObject({ code: 'dependency_missing', message: expect.stringContaining('win32') });
  });

  test('every shipped lock names each package once, by version and digest, with what computes on its platform', async () => {
    const shipped = join(import.meta.dirname, '../../../../python/locks');
    for (const [platform, backend] of [
      [{ os: 'linux', arch: 'x64' }, 'mlx-cpu'],
      [{ os: 'linux', arch: 'arm64' }, 'mlx-cpu'],
      [{ os: 'darwin', arch: 'arm64' }, 'mlx-metal'],
    ] as const) {
      const found = await readLocks(shipped, platform);
      expect(found.map((each) => each.python)).toEqual(VERSIONS);
      for (const { packages } of found) {
        const names = packages.map(({ name }) => name);
        expect(new Set(names).size).toBe(names.length);
        expect(names).toEqual(expect.arrayContaining(['mlx', 'mlx-lm', backend]));
      }
    }
  });

  test('a lock with an option, a link or no digest is refused', async () => {
    for (const [i, line] of ['--extra-index-url x', 'mlx @ https://example.org/a.whl', 'mlx==1.0', '-e .'].entries()) {
      const directory = join(home.path, `bad-lock-${i}`);
      mkdirSync(directory);
      writeFileSync(join(directory, 'mlx-linux-x64-py312.txt'), `${line}\n`);
      await expect(readLocks(directory, { os: 'linux', arch: 'x64' })).rejects.toMatchObject({ code: 'engine_install_failed' });
    }
    expect(existsSync(join(locks, `mlx-${PLATFORM.os}-${PLATFORM.arch}-py312.txt`))).toBe(true);
    expect(readFileSync(join(locks, `mlx-${PLATFORM.os}-${PLATFORM.arch}-py312.txt`), 'utf8')).toContain('mlx==0.0.1');
  });
});
