import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import type { OfflineResult } from '../support/offline-runs.ts';
import { mlxModel, writeFiles } from '../support/temp-store.ts';
import { installTinyEncoder, TINY_ENCODER } from '../support/tiny-encoder.ts';
import { installTinyModel, TINY_MODEL, writeTinyModel } from '../support/tiny-model.ts';

/**
 * The statements of docs/spec/store.md §13, in a network namespace that has nothing but a loopback: the kernel counts every attempt of every
 * process in it, engines included, to send or to connect. Unix sockets do not count.
 */
const enter = ['-rn', 'sh', '-c', 'ip link set lo up && exec "$0" "$@"'];
const possible = process.platform === 'linux' && spawnSync('unshare', [...enter, 'true']).status === 0;
const reason = possible ? '' : ' (skipped: this machine lets nobody make a network namespace with unshare and ip)';

const root = join(import.meta.dirname, '../..');
const HUB = 'https://hub.example.org';
const TOKEN = `hf_${createHash('sha256').update('offline').digest('hex').slice(0, 34)}`;
const CHAT = {
  model: TINY_MODEL,
  messages: [{ role: 'user', content: 'Tell me something.' }],
  max_tokens: 24,
  temperature: 0,
  logit_bias: { 98: -100, 99: -100 },
};
/** Python's way to run a program from a data file. */
const pickleThatTouches = (path: string): string => `cos\nsystem\n(S'touch ${path}'\ntR.`;

let home: TestHome;
let results: ReadonlyMap<string, OfflineResult>;
const of = (name: string): OfflineResult => {
  const found = results.get(name);
  if (found === undefined) throw new Error(`no run ${name}`);
  return found;
};
const documentOf = (name: string) =>
  JSON.parse(of(name).stdout) as { status: string; data: Record<string, unknown> | null; error: { code: string; message: string } | null };

