import { existsSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/index.ts';
import { envelopeSchema, versionDataSchema } from '../../src/contract/index.ts';
import { createTestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';

const root = join(import.meta.dirname, '../..');
const json = (text: string) => envelopeSchema.parse(JSON.parse(text));

describe('version and overview', () => {
  it('[store K1] --version prints the name and the version in one line', async () => {
    await using home = await createTestHome();
    const { code, stdout, stderr } = await home.run(['--version']);
    expect(stdout).toMatch(/^hearth \d+\.\d+\.\d+\n$/);
    expect([code, stderr]).toEqual([0, '']);
    expect((await home.run(['version'])).stdout).toBe(stdout);
  });

  it('[store K2] version --json is valid, names schema 0.2.3 and fills the memory', async () => {
    await using home = await createTestHome();
    for (const args of [
      ['version', '--json'],
      ['--json', 'version'],
      ['--version', '--json'],
    ]) {
      const document = json((await home.run(args)).stdout);
      expect(document).toMatchObject({ status: 'success', command: 'version', error: null });
      const data = versionDataSchema.parse(document.data);
      expect(data.json_api_spec_version).toBe('0.2.3');
      expect(data.system?.memory_total_bytes).toBeGreaterThan(2 ** 28);
    }
  });

  it('[store K3] without a command: the overview and exit 0; help and exit 2 under a compatibility name; with --json an error document and exit 1', async () => {
    await using home = await createTestHome();
    const bare = await home.run([]);
    expect([bare.code, bare.stderr]).toEqual([0, '']);
    expect(bare.stdout).toMatch(/^hearth \d/);
    expect(bare.stdout).toMatch(/^Models +run .*list {2}show {2}health {2}pull/m);
    expect(existsSync(home.home)).toBe(false);

    const alias = join(home.directory, 'mlxk');
    await symlink(join(root, 'bin/hearth.js'), alias);
    const asAlias = await home.run([], { program: alias });
    expect(asAlias.code).toBe(2);
    expect(asAlias.stderr).toContain('Usage: hearth');

    const asJson = await home.run(['--json']);
    expect(asJson.code).toBe(1);
    expect(json(asJson.stdout)).toMatchObject({ status: 'error', command: 'version', error: { code: 'usage', type: 'CommandError' } });
  });

  it('[stack S2] --help on the root and on every verb exits 0', async () => {
    await using home = await createTestHome();
    const verbs = [...new Set(COMMANDS.map((command) => command.name.split(' ')[0]!))];
    expect(verbs.length).toBeGreaterThan(30);
    for (const args of [['--help'], ['config', 'get', '--help'], ...verbs.map((verb) => [verb, '--help'])]) {
      const { code, stdout } = await runInProcess(args, home);
      expect([args, code, stdout.startsWith('Usage: hearth')]).toEqual([args, 0, true]);
    }
  });
});

describe('errors', () => {
  it('[store K4] a usage error with --json is a document that names the command, and exit 2', async () => {
    await using home = await createTestHome();
    const { code, stdout } = await home.run(['push', '--json']);
    expect(code).toBe(2);
    expect(json(stdout)).toMatchObject({ status: 'error', command: 'push', data: null, error: { type: 'CommandError' } });
  });

  it('[stack S3] an unknown verb exits 2 and names near ones', async () => {
    await using home = await createTestHome();
    const { code, stdout, stderr } = await home.run(['serv']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('Did you mean serve');
    expect((await home.run(['rnu'])).stderr).toContain('Did you mean run');
    expect((await home.run(['xyzzy'])).code).toBe(2);
    expect((await home.run(['--no-such-option'])).code).toBe(2);
  });

  it('a wrong option is told in one sentence with the near one, and the hint names the verb', async () => {
    await using home = await createTestHome();
    const { stderr } = await runInProcess(['serve', '--prot', '1'], home);
    expect(stderr).toContain("'--prot'. Did you mean --port?\n");
    expect(stderr).toContain('`hearth serve --help`');
  });

  it('[store K7] errors for people go to stderr only, without a stack trace', async () => {
    await using home = await createTestHome();
    const missing = await home.run(['show', 'no-such-model']);
    expect([missing.code, missing.stdout]).toEqual([1, '']);
    expect(missing.stderr).toContain('show: Error: ');
    await mkdir(home.home, { recursive: true });
    await writeFile(join(home.home, 'config.yaml'), 'serve:\n  port: never\n');
    for (const [args, exit] of [
      [['show', 'no-such-model'], 1],
      [['config', 'get', 'no.such.key'], 1],
      [['config', 'list'], 1],
      [['setup'], 1],
      [['run', 'no-such-model', 'hello'], 1],
      [['list', '--no-such-option'], 2],
      [['show'], 2],
      [['run', 'm', 'x', '--temperature', '7'], 2],
    ] as const) {
      const { code, stdout, stderr } = await runInProcess(args, home);
      expect([args, code, stdout]).toEqual([args, exit, '']);
      expect(stderr).toMatch(new RegExp(`^${args[0]}: Error: .+\\nHint: .+`, 's'));
      expect(stderr).not.toMatch(/\n\s+at /);
      const document = await runInProcess([...args, '--json'], home);
      expect([args, document.code]).toEqual([args, exit]);
      expect(JSON.parse(document.stdout)).toMatchObject({ status: 'error', command: args[0], error: { hint: expect.any(String) } });
    }
  });

  it('a verb that is not built says so', async () => {
    await using home = await createTestHome();
    for (const command of COMMANDS.filter((c) => c.planned && c.arguments[0]?.name === 'arguments')) {
      const { code, stdout } = await runInProcess([...command.name.split(' '), '--json', 'anything'], home);
      expect([command.name, code]).toEqual([command.name, 1]);
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'not_implemented' } });
    }
  });
});

