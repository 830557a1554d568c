import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { lockProblems } from '../../src/security/index.ts';
import { temporaryDirectory } from '../support/engine-run.ts';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';

const ROOT = join(import.meta.dirname, '../..');
const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const rules = { hosts: [], scripts: Object.keys((JSON.parse(text('package.json')) as { allowScripts: Record<string, boolean> }).allowScripts) };

describe('the lock of this project', () => {
  test('has integrity for every package, addresses of no other place than the registry that npm is set to, exact versions, and no script but those listed', () => {
    expect(lockProblems(text('package-lock.json'), rules)).toEqual([]);
    expect(rules.scripts).toEqual(['node']);
  });

  test('[security G69] a lock with an entry that has no integrity, that comes from git, http, a folder or another host, or that runs an unlisted script is refused', () => {
    const integrity = `sha512-${'A'.repeat(86)}==`;
    const codesOf = (entry: object, own: object = {}): string[] =>
      lockProblems(JSON.stringify({ lockfileVersion: 3, packages: { '': own, 'node_modules/a': { version: '1.0.0', ...entry } } }), {
        ...rules,
        hosts: ['good.example'],
      }).map(({ code }) => code);
    const cases: readonly [entry: object, codes: readonly string[]][] = [
      [{ integrity }, []],
      [{ integrity, resolved: 'https://good.example/a.tgz' }, []],
      [{}, ['integrity_missing']],
      [{ integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' }, ['integrity_missing']],
      [{ integrity, resolved: 'git+ssh://git@good.example/a.git#abc' }, ['source_git']],
      [{ integrity, resolved: 'http://good.example/a.tgz' }, ['source_http']],
      [{ integrity, resolved: 'https://good.example.evil/a.tgz' }, ['source_remote']],
      [{ resolved: 'file:../a', link: true }, ['source_file']],
      [{ integrity, hasInstallScript: true }, ['script_unlisted']],
    ];
    for (const [entry, codes] of cases) expect([entry, codesOf(entry)]).toEqual([entry, codes]);
    expect(codesOf({ integrity }, { dependencies: { a: '^1.0.0' } })).toEqual(['version_range']);
  });
});

const settings = (() => {
  try {
    return execFileSync('npm', ['config', 'ls', '-l'], { cwd: '/', encoding: 'utf8' });
  } catch {
    return '';
  }
})();
const able = ['strict-allow-scripts', 'min-release-age', 'allow-git', 'allow-remote'].every((name) => settings.includes(name));
const why = able ? '' : ' (skipped: this npm does not know strict-allow-scripts, min-release-age and allow-git; npm 11.19 does)';

const OLD = new Date(Date.now() - 400 * 86_400_000).toISOString();
const YOUNG = new Date(Date.now() - 2 * 86_400_000).toISOString();

/** A project with this project's settings for npm, and a registry of its own. */
async function project(packages: Parameters<typeof startFakeRegistry>[0]) {
  const directory = temporaryDirectory();
  const registry = await startFakeRegistry(packages);
  const place = join(directory.path, 'project');
  mkdirSync(place);
  writeFileSync(join(place, '.npmrc'), text('.npmrc'));
  const npm = async (...args: string[]): Promise<{ code: number; output: string }> =>
    await new Promise((done) => {
      const env = {
        PATH: process.env['PATH'],
        HOME: directory.path,
        npm_config_registry: registry.url,
        npm_config_cache: join(directory.path, 'cache'),
        npm_config_userconfig: join(directory.path, 'none'),
        npm_config_fetch_retries: '0',
      };
      execFile('npm', args, { cwd: place, env }, (error, stdout, stderr) =>
        done({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr }),
      );
    });
  const write = (dependencies: Record<string, string>, locked?: (its: FakeRegistry) => Record<string, object>, more: object = {}): void => {
    writeFileSync(join(place, 'package.json'), JSON.stringify({ name: 'p', version: '1.0.0', dependencies, ...more }));
    if (locked === undefined) return;
    const packages_ = { '': { name: 'p', version: '1.0.0', dependencies }, ...locked(registry) };
    writeFileSync(join(place, 'package-lock.json'), JSON.stringify({ name: 'p', version: '1.0.0', lockfileVersion: 3, requires: true, packages: packages_ }));
  };
  const at = (path: string): string => join(place, path);
  const has = (path: string): boolean => existsSync(at(path));
  return {
    registry,
    npm,
    write,
    at,
    has,
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      directory[Symbol.dispose]();
    },
  };
}

(able ? describe : describe.skip)(`npm with the settings of this project${why}`, () => {
  test('[security G69] refuses an archive whose hash is not the locked one, and takes the right one', async () => {
    await using it = await project([{ name: 'aa', version: '1.0.0', published: OLD }]);
    it.write({ aa: '1.0.0' }, () => ({ 'node_modules/aa': { version: '1.0.0', integrity: `sha512-${'A'.repeat(86)}==` } }));
    const refused = await it.npm('ci');
    expect([refused.code === 0, refused.output, it.has('node_modules/aa')]).toEqual([false, expect.stringContaining('EINTEGRITY'), false]);
    it.write({ aa: '1.0.0' }, ({ integrity }) => ({ 'node_modules/aa': { version: '1.0.0', integrity: integrity('aa') } }));
    expect([(await it.npm('ci')).code, it.has('node_modules/aa')]).toEqual([0, true]);
  });

  test('[security G69] refuses dependencies from git, from an address and from a folder', async () => {
    await using it = await project([{ name: 'aa', version: '1.0.0', published: OLD }]);
    for (const source of ['git+https://127.0.0.1:2/a.git', it.registry.archive('aa'), 'file:../other']) {
      it.write({ aa: source });
      const { code, output } = await it.npm('install');
      expect([source, code === 0, output, it.has('node_modules/aa')]).toEqual([
        source,
        false,
        expect.stringMatching(/EALLOW(GIT|REMOTE|FILE|DIRECTORY)/),
        false,
      ]);
    }
  });

  test('[security G69] refuses an install script that is not listed before it has run, and runs one that is', async () => {
    await using it = await project([
      { name: 'aa', version: '1.0.0', published: OLD, scripts: { install: "node -e \"require('fs').writeFileSync('ran', '')\"" } },
    ]);
    it.write({ aa: '1.0.0' });
    const refused = await it.npm('install');
    expect([refused.code === 0, it.has('node_modules/aa/ran'), refused.output]).toEqual([false, false, expect.stringMatching(/script/i)]);
    it.write({ aa: '1.0.0' }, undefined, { allowScripts: { aa: true } });
    expect([(await it.npm('install')).code, it.has('node_modules/aa/ran')]).toEqual([0, true]);
  });

  test('builds after `npm ci`, and runs what it built by npx, with an empty cache', async () => {
    await using it = await project([{ name: 'aa', version: '1.0.0', published: OLD, scripts: { install: 'npm --version' } }]);
    const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> };
    const event = Object.keys(scripts).find((name) => scripts[name] === scripts['build'] && name !== 'build')!;
    const build = `node -e "require('fs').writeFileSync('p.js', '#!/usr/bin/env node\\\\nconsole.log(1)')"`;
    it.write({ aa: '1.0.0' }, ({ integrity }) => ({ 'node_modules/aa': { version: '1.0.0', integrity: integrity('aa'), hasInstallScript: true } }), {
      bin: { p: 'p.js' },
      scripts: { [event]: build },
      allowScripts: { aa: true },
    });
    expect(await it.npm('ci')).toMatchObject({ code: 0 });
    expect(await it.npm('exec', '--', 'p')).toEqual({ code: 0, output: '1\n' });
  });

  test('[security G69] adds no version that is younger than a week (`npm run deps:add`)', async () => {
    const add = (JSON.parse(text('package.json')) as { scripts: Record<string, string> }).scripts['deps:add']!.split(' ').slice(1);
    await using it = await project([
      { name: 'young', version: '1.0.0', published: YOUNG },
      { name: 'old', version: '1.0.0', published: OLD },
    ]);
    it.write({});
    const { code, output } = await it.npm(...add, 'young@1.0.0');
    expect([code === 0, output, it.has('node_modules/young')]).toEqual([false, expect.stringContaining('ETARGET'), false]);
    expect([(await it.npm(...add, 'old@1.0.0')).code, it.has('node_modules/old')]).toEqual([0, true]);
  });

  test('[security G69] asks no other registry when its own lacks a package', async () => {
    await using other = await startFakeRegistry([{ name: 'aa', version: '1.0.0', published: OLD }]);
    await using it = await project([]);
    it.write({ aa: '1.0.0' });
    const { code, output } = await it.npm('install');
    expect([code === 0, output, other.asked]).toEqual([false, expect.stringContaining('E404'), []]);
    expect(it.registry.asked).toContain('/aa');
  });
});
