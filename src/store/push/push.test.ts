import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../../test/support/hub-store.ts';
import { makePushStore, PUSH_TARGET, PUSH_TOKEN } from '../../../test/support/push-store.ts';
import { mlxModel, writeFiles } from '../../../test/support/temp-store.ts';
import { pushDataSchema } from '../../contract/index.ts';
import { isHearthError } from '../../core/index.ts';

const MIB = 1024 * 1024;
const writes = (requests: readonly { readonly method: string }[]): number => requests.filter(({ method }) => method !== 'GET').length;

describe('push', () => {
  it('[store K82] commits what was added, changed and deleted, and gives sha, address and counts', async () => {
    await using at = await makePushStore({ created: false });
    const first = await at.push({ create: true });
    expect(pushDataSchema.parse(first)).toMatchObject({
      repo_id: PUSH_TARGET,
      branch: 'main',
      repo_url: `${at.hub.endpoint}/${PUSH_TARGET}`,
      created_repo: true,
      no_changes: false,
      uploaded_files_count: 4,
      local_files_count: 4,
      change_summary: { added: 4, modified: 0, deleted: 0 },
      experimental: false,
    });
    expect(at.hub.repositories.all.get(PUSH_TARGET)?.private).toBe(true);
    expect(first.commit_sha).toBe(at.hub.repositories.commitOf(PUSH_TARGET, 'main')?.sha);
    expect(first.commit_url).toBe(`${at.hub.endpoint}/${PUSH_TARGET}/commit/${first.commit_sha}`);
    await writeFile(join(at.folder, 'README.md'), '# new');
    await writeFile(join(at.folder, 'config.json'), '{"model_type":"llama","a":1}');
    await rm(join(at.folder, 'tokenizer.json'));
    const kept = await at.push({ message: 'second' });
    expect(kept).toMatchObject({
      created_repo: false,
      change_summary: { added: 1, modified: 1, deleted: 0 },
      remote_only_files: ['tokenizer.json'],
      uploaded_files_count: 2,
    });
    expect(at.hub.repositories.commitOf(PUSH_TARGET, 'main')?.summary).toBe('second');
    expect(await at.push({ delete: true })).toMatchObject({ change_summary: { added: 0, modified: 0, deleted: 1 }, uploaded_files_count: 0 });
    // The file that tells the hub which files are large stays.
    expect(Object.keys(at.remote()).sort()).toEqual(['.gitattributes', 'README.md', 'config.json', 'model.safetensors', 'tokenizer_config.json']);
  });

  it('[store K81] a push of what is there already makes no commit', async () => {
    await using at = await makePushStore();
    await at.push();
    const head = at.hub.repositories.commitOf(PUSH_TARGET, 'main')?.sha;
    at.hub.clearRequests();
    expect(await at.push()).toMatchObject({
      no_changes: true,
      commit_sha: null,
      commit_url: null,
      uploaded_files_count: 0,
      change_summary: { added: 0, modified: 0, deleted: 0 },
    });
    expect(writes(at.hub.requests)).toBe(0);
    expect(at.hub.repositories.commitOf(PUSH_TARGET, 'main')?.sha).toBe(head);
  });

  it('a pull of what was pushed gives the same bytes', async () => {
    const files = mlxModel({
      'model.safetensors': randomBytes(3 * MIB + 17),
      'README.md': '# ünï',
      'sub/extra.json': '{}',
      'tokenizer.model': Buffer.concat([Buffer.from([0]), randomBytes(700)]),
      'empty.txt': '',
    });
    await using at = await makePushStore({ files, behaviour: { multipartAtLeastBytes: 2 * MIB } });
    await at.push();
    const remote = at.remote();
    expect([remote['model.safetensors'], remote['tokenizer.model'], remote['README.md'], remote['empty.txt']].map((text) => text?.slice(0, 3))).toEqual([
      'lfs',
      'lfs',
      'git',
      'git',
    ]);
    const store = at.temp.with({ hub: { endpoint: at.hub.endpoint, token: PUSH_TOKEN, cdnHosts: ['127.0.0.1'] } });
    const pulled = await store.pull({ reference: PUSH_TARGET });
    const snapshot = join(at.temp.cacheDirectory, 'models--tester--model/snapshots', pulled.commit_hash!);
    for (const [path, content] of Object.entries(files)) expect((await readFile(join(snapshot, path))).equals(Buffer.from(content))).toBe(true);
  });

  it('[store K77] a public repository, one that is missing, and a token that may not write are refused before anything is sent', async () => {
    await using at = await makePushStore({ created: false, behaviour: { tokens: { [PUSH_TOKEN]: 'write', 'hf_reading-token': 'read' } } });
    expect(await codeOf(at.push())).toBe('repo_not_found');
    await at.hub.repositories.create(PUSH_TARGET, false);
    expect(await codeOf(at.push())).toBe('repo_not_private');
    expect(await codeOf(at.push({ create: true }))).toBe('repo_not_private');
    expect(await codeOf(at.push({ dryRun: true }))).toBe('repo_not_private');
    at.hub.repositories.all.get(PUSH_TARGET)!.private = true;
    expect(await codeOf(at.push({}, { hub: { pushToken: null } }))).toBe('auth_error');
    expect(await codeOf(at.push({}, { hub: { pushToken: 'hf_reading-token' } }))).toBe('auth_error');
    expect(await codeOf(at.push({}, { hub: { pushToken: 'hf_unknown-token' } }))).toBe('auth_error');
    expect(await codeOf(at.push({}, { hub: { offline: true } }))).toBe('offline');
    expect(writes(at.hub.requests)).toBe(0);
  });

  it('a repository that comes out public, or is opened while files are sent, gets no commit', async () => {
    await using at = await makePushStore({ created: false, behaviour: { createPublic: true } });
    expect(await codeOf(at.push({ create: true }))).toBe('repo_not_private');
    expect(at.hub.requests.filter(({ method }) => method !== 'GET').map(({ path }) => path)).toEqual(['/api/repos/create']);
    at.hub.repositories.all.get(PUSH_TARGET)!.private = true;
    const head = at.hub.repositories.commitOf(PUSH_TARGET, 'main')?.sha;
    at.hub.set({ openDuringUpload: PUSH_TARGET });
    expect(await codeOf(at.push())).toBe('repo_not_private');
    expect(at.hub.repositories.commitOf(PUSH_TARGET, 'main')?.sha).toBe(head);
  });

  it('[store K79] a dry run tells what the push then does, and sends nothing', async () => {
    await using at = await makePushStore({ created: false });
    const absent = await at.push({ dryRun: true, create: true });
    expect(absent).toMatchObject({
      dry_run: true,
      would_create_repo: true,
      would_create_branch: false,
      dry_run_summary: { added: 4, modified: 0, deleted: 0 },
      no_changes: false,
      commit_sha: null,
    });
    expect(writes(at.hub.requests)).toBe(0);
    await at.push({ create: true });
    await writeFile(join(at.folder, 'new.txt'), 'new');
    await writeFile(join(at.folder, 'config.json'), '{"model_type":"llama","b":2}');
    await rm(join(at.folder, 'tokenizer.json'));
    for (const parameters of [{ delete: true }, {}, { branch: 'other', delete: true }]) {
      at.hub.clearRequests();
      const told = await at.push({ ...parameters, dryRun: true });
      expect(writes(at.hub.requests)).toBe(0);
      expect(told).toMatchObject({
        would_create_repo: false,
        would_create_branch: 'branch' in parameters,
        added_files: ['new.txt'],
        modified_files: ['config.json'],
      });
      expect(told.deleted_files).toEqual(parameters.delete ? ['tokenizer.json'] : []);
      const head = at.hub.repositories.all.get(PUSH_TARGET)!.branches.get('main')!;
      const done = await at.push(parameters);
      expect(done.change_summary).toEqual(told.dry_run_summary);
      expect(done.remote_only_files).toEqual(told.remote_only_files);
      at.hub.repositories.all.get(PUSH_TARGET)!.branches.set('main', head);
    }
    await at.push();
    expect(await at.push({ dryRun: true })).toMatchObject({ no_changes: true, dry_run_summary: { added: 0, modified: 0, deleted: 0 } });
  });

  it('makes a branch that is missing, from where main is, and commits there', async () => {
    await using at = await makePushStore();
    expect(await at.push({ branch: 'feature/eight-bit' })).toMatchObject({ branch: 'feature/eight-bit', created_branch: true, created_repo: false });
    expect(Object.keys(at.remote('feature/eight-bit'))).toContain('model.safetensors');
    expect(Object.keys(at.remote())).toEqual(['.gitattributes']);
    expect(await codeOf(at.push({ branch: '../main' }))).toBe('invalid_name');
    expect(await codeOf(at.push({ repository: 'no-owner' }))).toBe('invalid_name');
  });

  it('a head that moved meanwhile is compared again once; then the push says that somebody else is at work', async () => {
    await using at = await makePushStore({ behaviour: { foreignCommits: 1 } });
    expect(await at.push()).toMatchObject({ no_changes: false, remote_only_files: ['NOTE.md'] });
    expect(Object.keys(at.remote())).toContain('NOTE.md');
    at.hub.set({ foreignCommits: 5 });
    await writeFile(join(at.folder, 'config.json'), '{"model_type":"llama","c":3}');
    expect(await codeOf(at.push())).toBe('push_conflict');
    expect(at.hub.repositories.commitOf(PUSH_TARGET, 'main')?.summary).toBe('somebody else');
  });

  it('a commit whose answer was lost counts once', async () => {
    await using at = await makePushStore({ behaviour: { loseCommitAnswers: 1 } });
    const data = await at.push();
    expect(data).toMatchObject({ no_changes: false, uploaded_files_count: 4, commit_sha: at.hub.repositories.commitOf(PUSH_TARGET, 'main')?.sha });
    expect(at.hub.requests.filter(({ path }) => path.includes('/commit/'))).toHaveLength(2);
  });

  it('a dropped connection costs its own part: parts and files that are there are not sent again', async () => {
    const files = mlxModel({ 'model.safetensors': randomBytes(5 * MIB), 'small.gguf': randomBytes(1000) });
    await using at = await makePushStore({ files, behaviour: { multipartAtLeastBytes: 2 * MIB, partBytes: MIB, cutPutAfterBytes: 300_000, cutPart: 3 } });
    await at.push();
    const puts = () =>
      at.hub.requests.filter(({ origin, method }) => origin === 'storage' && method === 'PUT').map(({ path }) => path.replace(/.*\/(\w+)\?.*/, '$1'));
    expect(puts().sort()).toEqual(['1', '2', '3', '3', '4', '5', 'whole', 'whole'].slice(0, puts().length).sort());
    expect(puts().filter((part) => part === '3')).toHaveLength(2);
    expect(puts().filter((part) => part === '1')).toHaveLength(1);
  });

  it('[security G65] the next push goes on where one ended, and begins again when the addresses have run out', async () => {
    const files = mlxModel({ 'model.safetensors': randomBytes(5 * MIB) });
    const parts = { multipartAtLeastBytes: 2 * MIB, partBytes: MIB };
    await using at = await makePushStore({ files, behaviour: { ...parts, cutPutAfterBytes: 0, cutPart: 5, cutTimes: 100 } });
    expect(await codeOf(at.push())).toBe('upload_failed');
    const records = join(at.temp.root, 'state/push');
    const names = await readdir(records);
    expect(names).toHaveLength(1);
    expect((await stat(join(records, names[0]!))).mode & 0o777).toBe(0o600);
    at.hub.set(parts);
    at.hub.clearRequests();
    await at.push();
    const puts = () => at.hub.requests.filter(({ method }) => method === 'PUT').map(({ path }) => path.replace(/.*\/(\w+)\?.*/, '$1'));
    expect(puts()).toEqual(['5']);
    expect(await readdir(records)).toEqual([]);
    await writeFile(join(at.folder, 'model.safetensors'), randomBytes(3 * MIB));
    at.hub.set({ ...parts, cutPutAfterBytes: 0, cutPart: 3, cutTimes: 100 });
    expect(await codeOf(at.push())).toBe('upload_failed');
    at.hub.set({ ...parts, expireUploads: true });
    at.hub.clearRequests();
    expect(await at.push()).toMatchObject({ no_changes: false });
    // One address of before is tried, then all parts go to new ones.
    expect(new Set(puts())).toEqual(new Set(['1', '2', '3']));
  });

  it('waits as long as the hub asks, and says so when that is too long', async () => {
    await using at = await makePushStore({ behaviour: { rateLimit: { times: 2, retryAfterS: 7 } } });
    expect(await at.push()).toMatchObject({ no_changes: false });
    expect(at.notices.filter((line) => line.includes('wait 7 s'))).toHaveLength(2);
    at.hub.set({ rateLimit: { times: 1, retryAfterS: 4000 } });
    expect(await codeOf(at.push({ dryRun: true }))).toBe('rate_limit_exceeded');
  });

  it('the token goes to the hub alone: not to the storage, not along a redirect, not into an error', async () => {
    await using elsewhere = await makePushStore();
    await using at = await makePushStore({ behaviour: { multipartAtLeastBytes: 1 } });
    await at.push();
    expect(at.hub.requests.filter(({ origin }) => origin === 'storage').every(({ authorization }) => authorization === null)).toBe(true);
    at.hub.set({ redirect: { path: `/api/models/${PUSH_TARGET}/revision`, to: `${elsewhere.hub.endpoint}/api/models/x` } });
    expect(await codeOf(at.push())).toBe('upload_failed');
    expect(elsewhere.hub.requests).toEqual([]);
    at.hub.set({ echoToken: true, tokens: { [PUSH_TOKEN]: 'write', hf_abcdefghijklmnopqrstuvwxyz0123456789: 'read' } });
    const error = await at
      .push({ create: true, repository: 'tester/other' }, { hub: { pushToken: 'hf_abcdefghijklmnopqrstuvwxyz0123456789' } })
      .catch((thrown: unknown) => thrown);
    expect(isHearthError(error) && error.code).toBe('auth_error');
    expect(JSON.stringify([String(error), isHearthError(error) ? error.details : null])).not.toContain('abcdefghijklmnop');
  });

  it('follows the hub where a repository was renamed, and refuses plain http elsewhere', async () => {
    await using at = await makePushStore();
    at.hub.set({ redirect: { path: '/api/models/tester/old-name', to: `/api/models/${PUSH_TARGET}` } });
    expect(await at.push({ repository: 'tester/old-name', dryRun: true })).toMatchObject({ dry_run: true });
    expect(await codeOf(at.push({}, { hub: { endpoint: 'http://hub.example.org' } }))).toBe('upload_failed');
  });

  it('a storage that keeps other bytes, and a file that changes meanwhile, end without a commit', async () => {
    const files = mlxModel({ 'model.safetensors': randomBytes(MIB) });
    await using at = await makePushStore({ files, behaviour: { corruptStorage: true } });
    const head = at.hub.repositories.commitOf(PUSH_TARGET, 'main')?.sha;
    expect(await codeOf(at.push())).toMatch(/upload_failed|repo_not_found/);
    at.hub.set({});
    // Between the reading and the sending of a file.
    const onNotice = (line: string) => {
      if (line.startsWith('Sends')) writeFileSync(join(at.folder, 'config.json'), '{"model_type":"llama","token":"x"}');
    };
    expect(await codeOf(at.push({ onNotice }))).toBe('push_refused');
    expect(at.hub.repositories.commitOf(PUSH_TARGET, 'main')?.sha).toBe(head);
  });

  it('[security G65] only listed targets are open to other programs, and to nobody else where there is a list', async () => {
    await using at = await makePushStore();
    const http = { listedTargetsOnly: true, nameOnly: true, directory: 'mine' };
    await writeFiles(join(at.temp.workspaceHome, 'mine'), mlxModel());
    expect(await codeOf(at.push(http))).toBe('push_refused');
    expect(await codeOf(at.push(http, { pushTargets: ['other/*'] }))).toBe('push_refused');
    expect(await codeOf(at.push({}, { pushTargets: ['other/*'] }))).toBe('push_refused');
    expect(await codeOf(at.push({ ...http, directory: at.folder }, { pushTargets: ['tester/*'] }))).toBe('workspace_not_found');
    expect(at.hub.requests).toEqual([]);
    expect(await at.push(http, { pushTargets: ['tester/*'] })).toMatchObject({ no_changes: false });
  });
});