describe('config', () => {
  it('shows values, where they came from and where the file is; stdout holds data alone', async () => {
    await using home = await createTestHome();
    await mkdir(home.home, { recursive: true });
    await writeFile(join(home.home, 'config.yaml'), 'serve:\n  port: 7100\n');
    expect(await home.run(['config', 'get', 'serve.port'])).toEqual({ code: 0, stdout: '7100\n', stderr: '' });
    expect((await home.run(['config', 'path'])).stdout).toBe(`${join(home.home, 'config.yaml')}\n`);
    const explained = await home.run(['config', 'explain', 'serve.port'], { env: { HEARTH_PORT: '7101' } });
    expect(explained.stdout).toContain('Used: 7101 from HEARTH_PORT (env)');
    expect(explained.stdout).toContain('config.yaml:2 (user)');
    const listed = await home.run(['config', 'list', '--json']);
    expect(JSON.parse(listed.stdout)).toMatchObject({
      command: 'config',
      data: { keys: expect.arrayContaining([{ key: 'serve.port', value: 7100, default: 8000, source: 'user' }]) },
    });
  });
});

describe('config set', () => {
  it('groups are shown as JSON, and the keys of upstreams in them not at all', async () => {
    await using home = await createTestHome();
    const remotes = '{"lab":{"kind":"openai","baseUrl":"http://127.0.0.1:1/v1","models":["m"],"apiKey":"sk-secret-of-the-lab"}}';
    const said = [await home.run(['config', 'set', 'remotes', remotes])];
    for (const args of [['list'], ['get', 'remotes'], ['explain', 'remotes'], ['get', 'remotes', '--json']]) said.push(await home.run(['config', ...args]));
    for (const { code, stdout, stderr } of said) {
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toContain('"lab"');
      expect(stdout).not.toMatch(/object Object|sk-secret/);
    }
  });

  it('writes the file, and the next command reads it; a wrong value exits 1 and changes nothing', async () => {
    await using home = await createTestHome();
    expect(await runInProcess(['config', 'set', 'serve.port', '7200'], home)).toMatchObject({ code: 0, stdout: 'serve.port = 7200\n' });
    expect((await runInProcess(['config', 'get', 'serve.port'], home)).stdout).toBe('7200\n');
    expect(await runInProcess(['config', 'set', 'serve.port', 'many'], home)).toMatchObject({ code: 1, stdout: '' });
    expect((await runInProcess(['config', 'set', 'no.key', '1'], home)).stderr).toContain('There is no key');
    expect(await readFile(join(home.home, 'config.yaml'), 'utf8')).toBe('serve:\n  port: 7200\n');
  });
});

describe('completion', () => {
  it.each(['bash', 'zsh', 'fish'])('prints a script for %s that knows the verbs', async (shell) => {
    await using home = await createTestHome();
    const { code, stdout } = await runInProcess(['completion', shell], home);
    expect(code).toBe(0);
    expect(stdout).toContain('explain');
    expect(stdout).not.toContain('setup');
  });
});
