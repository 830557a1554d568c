import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { envelopeSchema, healthDataSchema, listDataSchema } from '../../src/contract/index.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';
import { STORE_FIXTURES, writeStoreFixtures } from '../support/store-fixtures.ts';
import { installTinyModel, writeTinyModel } from '../support/tiny-model.ts';

const json = (text: string) => envelopeSchema.parse(JSON.parse(text));

describe('list, show and health over one of each kind', () => {
  let home: TestHome;
  let env: Record<string, string>;
  let elsewhere: string;
  const run = (...args: string[]) => runInProcess(args, { directory: elsewhere, env: { ...env, HEARTH_HOME: home.home } });
  const data = async (...args: string[]): Promise<Record<string, unknown>> => json((await run(...args, '--json')).stdout).data ?? {};

  beforeAll(async () => {
    home = await createTestHome();
    const places = await writeStoreFixtures(home.directory);
    elsewhere = places.elsewhere;
    env = { HF_HOME: places.hfHome, MLXK_WORKSPACE_HOME: places.workspaceHome };
    return async () => await home[Symbol.asyncDispose]();
  });

  it('[store K15] no cache: success and count 0; workspaces are listed without a cache; no tiers without a stack', async () => {
    const bare = { HF_HOME: join(home.directory, 'nowhere'), HEARTH_HOME: home.home };
    const empty = await runInProcess(['list', '--json'], { directory: home.directory, env: bare });
    expect([empty.code, json(empty.stdout).data]).toEqual([0, { models: [], count: 0 }]);
    const human = await runInProcess(['list'], { directory: home.directory, env: bare });
    expect([human.code, human.stdout]).toEqual([0, expect.stringContaining('No models are here yet')]);
    const withHome = await runInProcess(['list', '--json'], { directory: home.directory, env: { ...bare, ...env, HF_HOME: bare.HF_HOME } });
    const { models } = listDataSchema.parse(json(withHome.stdout).data);
    expect(models.map((model) => [model.display_name, model.cached])).toEqual([
      ['broken', false],
      ['my-Vision', false],
      ['old-format', false],
      ['unmanaged', false],
    ]);
    expect((await run('list', '--all')).stdout).not.toMatch(/tier/i);
  });

  it('[store K16] Src and Clean follow the state of a workspace', async () => {
    const workspaces = env['MLXK_WORKSPACE_HOME']!;
    const sentinel = JSON.stringify({ managed: true, source_repo: 'org/x', operation: 'clone' });
    for (const name of ['state-clean', 'state-dirty']) {
      await cp(join(workspaces, 'unmanaged'), join(workspaces, name), { recursive: true });
      await writeFile(join(workspaces, name, '.mlxk_workspace.json'), sentinel);
      expect((await run('show', name, '--recalc-hash')).code).toBe(0);
    }
    await writeFile(join(workspaces, 'state-dirty', 'tokenizer_config.json'), '{"chat_template":"changed"}');
    const table = (await run('list', '--all')).stdout.split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
    const cells = (name: string) => table.find((row) => row[0] === name)?.slice(4, 6);
    expect(cells('state-clean')).toEqual(['ws', '✓']);
    expect(cells('state-dirty')).toEqual(['ws*', '✗']);
    expect(cells('old-format')).toEqual(['ws?', '—']);
    expect(cells('unmanaged')).toEqual(['ws?', '—']);
    expect(cells('org/quantised')).toEqual(['cache', '—']);
    expect(table.find((row) => row[0] === 'state-clean')?.[1]).toMatch(/^[0-9a-f]{7}$/);
  });

  it('[store K25] health of a workspace by its path is a closed entry named by the whole path; by its name the short one', async () => {
    const one = healthDataSchema.parse(await data('health', './other'));
    expect(one.healthy).toEqual([{ name: join(elsewhere, 'other'), status: 'healthy', reason: 'Model is healthy' }]);
    expect(healthDataSchema.parse(await data('health', 'unmanaged')).healthy).toMatchObject([{ name: 'unmanaged' }]);
    const all = healthDataSchema.parse(await data('health'));
    expect(all.unhealthy.map((entry) => entry.name)).toContain('broken');
    for (const { name } of [...all.healthy, ...all.unhealthy]) expect(name).not.toContain(home.directory);
  });

  it('[store K26] --strict exits with 4 when something is unhealthy, and with 0 otherwise; without it 0', async () => {
    for (const extra of [[], ['--json']]) {
      const code = async (...args: string[]) => (await run('health', ...args, ...extra)).code;
      expect([await code('org/no-weights', '--strict'), await code('org/quantised', '--strict'), await code('org/no-weights')]).toEqual([4, 0, 0]);
      expect([await code('--strict'), await code(), await code('nothing-like-it', '--strict')]).toEqual([4, 0, 0]);
    }
  });

  it('[store K43] list, show and the server agree for every fixture, and a clone equals its snapshot', async () => {
    const server = home.start(['serve', '--json', '--port', '0'], { env, cwd: elsewhere });
    const { data: address } = JSON.parse(await server.waitFor('stdout', /\n\}\n/)) as { data: { port: number } };
    const { data: served } = (await (await fetch(`http://127.0.0.1:${address.port}/v1/models`)).json()) as { data: { id: string }[] };
    const ids = new Set(served.map((model) => model.id));
    server.child.kill('SIGTERM');
    await server.ended;
    const { models } = listDataSchema.parse(await data('list'));
    expect(models.length).toBeGreaterThan(60);
    const workspaces = env['MLXK_WORKSPACE_HOME']!;
    for (const { name } of STORE_FIXTURES) {
      const listed = models.find((model) => model.name === name);
      const { model } = (await data('show', name)) as { model: object };
      expect(model).toEqual(listed);
      // As the server sees it: what can run, and nothing else. One name stands for several GGUF files, too.
      expect([name, ids.has(name)]).toEqual([name, listed?.health === 'healthy' && listed.runtime_compatible]);
    }
    for (const { name, files } of STORE_FIXTURES.filter((fixture) => 'config.json' in fixture.files).slice(0, 12)) {
      const copy = join(workspaces, `copy-of-${name.replaceAll('/', '-')}`);
      await mkdir(copy, { recursive: true });
      for (const [path, content] of Object.entries(files)) await writeFile(join(copy, path), content);
      await writeFile(join(copy, '.mlxk_workspace.json'), JSON.stringify({ managed: true, source_repo: name }));
      const judged = (model: Record<string, unknown>) =>
        ['framework', 'model_type', 'capabilities', 'health', 'runtime_compatible', 'reason', 'quantization'].map((field) => model[field]);
      const snapshot = models.find((model) => model.name === name)!;
      expect([name, judged(((await data('show', copy)) as { model: Record<string, unknown> }).model)]).toEqual([name, judged(snapshot)]);
    }
  });

  it('paths are those of the caller, whatever directory a running daemon has', async () => {
    const server = home.start(['serve', '--json', '--port', '0'], { env, cwd: home.directory });
    await server.waitFor('stdout', /\n\}\n/);
    const alone = { directory: elsewhere, env: { ...env, HEARTH_HOME: join(home.directory, 'no-daemon') } };
    for (const args of [
      ['list', '.'],
      ['list', './gemma'],
      ['list', './other'],
      ['show', './other'],
      ['health', './other'],
    ]) {
      const told = await run(...args, '--json');
      expect(told).toMatchObject({ code: 0, stdout: (await runInProcess([...args, '--json'], alone)).stdout });
      expect(told.stdout).toContain('elsewhere');
    }
    server.child.kill('SIGTERM');
    await server.ended;
  });
});

