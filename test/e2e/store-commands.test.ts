import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMAND_DATA, envelopeSchema } from '../../src/contract/index.ts';
import { startFakeHub } from '../support/fake-hub.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { type CliRun, runInProcess } from '../support/run-cli.ts';
import { installTinyModel, TINY_COMMIT, TINY_MODEL, writeTinyModel } from '../support/tiny-model.ts';

async function withHub(home: TestHome) {
  const folder = join(home.directory, 'hub');
  await writeTinyModel(join(folder, 'org', 'tiny', 'main'));
  await writeTinyModel(join(folder, 'org', 'closed', 'main'));
  const hub = await startFakeHub(folder, { gated: ['org/closed'] });
  return { hub, env: { HF_ENDPOINT: hub.endpoint, HEARTH_HUB_CDN_HOSTS: hub.cdnHost } };
}

/** Checks the envelope and, on success, the command's own data. */
function checked(run: CliRun): ReturnType<typeof envelopeSchema.parse> {
  const document = envelopeSchema.parse(JSON.parse(run.stdout));
  expect(document.status).toBe(run.code === 0 || document.error === null ? 'success' : 'error');
  if (document.status === 'success') COMMAND_DATA[document.command as keyof typeof COMMAND_DATA].parse(document.data);
  else expect(document.error).toMatchObject({ type: expect.any(String), message: expect.any(String), code: expect.any(String) });
  return document;
}

describe('store commands', () => {
  it('[store K5] the documents of version, list, show, health, pull and rm validate, on success and on error', async () => {
    await using home = await createTestHome();
    const { hub, env } = await withHub(home);
    await using _hub = hub;
    const run = async (...args: string[]) => checked(await runInProcess([...args, '--json'], { directory: home.directory, env }));
    expect(await run('list')).toMatchObject({ status: 'success', data: { models: [], count: 0 } });
    expect(await run('pull', 'org/tiny')).toMatchObject({ status: 'success', data: { download_status: 'success', model: 'org/tiny', source: 'hub' } });
    expect(await run('pull', 'org/tiny')).toMatchObject({ data: { download_status: 'already_exists' } });
    expect(await run('pull', 'org/closed')).toMatchObject({
      status: 'error',
      command: 'pull',
      data: { download_status: 'access_denied' },
      error: { code: 'access_denied' },
    });
    expect(await run('list', 'TINY')).toMatchObject({ data: { count: 1 } });
    expect(await run('show', 'org/tiny', '--files', '--config')).toMatchObject({ data: { model: { name: 'org/tiny' }, config: { model_type: 'llama' } } });
    expect(await run('show', 'nothing')).toMatchObject({ status: 'error', command: 'show', error: { type: 'model_not_found' } });
    expect(await run('health', 'org/tiny')).toMatchObject({ data: { summary: { total: 1, healthy_count: 1 } } });
    expect(await run('health')).toMatchObject({ data: { summary: { total: 1 } } });
    expect(await run('rm', 'tiny')).toMatchObject({ status: 'error', command: 'rm', error: { code: 'requires_confirmation' } });
    expect(await run('rm', 'org/tiny')).toMatchObject({ status: 'success', data: { action: 'deleted' } });
    expect(await run('rm', 'org/tiny')).toMatchObject({ status: 'error', command: 'rm' });
    expect(await run('version')).toMatchObject({ command: 'version' });
    expect(await run('run', 'org/tiny', 'hello')).toMatchObject({ status: 'error', command: 'run', error: { code: 'model_not_found' } });
  });

  it('[store K6] stdout is exactly one JSON document, and progress goes to stderr', async () => {
    await using home = await createTestHome();
    const { hub, env } = await withHub(home);
    await using _hub = hub;
    const { code, stdout, stderr } = await home.run(['pull', 'org/tiny', '--json'], { env });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'success', command: 'pull' });
    expect(stdout).toMatch(/^\{\n {2}"status"/);
    expect(stderr).toContain('org/tiny: ');
    expect(stderr).toContain('100 %');
    await rm(home.hfHome, { recursive: true });
    expect((await home.run(['pull', 'org/tiny', '--json', '--quiet'], { env })).stderr).toBe('');
  });

  it('[store K8] each class of errors has its exit code, the same for people and as JSON', async () => {
    await using home = await createTestHome();
    const { hub, env } = await withHub(home);
    await using _hub = hub;
    await installTinyModel(home.hfHome);
    await installTinyModel(home.hfHome, 'hearth-test/tiny-qwen');
    await rm(join(home.hfHome, 'hub/models--hearth-test--tiny-qwen/snapshots', TINY_COMMIT, 'model.safetensors'));
    const closed = { HF_ENDPOINT: 'http://127.0.0.1:2' };
    const cases: readonly (readonly [args: readonly string[], code: number, name: string | null, env?: Readonly<Record<string, string>>])[] = [
      [['list'], 0, null],
      [['show', 'nothing'], 1, 'model_not_found'],
      [['show', 'tiny'], 1, 'ambiguous_match'],
      [['show', `${TINY_MODEL}@ffff`], 1, 'hash_not_found'],
      [['show', 'a//b'], 1, 'invalid_name'],
      [['show', ''], 1, 'invalid_name'],
      [['health', ''], 1, 'invalid_name'],
      [['rm', 'tiny-llama'], 1, 'requires_confirmation'],
      [['pull', 'org/closed'], 1, 'access_denied'],
      [['show'], 2, 'usage'],
      [['show', TINY_MODEL, '--wrong'], 2, 'usage'],
      [['pull', 'org/tiny'], 2, 'hub_unreachable', closed],
      [['pull', 'org/tiny'], 2, 'offline', { ...closed, HF_HUB_OFFLINE: '1' }],
      [['health', '--strict'], 4, null],
      [['health'], 0, null],
    ];
    for (const [args, code, name, over] of cases) {
      const facts = { directory: home.directory, env: { ...env, ...over } };
      const human = await runInProcess(args, facts);
      const json = await runInProcess([...args, '--json'], facts);
      expect([args, human.code, json.code]).toEqual([args, code, code]);
      const document = JSON.parse(json.stdout) as { error: { code: string } | null };
      expect([args, document.error?.code ?? null]).toEqual([args, name]);
      expect([args, human.stdout === '']).toEqual([args, name !== null]);
    }
  });

  it('[store K8] a file system that refuses exits 3', async () => {
    await using home = await createTestHome();
    const { hub, env } = await withHub(home);
    await using _hub = hub;
    await mkdir(home.hfHome, { recursive: true });
    await writeFile(join(home.hfHome, 'hub'), 'a file where the cache should be');
    for (const json of [[], ['--json']]) expect((await runInProcess(['pull', 'org/tiny', ...json], { directory: home.directory, env })).code).toBe(3);
  });
});