async function lay(): Promise<void> {
  const { directory } = home;
  await installTinyModel(home.hfHome);
  await installTinyEncoder(home.hfHome);
  await writeTinyModel(join(directory, 'workspaces/mine'));
  await writeFiles(join(directory, 'push-me'), mlxModel());
  await symlink('/etc/hostname', join(directory, 'push-me/outside'));
  // A managed workspace whose index leads out, and one with files that no hash may read as what they claim to be.
  const managed = { mlxk_version: '2.0.7', managed: true, operation: 'clone', source_repo: 'org/x', created_at: '2026-01-01T00:00:00Z' };
  const entry = { path: '../../secret', size: 6, mtime_ns: 1, sha: 'sha256:00' };
  const pinned = { hash_algorithm: 'v2', content_hash: `sha256:${'0'.repeat(64)}`, file_index: [entry] };
  await writeFiles(join(directory, 'leading-out'), { ...mlxModel(), '.mlxk_workspace.json': JSON.stringify({ ...managed, ...pinned }) });
  const noHeader = Buffer.concat([Buffer.from([16, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('this is no JSON!'), Buffer.alloc(8)]);
  await writeFiles(join(directory, 'odd'), {
    ...mlxModel({ 'model.safetensors': noHeader, 'pytorch_model.bin': pickleThatTouches(join(directory, 'PWNED')) }),
    '.mlxk_workspace.json': JSON.stringify(managed),
  });
}

/** Somebody's directory of the name that clone would take for its work. */
const foreignWorkArea = (): string => {
  const target = join(home.directory, 'cloned');
  return join(home.directory, `.hearth_temp_${createHash('sha256').update(`${TINY_MODEL}:${target}`).digest('hex').slice(0, 16)}`);
};

async function runAll(): Promise<ReadonlyMap<string, OfflineResult>> {
  const { directory } = home;
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: directory,
    HEARTH_HOME: home.home,
    HF_HOME: home.hfHome,
    HF_ENDPOINT: HUB,
    HF_TOKEN: TOKEN,
    HEARTH_WORKSPACE_HOME: join(directory, 'workspaces'),
  };
  const run = (name: string, args: readonly string[], more: object = {}) => ({ name, args, env, cwd: directory, ...more });
  const socket = join(home.home, 'run/hearthd.sock');
  const post = (path: string, body: unknown) => ({ method: 'POST', path, body });
  const picture = [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What is it?' },
        { type: 'image_url', image_url: { url: 'http://192.0.2.7/x.png' } },
      ],
    },
  ];
  const runs = [
    run('control', [], { script: "fetch('http://192.0.2.1').catch(() => {}); require('dns').lookup('example.org', () => {})" }),
    run('version', ['version', '--json']),
    run('help', ['--help']),
    run('list', ['list', '--health', '--json']),
    run('show', ['show', TINY_MODEL, '--files', '--json']),
    run('health', ['health', '--json']),
    run('health deep', ['health', '--deep', '--json']),
    run('run', ['run', TINY_MODEL, 'hello', '--max-tokens', '8', '--json']),
    run('run workspace', ['run', 'mine', 'hello', '--max-tokens', '8', '--json']),
    run('run unknown', ['run', 'org/unknown', 'hello', '--json']),
    run('show unknown', ['show', 'org/unknown', '--json']),
    run('embed unknown', ['embed', 'org/unknown', 'hello', '--json']),
    run('embed', ['embed', TINY_ENCODER, 'hello']),
    run('serve', ['serve', '--port', '0', '--json', '--log-level', 'debug'], {
      serve: {
        socket,
        requests: [
          { method: 'GET', path: '/health' },
          post('/v1/chat/completions', CHAT),
          post('/v1/embeddings', { model: TINY_ENCODER, input: 'hello' }),
          post('/v1/chat/completions', { ...CHAT, messages: picture }),
          post('/v1/chat/completions', { ...CHAT, model: '/etc' }),
          post('/v1/chat/completions', { ...CHAT, model: '../../etc' }),
          post('/v1/chat/completions', { ...CHAT, model: 'org/unknown' }),
          post('/admin/v1/store/push', { directory: join(directory, 'push-me'), repository: 'org/m', private: true }),
        ],
      },
    }),
    run('pull', ['pull', 'org/unknown', '--json'], { env: { ...env, HF_HUB_OFFLINE: '' } }),
    run('pull offline', ['pull', 'org/unknown', '--json'], { env: { ...env, HF_HUB_OFFLINE: '1' } }),
    run('clone', ['clone', TINY_MODEL, './cloned', '--json'], { env: { ...env, HF_HUB_OFFLINE: '1' } }),
    run('convert into cache', ['convert', 'workspaces/mine', join(home.hfHome, 'hub/new'), '--repair-index', '--json']),
    run('rm workspace', ['rm', 'mine', '--force', '--json']),
    run('push without token', ['push', 'push-me', 'org/m', '--private', '--json'], { env: { ...env, HF_TOKEN: '' } }),
    run('push without consent', ['push', 'push-me', 'org/m', '--json']),
    run('push of links', ['push', 'push-me', 'org/m', '--private', '--json']),
    run('check-only', ['push', 'push-me', 'org/m', '--private', '--check-only', '--json'], { env: { ...env, HF_TOKEN: '' } }),
    run('dry run', ['push', 'workspaces/mine', 'org/m', '--private', '--dry-run', '--json'], { env: { ...env, HF_HUB_OFFLINE: '1' } }),
    run('leading out', ['show', './leading-out', '--json']),
    run('recalc', ['show', './odd', '--recalc-hash', '--json']),
    run('error with home', ['push', './nothing', 'org/m', '--private']),
    run('error with token', ['show', `org/${TOKEN}`]),
  ];
  await mkdir(foreignWorkArea());
  await writeFile(join(foreignWorkArea(), 'mine.txt'), 'mine');
  const plan = join(directory, 'runs.json');
  await writeFile(plan, JSON.stringify({ program: join(root, 'bin/hearth.js'), runs }));
  const child = spawn('unshare', [...enter, process.execPath, join(root, 'test/support/offline-runs.ts'), plan], {
    cwd: directory,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, told] = ['', ''];
  child.stdout.on('data', (piece) => {
    out += String(piece);
  });
  child.stderr.on('data', (piece) => {
    told += String(piece);
  });
  const code = await new Promise((done) => child.on('close', done));
  if (code !== 0) throw new Error(`the runs ended with ${code}: ${told}`);
  return new Map((JSON.parse(out) as OfflineResult[]).map((result) => [result.name, result]));
}

