import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeTinyModel } from '../support/tiny-model.ts';

const root = join(import.meta.dirname, '../..');
const exec = promisify(execFile);

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean }>>;
}

/** Packages that are loaded on use, or belong to another entry point; the main entry may need none of them. */
const OPTIONAL = ['sharp', 'file-type', 'music-metadata', '@napi-rs/keyring', 'pkcs11js', '@strands-agents/sdk', 'pino', 'commander', 'hono', 'yaml'];

describe('the packed package', () => {
  let directory = '';
  const hearth = (args: readonly string[]) =>
    exec(process.execPath, [join(directory, 'app/node_modules/hearth/bin/hearth.js'), ...args], {
      cwd: directory,
      env: { PATH: process.env['PATH'], HOME: directory, HEARTH_HOME: join(directory, 'home'), HF_HOME: join(directory, 'hf') },
    });

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hearth_test_package_'));
    // Beside the checkout, whose own dist other tests may be running.
    const source = join(directory, 'source');
    await mkdir(source);
    for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md', 'bin'])
      await cp(join(root, name), join(source, name), { recursive: true });
    await exec(process.execPath, [join(root, 'tools/build.mjs'), join(source, 'dist')], { cwd: root });
    await npm(source, 'pack', '--ignore-scripts', '--silent', '--pack-destination', directory);
    await install(directory);
  }, 300_000);
  afterAll(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  it('[house H9] installs into an empty folder and runs hearth --version, an overview and an empty list', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(await hearth(['--version'])).toEqual({ stdout: `hearth ${version}\n`, stderr: '' });
    expect((await hearth([])).stdout).toContain('Models');
    expect(JSON.parse((await hearth(['list', '--json'])).stdout)).toMatchObject({ status: 'success', data: { models: [], count: 0 } });
  });

  it('[house H9] its main entry is the client, and imports none of the optional packages', async () => {
    const script = `
      import { registerHooks } from 'node:module';
      const seen = [];
      registerHooks({ resolve: (specifier, context, next) => { seen.push(specifier); return next(specifier, context); } });
      const main = await import('hearth');
      console.log(JSON.stringify({ seen: seen.filter((s) => !s.startsWith('.') && !s.startsWith('node:')), exports: Object.keys(main) }));`;
    await writeFile(join(directory, 'app/main.mjs'), script);
    const { stdout } = await exec(process.execPath, [join(directory, 'app/main.mjs')]);
    const { seen, exports } = JSON.parse(stdout) as { seen: string[]; exports: string[] };
    expect(exports).toContain('createClient');
    expect(seen).toContain('zod');
    expect(seen.filter((name) => OPTIONAL.includes(name))).toEqual([]);
  });

  it('[engines E3] ember generates from the installed package, with no network, no Python and no compiler', async (context) => {
    const wrap = await withoutNetwork();
    if (wrap === null) return context.skip('this system gives no empty network namespace');
    const model = join(directory, 'model');
    await mkdir(model);
    await writeTinyModel(model);
    const bare = await bareProgramFolder(directory);
    const program = [
      process.execPath,
      join(directory, 'app/node_modules/hearth/bin/hearth.js'),
      'run',
      model,
      '--json',
      '--max-tokens',
      '8',
      '--temperature',
      '0',
      'Hi',
    ];
    const { stdout } = await exec(wrap[0]!, [...wrap.slice(1), ...program], {
      cwd: directory,
      env: { PATH: bare, HOME: directory, HEARTH_HOME: join(directory, 'home'), HF_HOME: join(directory, 'hf') },
    });
    expect(JSON.parse(stdout)).toMatchObject({ status: 'success', data: { engine: 'ember', usage: { completion_tokens: 8 } } });
  });

  it('[engines E3] no runtime dependency has a native addon or an install script', async () => {
    const modules = join(directory, 'app/node_modules');
    const files = (await readdir(modules, { recursive: true })).map(String);
    expect(files.filter((file) => /\.node$|(^|\/)binding\.gyp$/.test(file))).toEqual([]);
    const manifests = files.filter((file) => /^(@[^/]+\/)?[^/]+\/package\.json$/.test(file));
    expect(manifests.length).toBeGreaterThan(8);
    for (const file of manifests) {
      const { scripts = {} } = JSON.parse(await readFile(join(modules, file), 'utf8')) as { scripts?: Record<string, string> };
      expect([file, scripts['preinstall'], scripts['install'], scripts['postinstall']]).toEqual([file, undefined, undefined, undefined]);
    }
  });

  it('holds the built kernels and the catalog, and no sources, tests or specifications', async () => {
    const files = (await readdir(join(directory, 'app/node_modules/hearth'), { recursive: true })).map(String);
    for (const needed of ['bin/hearth.js', 'bin/start.mjs', 'dist/ember/ember.wasm', 'dist/catalog/models.json', 'dist/client/index.d.ts', 'LICENSE'])
      expect(files).toContain(needed);
    expect(files.filter((file) => /(^|\/)(src|test|docs)(\/|$)|\.test\.|goldens/.test(file))).toEqual([]);
  });
});

/** A copy of `node` alone: no Python, no compiler, no shell tools on the search path. */
async function bareProgramFolder(directory: string): Promise<string> {
  const folder = join(directory, 'bare');
  await mkdir(folder);
  await symlink(process.execPath, join(folder, 'node'));
  return folder;
}

/** A command line that takes the network away, where the system lets us: an empty network namespace. */
async function withoutNetwork(): Promise<readonly string[] | null> {
  for (const wrap of [
    ['/usr/bin/unshare', '--net', '--'],
    ['/usr/bin/unshare', '--user', '--map-root-user', '--net', '--'],
  ]) {
    const works = await exec(wrap[0]!, [...wrap.slice(1), process.execPath, '--version']).then(
      () => true,
      () => false,
    );
    if (works) return wrap;
  }
  return null;
}

/** Installs by a lock file that pins what our own lock pins, so that npm needs no metadata: after `npm ci` every archive is in its cache. */
async function install(directory: string): Promise<void> {
  const app = join(directory, 'app');
  await mkdir(app);
  const archive = (await readdir(directory)).find((name) => name.endsWith('.tgz'))!;
  const own = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string; dependencies: object; bin: object; engines: object };
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as Lock;
  const production = Object.entries(lock.packages).filter(([path, entry]) => path !== '' && entry.dev !== true && entry.devOptional !== true);
  const dependencies = { hearth: `file:../${archive}` };
  const { version, bin, engines } = own;
  const packages = {
    '': { name: 'app', dependencies },
    'node_modules/hearth': { version, resolved: `file:../${archive}`, license: 'Apache-2.0', dependencies: own.dependencies, bin, engines },
    ...Object.fromEntries(production),
  };
  await writeFile(join(app, 'package.json'), JSON.stringify({ name: 'app', private: true, dependencies }));
  await writeFile(join(app, 'package-lock.json'), JSON.stringify({ name: 'app', lockfileVersion: 3, requires: true, packages }));
  await npm(app, 'ci', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--omit=dev');
}

async function npm(cwd: string, ...args: string[]): Promise<void> {
  // The rules of this checkout reach a test through `npm test`; the packed file is a file.
  await exec('npm', args, { cwd, env: { ...process.env, npm_config_update_notifier: 'false', npm_config_allow_file: 'all' } });
}
