import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { envelopeSchema, pushDataSchema } from '../../src/contract/index.ts';
import { startWritableHub, type WritableHub, type WritableHubBehaviour } from '../support/fake-hub-writes.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { PUSH_TOKEN } from '../support/push-store.ts';
import { type CliRun, runInProcess } from '../support/run-cli.ts';
import { type ModelFiles, mlxModel, writeFiles } from '../support/temp-store.ts';

interface Place extends AsyncDisposable {
  readonly home: TestHome;
  readonly hub: WritableHub;
  readonly folder: string;
  run(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<CliRun>;
}

async function place(files: ModelFiles = mlxModel(), behaviour: WritableHubBehaviour = {}): Promise<Place> {
  const home = await createTestHome();
  const hub = await startWritableHub(join(home.directory, 'hub'), behaviour);
  await hub.repositories.create('tester/model', true);
  const folder = join(home.directory, 'ws');
  await writeFiles(folder, files);
  return {
    home,
    hub,
    folder,
    run: (args, env = {}) => runInProcess(['push', ...args], { directory: home.directory, env: { HF_ENDPOINT: hub.endpoint, HF_TOKEN: PUSH_TOKEN, ...env } }),
    async [Symbol.asyncDispose]() {
      await hub[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
}

function documentOf(run: CliRun) {
  const document = envelopeSchema.parse(JSON.parse(run.stdout));
  expect(document.command).toBe('push');
  if (document.status === 'success') pushDataSchema.parse(document.data);
  return document;
}

const filesOf = (hub: WritableHub, branch = 'main'): string[] => [...hub.repositories.commitOf('tester/model', branch)!.files.keys()].sort();

describe('hearth push', () => {
  it('[store K4] `push --json` alone is a usage error of push', async () => {
    await using at = await place();
    const run = await at.run(['--json']);
    expect(run.code).toBe(2);
    expect(documentOf(run)).toMatchObject({ status: 'error', command: 'push', error: { type: 'CommandError' } });
  });

  it('[store K77] --private is required, and a public repository is refused', async () => {
    await using at = await place();
    for (const args of [
      ['ws', 'tester/model'],
      ['ws', 'tester/model', '--dry-run'],
      ['ws', 'tester/model', '--check-only'],
      ['ws', 'tester/model', '--create', '--json'],
    ]) {
      const run = await at.run(args);
      expect([args, run.code]).toEqual([args, 2]);
      expect(run.stdout + run.stderr).toContain('--private');
    }
    expect(at.hub.requests).toEqual([]);
    at.hub.repositories.all.get('tester/model')!.private = false;
    const refused = documentOf(await at.run(['ws', 'tester/model', '--private', '--json']));
    expect(refused).toMatchObject({ status: 'error', data: { repo_id: 'tester/model', commit_sha: null }, error: { type: 'repo_not_private' } });
    expect(at.hub.requests.every(({ method }) => method === 'GET')).toBe(true);
  });

  it('[store K82] tells people and programs what was pushed, with progress on stderr', async () => {
    await using at = await place();
    const human = await at.run(['ws', 'tester/model', '--private', '--commit', 'first words']);
    expect([human.code, human.stderr]).toEqual([0, expect.stringMatching(/^Sends 4 files \(\d+(\.\d)? k?B\) /m)]);
    expect(human.stderr).toContain('+ model.safetensors');
    expect(human.stdout).toContain('Pushed 4 files');
    expect(at.hub.repositories.commitOf('tester/model', 'main')?.summary).toBe('first words');
    await writeFile(join(at.folder, 'README.md'), '# one more');
    const json = documentOf(await at.run(['./ws', 'tester/model', '--private', '--json', '--branch', 'side']));
    const commit = at.hub.repositories.commitOf('tester/model', 'side')!;
    expect(json.data).toMatchObject({
      branch: 'side',
      commit_sha: commit.sha,
      commit_url: `${at.hub.endpoint}/tester/model/commit/${commit.sha}`,
      created_repo: false,
      change_summary: { added: 1, modified: 0, deleted: 0 },
    });
    const made = documentOf(await at.run(['ws', 'tester/fresh', '--private', '--create', '--json']));
    expect(made.data).toMatchObject({ created_repo: true, uploaded_files_count: 5 });
    expect(at.hub.repositories.all.get('tester/fresh')?.private).toBe(true);
    expect((await at.run(['ws', 'tester/fresh', '--private'])).stdout).toContain('no commit was made');
  });

  it('takes the token from the variable HF_TOKEN alone', async () => {
    await using at = await place();
    await writeFiles(join(at.home.directory, 'hf'), { token: PUSH_TOKEN });
    for (const env of [{ HF_TOKEN: '' }, { HF_TOKEN: '', HUGGING_FACE_HUB_TOKEN: PUSH_TOKEN }]) {
      for (const mode of [[], ['--dry-run']]) {
        const run = await at.run(['ws', 'tester/model', '--private', '--json', ...mode], env);
        expect([run.code, documentOf(run).error?.type]).toEqual([1, 'auth_error']);
      }
    }
    expect(at.hub.requests).toEqual([]);
  });

  it('[store K78] --check-only finds the eight anomalies, offline and without a token', async () => {
    await using at = await place({});
    const check = async (files: ModelFiles, alone = true) => {
      if (alone) await rm(at.folder, { recursive: true, force: true });
      await writeFiles(at.folder, files);
      const run = await at.run(['ws', 'tester/model', '--private', '--check-only', '--json'], {
        HF_TOKEN: '',
        HF_HUB_OFFLINE: '1',
        HF_ENDPOINT: 'http://127.0.0.1:2',
      });
      expect(run.code).toBe(0);
      const health = pushDataSchema.parse(documentOf(run).data).workspace_health!;
      return { health, codes: health.anomalies.map(({ severity, code }) => `${severity} ${code}`) };
    };
    expect(await check({ 'README.md': 'x' })).toMatchObject({
      codes: ['error config_missing', 'error no_weights_found'],
      health: { healthy: false, config: { exists: false, valid_json: false, path: null } },
    });
    expect((await check(mlxModel({ 'config.json': '{' }))).codes).toEqual(['error config_invalid_json']);
    expect((await check(mlxModel({ 'model.safetensors': '' }))).codes).toEqual(['error empty_weight_file']);
    expect(
      (await check(mlxModel({ 'model.safetensors': `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 5\n` }))).codes,
    ).toEqual(['error lfs_pointer_detected']);
    expect((await check(mlxModel({ 'model.safetensors.index.json': '[]' }))).codes).toEqual(['error index_parse_error']);
    const index = JSON.stringify({ weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' } });
    const shards = await check({ 'config.json': '{"model_type":"llama"}', 'model-00001-of-00002.safetensors': 'w', 'model.safetensors.index.json': index });
    expect(shards).toMatchObject({
      codes: ['error index_missing_shard'],
      health: {
        weights: { count: 1, formats: ['safetensors'], index: { has_index: true, missing: ['model-00002-of-00002.safetensors'] }, pattern_complete: false },
      },
    });
    const partial = await check(mlxModel({ 'other.partial': 'x' }));
    expect(partial).toMatchObject({ codes: ['warn partial_marker'], health: { healthy: true } });
    expect(await check(mlxModel())).toMatchObject({
      codes: [],
      health: { healthy: true, files_count: 4, config: { exists: true, valid_json: true }, weights: { count: 1, pattern_complete: true } },
    });
    expect(at.hub.requests).toEqual([]);
    const human = await at.run(['ws', 'tester/model', '--private', '--check-only'], { HF_TOKEN: '' });
    expect(human.stdout).toContain('Ready to push');
  });

  it('[store K79] --dry-run tells what a push does, and sends nothing', async () => {
    await using at = await place();
    await at.run(['ws', 'tester/model', '--private']);
    await writeFile(join(at.folder, 'config.json'), '{"model_type":"llama"}');
    await writeFile(join(at.folder, 'new.md'), 'new');
    await rm(join(at.folder, 'tokenizer.json'));
    at.hub.clearRequests();
    const told = pushDataSchema.parse(documentOf(await at.run(['ws', 'tester/model', '--private', '--delete', '--dry-run', '--json'])).data);
    expect(told).toMatchObject({
      dry_run: true,
      added_files: ['new.md'],
      modified_files: ['config.json'],
      deleted_files: ['tokenizer.json'],
      dry_run_summary: { added: 1, modified: 1, deleted: 1 },
    });
    const human = await at.run(['ws', 'tester/model', '--private', '--delete', '--dry-run']);
    expect(human.stdout).toContain('- tokenizer.json');
    expect(at.hub.requests.every(({ method }) => method === 'GET')).toBe(true);
    const done = pushDataSchema.parse(documentOf(await at.run(['ws', 'tester/model', '--private', '--delete', '--json'])).data);
    expect(done.change_summary).toEqual(told.dry_run_summary);
  });

  it('[store K80] leaves out the defaults and the lines of .hfignore, and never sends sentinel or .hf_cache', async () => {
    const extra = {
      '.hfignore': '# mine\nnotes/\n*.draft\n!.hf_cache/\n!.mlxk_workspace.json\n!keep.draft\n/top.txt\n',
      '.gitignore': 'x',
      '.DS_Store': 'x',
      '.mlxk_workspace.json': '{}',
      '.hf_cache/hub/x': 'x',
      '.git/config': 'x',
      '__pycache__/a.pyc': 'x',
      'sub/b.pyc': 'x',
      'venv/bin': 'x',
      '.venv/bin': 'x',
      'notes/one.txt': 'x',
      'deep/notes/two.txt': 'x',
      'a.draft': 'x',
      'keep.draft': 'x',
      'top.txt': 'x',
      'deep/top.txt': 'x',
    };
    await using at = await place(mlxModel(extra));
    expect((await at.run(['ws', 'tester/model', '--private'])).code).toBe(0);
    expect(filesOf(at.hub)).toEqual(['.gitattributes', ...Object.keys(mlxModel()), 'deep/top.txt', 'keep.draft'].sort());
  });

  it('[security G65] refuses secrets, environment files, keys, caches, links and what is too large, naming each, and sends nothing', async () => {
    const token = `hf_${createHash('sha256').update('x').digest('base64url').replaceAll(/[-_]/g, 'x').slice(0, 34)}`;
    await using at = await place(mlxModel());
    const outside = join(at.home.directory, 'outside.txt');
    await writeFile(outside, 'outside');
    const cases: readonly (readonly [code: string, path: string, make: (path: string) => Promise<void>])[] = [
      ['secret_content', 'README.md', (path) => writeFile(path, `my token is ${token}`)],
      ['secret_content', 'notes.md', (path) => writeFile(path, PUSH_TOKEN)],
      ['secret_content', 'deploy.txt', (path) => writeFile(path, '-----BEGIN OPENSSH PRIVATE KEY-----\nabc')],
      ['environment_file', '.env', (path) => writeFile(path, 'A=1')],
      ['environment_file', 'sub/.env.local', (path) => mkdir(join(path, '..')).then(() => writeFile(path, 'A=1'))],
      ['key_file', 'id_ed25519', (path) => writeFile(path, 'x')],
      ['key_file', 'server.pem', (path) => writeFile(path, 'x')],
      ['cache', '.cache/', (path) => writeFiles(path, { 'huggingface/x': 'x' })],
      ['log_file', 'train.log', (path) => writeFile(path, 'x')],
      ['database', 'state.sqlite', (path) => writeFile(path, 'x')],
      ['database', 'hidden.json', (path) => writeFile(path, 'SQLite format 3\0')],
      ['symlink', 'link.txt', (path) => symlink(outside, path)],
      ['symlink', 'inner.json', (path) => symlink('config.json', path)],
      ['symlink', 'linked', (path) => symlink('..', path)],
      ['format_refused', 'weights.bin', (path) => writeFile(path, 'x')],
      ['format_refused', 'model2.safetensors', (path) => writeFile(path, '\x80\x04pickle', 'latin1')],
      ['name_refused', 'a\\b.txt', (path) => writeFile(path, 'x')],
      ['too_large', 'huge.safetensors', (path) => writeFile(path, '').then(() => truncate(path, 50 * 1024 ** 3 + 1))],
    ];
    for (const [code, name, make] of cases) {
      await rm(at.folder, { recursive: true });
      await writeFiles(at.folder, mlxModel());
      await make(join(at.folder, name));
      const document = documentOf(await at.run(['ws', 'tester/model', '--private', '--json']));
      const { findings } = (document.error as { detail?: { findings?: { path: string; code: string }[] } }).detail ?? {};
      expect([name, document.error?.type, findings?.map((finding) => [finding.code, finding.path])]).toEqual([
        name,
        'push_refused',
        [[code, name.replace('a\\b', 'a\\b')]],
      ]);
      expect(JSON.stringify(document)).not.toContain(token);
      if (code !== 'too_large' && name !== 'a\\b.txt') {
        await writeFile(join(at.folder, '.hfignore'), `${name}\n`);
        expect([name, (await at.run(['ws', 'tester/model', '--private', '--dry-run'])).code]).toEqual([name, 0]);
      }
    }
    expect(at.hub.requests.every(({ method }) => method === 'GET')).toBe(true);
    const check = await at.run(['ws', 'tester/model', '--private', '--check-only']);
    expect(check.stdout).toContain('Refused: huge.safetensors');
  });

  it('[security G65] a folder in quarantine is refused, and push over HTTP is off until a target is listed', async () => {
    await using at = await place();
    await writeFiles(join(at.home.home, 'quarantine/abc'), mlxModel());
    await writeFiles(join(at.home.directory, '.hearth_temp_0123456789abcdef/workspace'), mlxModel());
    for (const folder of [join(at.home.home, 'quarantine/abc'), './.hearth_temp_0123456789abcdef/workspace'])
      expect(documentOf(await at.run([folder, 'tester/model', '--private', '--json'])).error?.type).toBe('push_refused');
    expect(documentOf(await at.run(['ws', 'tester/model', '--private', '--json'], { HEARTH_PUSH_TARGETS: 'other/*' })).error?.type).toBe('push_refused');
    expect(at.hub.requests).toEqual([]);
    expect((await at.run(['ws', 'tester/model', '--private'], { HEARTH_PUSH_TARGETS: 'other/*,tester/model' })).code).toBe(0);
  });

  it('finds the folder by the beginning of its path and by the name of a workspace', async () => {
    await using at = await place();
    const homes = join(at.home.directory, 'workspaces');
    await writeFiles(join(homes, 'alpha-one'), mlxModel());
    await writeFiles(join(homes, 'alpha-two'), mlxModel());
    const env = { HEARTH_WORKSPACE_HOME: homes };
    const type = async (directory: string) =>
      documentOf(await at.run([directory, 'tester/model', '--private', '--dry-run', '--json'], env)).error?.type ?? 'found';
    expect(await type('./workspaces/alpha-o')).toBe('found');
    expect(await type('alpha-two')).toBe('found');
    expect(await type('./workspaces/alpha')).toBe('ambiguous_workspace');
    expect(await type('./workspaces/beta')).toBe('workspace_not_found');
    expect(await type('beta')).toBe('workspace_not_found');
  });

  it('sends 300 MB from the disk with less than 250 MB of memory', async () => {
    await using at = await place(mlxModel(), { multipartAtLeastBytes: 8 * 1024 * 1024, partBytes: 64 * 1024 * 1024 });
    await writeFile(join(at.folder, 'model.safetensors'), Buffer.concat([Buffer.from([8, 0, 0, 0, 0, 0, 0, 0]), randomBytes(1024)]));
    await truncate(join(at.folder, 'model.safetensors'), 300 * 1024 * 1024);
    const started = at.home.start(['push', 'ws', 'tester/model', '--private'], { env: { HF_ENDPOINT: at.hub.endpoint, HF_TOKEN: PUSH_TOKEN } });
    let peak = 0;
    const timer = setInterval(() => {
      void readFile(`/proc/${started.child.pid}/status`, 'utf8')
        .then((status) => {
          peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024);
        })
        .catch(() => {});
    }, 50);
    const result = await started.ended;
    clearInterval(timer);
    expect([result.code, result.stderr]).toEqual([0, expect.stringContaining('100 %')]);
    if (process.platform === 'linux') expect(peak).toBeGreaterThan(0);
    expect(peak).toBeLessThan(250e6);
    expect(at.hub.requests.filter(({ method }) => method === 'PUT')).toHaveLength(5);
  });
});