async function treeOf(directory: string): Promise<string[]> {
  return (await readdir(directory, { recursive: true })).sort();
}

describe.skipIf(!possible)(`[store K120] offline proof in a namespace without network${reason}`, () => {
  let cacheBefore: string[];
  beforeAll(async () => {
    home = await createTestHome();
    await lay();
    cacheBefore = await treeOf(home.hfHome);
    results = await runAll();
  }, 300_000);
  afterAll(async () => {
    await home[Symbol.asyncDispose]();
  });

  it('[store K120] the counters move when somebody reaches out', () => {
    expect(of('control').attempts).toBeGreaterThan(0);
    expect(of('pull').attempts).toBeGreaterThan(0);
  });

  it('[store K120] S1 list, show, health, run, serve and embed reach out to nobody, and engines get a local path and HF_HUB_OFFLINE=1', () => {
    for (const name of ['list', 'show', 'health', 'health deep', 'run', 'run workspace', 'embed', 'serve'])
      expect([name, of(name).code, of(name).attempts, of(name).code === 0 ? '' : of(name).stderr]).toEqual([name, 0, 0, '']);
    const [, chat, vectors] = of('serve').answers;
    expect([chat?.status, vectors?.status]).toEqual([200, 200]);
    expect(of('serve').workers.length).toBeGreaterThan(0);
    for (const { command, environment } of of('serve').workers) {
      expect(command).toMatch(/--model-directory=\//);
      expect(command).not.toMatch(/(^|[ =])hearth-test\//);
      expect(environment).toContain('HF_HUB_OFFLINE=1');
      expect(environment.join(' ')).not.toContain(TOKEN);
    }
  });

  it('[store K120] S2 an unknown model is fetched by pull and clone alone', () => {
    for (const name of ['run unknown', 'show unknown', 'embed unknown'])
      expect([name, documentOf(name).error?.code, of(name).attempts]).toEqual([name, 'model_not_found', 0]);
    expect(of('serve').answers[6]?.status).toBe(404);
    expect(documentOf('pull').error?.code).toBe('hub_unreachable');
    expect([documentOf('pull offline').error?.code, of('pull offline').attempts]).toEqual(['offline', 0]);
  });

  it('[store K120] S3 nothing is uploaded without HF_TOKEN and --private, nor over HTTP without a listed target', () => {
    expect([of('push without consent').code, of('push without consent').attempts]).toEqual([2, 0]);
    expect([of('push without token').code, of('push without token').attempts]).toEqual([1, 0]);
    const refused = of('serve').answers[7];
    expect([refused?.status, JSON.parse(refused!.body).error.code]).toEqual([403, 'push_refused']);
  });

  it('[store K120] S4 push reads the given folder alone: a link out of it is refused', () => {
    expect(documentOf('push of links').error?.code).toBe('push_refused');
    expect(of('push of links').stdout).toContain('outside');
  });

  it('[store K120] S5 listeners bind loopback by default', () => {
    const { listeners } = of('serve');
    expect(listeners.length).toBeGreaterThan(0);
    // 127.0.0.1 and ::1, as the kernel prints them.
    for (const address of listeners) expect(['0100007F', '00000000000000000000000001000000']).toContain(address);
  });

  it('[store K120] S6 no telemetry and no update check: nothing but pull, clone and push reaches out', () => {
    for (const [name, { attempts }] of results) if (!['control', 'pull'].includes(name)) expect([name, attempts]).toEqual([name, 0]);
  });

  it('[store K120] S7 the text of an answer is in no log line', () => {
    const text = (JSON.parse(of('serve').answers[1]!.body) as { choices: { message: { content: string } }[] }).choices[0]!.message.content;
    expect(text.length).toBeGreaterThan(8);
    expect(of('serve').stderr).toContain('request');
    expect(of('serve').stderr).not.toContain(text);
    expect(of('serve').stderr).not.toContain('Tell me something');
  });

  it('[store K120] S8 tokens and the home path are in no log line and in no error', () => {
    for (const { name, stderr } of results.values()) expect([name, stderr.includes(TOKEN), stderr.includes(home.directory)]).toEqual([name, false, false]);
    for (const name of ['run unknown', 'pull', 'push of links', 'convert into cache', 'rm workspace']) {
      const { error } = documentOf(name);
      expect([name, JSON.stringify(error).includes(home.directory), JSON.stringify(error).includes(TOKEN)]).toEqual([name, false, false]);
    }
    expect(of('error with home').stderr).toContain('~/nothing');
    expect(of('error with token').stderr).toContain('[redacted:');
  });

  it('[store K120] S9 check-only needs no network and no token', () => {
    expect([of('check-only').code, of('check-only').attempts]).toEqual([0, 0]);
    expect(documentOf('check-only').data).toMatchObject({ workspace_health: { healthy: true }, refused: [{ path: 'outside', code: 'symlink' }] });
  });

  it('[store K120] S10 a dry run that may not ask the hub sends nothing', () => {
    expect([documentOf('dry run').error?.code, of('dry run').attempts]).toEqual(['offline', 0]);
  });

  it('[store K120] S11 convert writes into no cache', async () => {
    expect(documentOf('convert into cache').error).toMatchObject({ type: 'InvalidTargetError' });
    const after = (await treeOf(home.hfHome)).filter((path) => !path.includes('.locks'));
    expect(after).toEqual(cacheBefore);
  });

  it('[store K120] S12 rm deletes no workspace', () => {
    expect(documentOf('rm workspace').error?.code).toBe('workspace_model');
    expect(existsSync(join(home.directory, 'workspaces/mine/config.json'))).toBe(true);
  });

  it('[store K120] S13 a directory that only looks like a work area stays', async () => {
    expect(await readFile(join(foreignWorkArea(), 'mine.txt'), 'utf8')).toBe('mine');
  });

  it('[store K120] S14 an index that leads out of a workspace is not followed', () => {
    expect(documentOf('leading out').data).toMatchObject({ model: { clean: null } });
  });

  it('[store K120] S15 hashing parses no weights and runs nothing', () => {
    expect(documentOf('recalc').data).toMatchObject({ hash_updated: true, model: { clean: true } });
    expect(existsSync(join(home.directory, 'PWNED'))).toBe(false);
  });

  it('[store K120] S16 no address of a client is fetched and no path of a client is opened', () => {
    const [, , , picture, absolute, relative] = of('serve').answers;
    expect(picture?.status).toBeGreaterThanOrEqual(400);
    for (const answer of [absolute, relative]) expect([400, 404]).toContain(answer?.status);
    expect(of('serve').attempts).toBe(0);
  });

  it('[store K120] S17 tests work in directories of their own', async () => {
    const sources = (await treeOf(join(root, 'test'))).filter((path) => path.endsWith('.ts')).map((path) => join(root, 'test', path));
    const unit = (await treeOf(join(root, 'src'))).filter((path) => path.endsWith('.test.ts')).map((path) => join(root, 'src', path));
    expect(sources.length + unit.length).toBeGreaterThan(100);
    for (const path of [...sources, ...unit])
      expect([
        path,
        /\bhomedir\(\)|process\.env\['HF_H(OME|UB_CACHE)'\]/.test((await readFile(path, 'utf8')).replaceAll(/\/[^/\n]*homedir[^/\n]*\//g, '')),
      ]).toEqual([path, false]);
    expect(home.hfHome.startsWith(home.directory)).toBe(true);
  });

  it('[store K120] S18 records of embed and the health answer hold no absolute path', () => {
    expect(of('embed').stdout).toContain('"embedding"');
    for (const text of [of('embed').stdout, of('serve').answers[0]!.body]) expect(text).not.toMatch(/"[^"]*\/(tmp|home|root|var)\//);
    expect(of('embed').stdout).not.toContain(home.directory);
  });
});