describe('the short way of version and list', () => {
  it('gives what the whole command line gives, in the first run and from what it kept', async () => {
    await using home = await createTestHome();
    await installTinyModel(home.hfHome);
    await writeTinyModel(join(home.directory, 'mine'));
    for (const args of [
      ['version'],
      ['--version'],
      ['version', '--json'],
      ['list'],
      ['list'],
      ['list', '--json'],
      ['list', 'TINY', '--all', '--health', '-v'],
      ['list', '.', '--json'],
      ['list', './nothing'],
      ['list', 'a', 'b'],
      ['list', '--wrong', '--json'],
      ['version', 'x', '--json'],
    ]) {
      const short = await home.run(args);
      const whole = await runInProcess(args, { directory: home.directory });
      expect([args, short]).toEqual([args, { code: whole.code, stdout: whole.stdout, stderr: whole.stderr }]);
    }
  });

  it('a program of another name says its own, and the wrong configuration is told', async () => {
    await using home = await createTestHome();
    const alias = join(home.directory, 'mlxk');
    await symlink(join(import.meta.dirname, '../../bin/hearth.js'), alias);
    expect((await home.run(['--version'], { program: alias })).stdout).toMatch(/^mlxk \d+\.\d+\.\d+\n$/);
    expect(json((await home.run(['list', '--json'], { program: alias })).stdout)).toMatchObject({ status: 'success', command: 'list' });
    const wrong = await home.run(['list', '--json'], { env: { HEARTH_PORT: 'never' } });
    expect([wrong.code, json(wrong.stdout).error?.code]).toEqual([1, 'config_invalid']);
  });
});
