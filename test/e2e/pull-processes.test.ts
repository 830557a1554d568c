import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { envelopeSchema, listDataSchema } from '../../src/contract/index.ts';
import { findProgram } from '../../src/supervisor/index.ts';
import { type FakeHubBehaviour, startFakeHub } from '../support/fake-hub.ts';
import { createTestHome, type RunResult } from '../support/hearth-process.ts';
import { mlxModel, randomSafetensors, writeFiles } from '../support/temp-store.ts';

/** Several real processes over one cache: pulls that are stopped, that wait for each other, and that lose their model. */

const WEIGHTS = randomSafetensors(600_000);
const DIGEST = createHash('sha256').update(WEIGHTS).digest('hex');
/** Half a minute or more: what has to happen meanwhile does, however busy the machine is; then the hub is set to be quick again. */
const SLOW: FakeHubBehaviour = { slowMs: { 'model.safetensors': 1_000 } };

async function withHub(behaviour: FakeHubBehaviour = {}) {
  const home = await createTestHome();
  await writeFiles(join(home.directory, 'repositories/org/m/main'), mlxModel({ 'model.safetensors': WEIGHTS }));
  const hub = await startFakeHub(join(home.directory, 'repositories'), behaviour);
  const env = { HF_ENDPOINT: hub.endpoint, HEARTH_HUB_CDN_HOSTS: hub.cdnHost };
  const directory = join(home.hfHome, 'hub/models--org--m');
  return {
    home,
    hub,
    env,
    directory,
    locks: join(home.hfHome, 'hub/.locks/models--org--m'),
    run: (...args: string[]) => home.run(args, { env }),
    start: (...args: string[]) => home.start(args, { env, stdin: '' }),
    cdn: () => hub.requests.filter(({ origin }) => origin === 'cdn'),
    weights: async () => readFile(join(directory, 'snapshots', hub.commit('org/m'), 'model.safetensors')),
    async [Symbol.asyncDispose]() {
      await hub[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
}

const names = async (path: string): Promise<string[]> => (await readdir(path).catch(() => [])).toSorted();
const documentOf = ({ stdout }: RunResult) => envelopeSchema.parse(JSON.parse(stdout));

/** Waits until some of the weights are on the disk. */
async function someBytes(directory: string): Promise<void> {
  for (;;) {
    const info = await stat(join(directory, 'blobs', `${DIGEST}.hearth.incomplete`)).catch(() => null);
    if (info !== null && info.size > 30_000) return;
    await new Promise((next) => setTimeout(next, 20));
  }
}

it('[store K50] Ctrl-C keeps what was fetched and leaves no lock; the same command with --force-resume goes on by Range without a terminal', async () => {
  await using at = await withHub(SLOW);
  const pull = at.start('pull', 'org/m');
  await someBytes(at.directory);
  pull.child.kill('SIGINT');
  const stopped = await pull.ended;
  expect(stopped).toMatchObject({ code: 130, stdout: '', stderr: expect.stringContaining('what was fetched is kept') });
  expect(await names(at.locks)).toEqual([]);
  expect(await names(join(at.home.home, 'state/locks'))).toEqual([]);
  const held = (await stat(join(at.directory, 'blobs', `${DIGEST}.hearth.incomplete`))).size;
  const asked = await at.run('pull', 'org/m', '--json');
  expect(asked.code).toBe(1);
  expect(documentOf(asked)).toMatchObject({ status: 'error', data: { download_status: 'requires_confirmation' }, error: { type: 'requires_confirmation' } });
  at.hub.set({});
  at.hub.clearRequests();
  const resumed = await at.run('pull', 'org/m', '--force-resume', '--json');
  expect(documentOf(resumed)).toMatchObject({ status: 'success', data: { download_status: 'success', model: 'org/m' } });
  expect(at.cdn()).toMatchObject([{ range: `bytes=${held}-` }]);
  expect(Buffer.compare(await at.weights(), WEIGHTS)).toBe(0);
});

it('of two pulls at once one waits and finds the model whole; a list in between never fails', async () => {
  await using at = await withHub(SLOW);
  const first = at.start('pull', 'org/m');
  await someBytes(at.directory);
  const second = at.start('pull', 'org/m', '--json', '--force-resume');
  const listed = await at.run('list', '--all', '--json');
  expect(listDataSchema.parse(documentOf(listed).data).models).toMatchObject([{ name: 'org/m', health: 'unhealthy' }]);
  expect((await at.run('list')).code).toBe(0);
  await second.waitFor('stderr', `Process ${first.child.pid} is fetching`);
  at.hub.set({});
  const outcomes = await Promise.all([first.ended, second.ended]);
  expect(outcomes.map(({ code }) => code)).toEqual([0, 0]);
  expect(documentOf(outcomes[1])).toMatchObject({ data: { download_status: 'already_exists' } });
  expect(at.cdn()).toHaveLength(1);
  expect(Buffer.compare(await at.weights(), WEIGHTS)).toBe(0);
});

it('[store K56] rm during a pull is refused and names the process; with --force the pull says that its model is gone and leaves no half model', async () => {
  await using at = await withHub(SLOW);
  const pull = at.start('pull', 'org/m');
  await someBytes(at.directory);
  const refused = await at.run('rm', 'org/m', '--json');
  expect(refused.code).toBe(1);
  expect(documentOf(refused)).toMatchObject({
    data: { locks_detected: true },
    error: { type: 'locks_present', message: expect.stringContaining(String(pull.child.pid)) },
  });
  expect((await at.run('rm', 'org/m', '--force')).code).toBe(0);
  at.hub.set({});
  const lost = await pull.ended;
  expect(lost).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('was deleted by another program') });
  expect(await names(join(at.directory, 'snapshots'))).toEqual([]);
  expect(await names(join(at.directory, 'refs'))).toEqual([]);
  expect((await at.run('pull', 'org/m', '--force-resume')).code).toBe(0);
  expect((await at.run('health', 'org/m', '--strict')).code).toBe(0);
});

const flock = spawnSync('flock', ['--version']).status === 0 ? null : 'the program flock is not here';

it.skipIf(flock !== null)(
  `a blob that another tool holds the lock of is waited for, and not fetched again when it is there then${flock === null ? '' : ` (skipped: ${flock})`}`,
  async () => {
    await using at = await withHub();
    await mkdir(at.locks, { recursive: true });
    const lock = join(at.locks, `${DIGEST}.lock`);
    const other = spawn('flock', ['-x', lock, 'sh', '-c', 'echo held; read line'], { stdio: ['pipe', 'pipe', 'inherit'] });
    await new Promise((held) => other.stdout.once('data', held));
    const pull = at.start('pull', 'org/m');
    await pull.waitFor('stderr', 'Another program is fetching model.safetensors');
    expect(at.cdn()).toEqual([]);
    // What the other tool does before it gives the lock back.
    await writeFile(join(at.directory, 'blobs', DIGEST), WEIGHTS);
    other.stdin.end('\n');
    expect((await pull.ended).code).toBe(0);
    expect(at.cdn()).toEqual([]);
    expect(Buffer.compare(await at.weights(), WEIGHTS)).toBe(0);
    expect(spawnSync('flock', ['-n', lock, 'true']).status).toBe(0);
  },
);

it.skipIf(flock !== null)(`other tools find our lock held while a blob is written${flock === null ? '' : ` (skipped: ${flock})`}`, async () => {
  await using at = await withHub(SLOW);
  const pull = at.start('pull', 'org/m');
  await someBytes(at.directory);
  const lock = join(at.locks, `${DIGEST}.lock`);
  expect(spawnSync('flock', ['-n', lock, 'true']).status).toBe(1);
  pull.child.kill('SIGKILL');
  await pull.ended;
  expect(spawnSync('flock', ['-n', lock, 'true']).status).toBe(0);
  // Locks that a process of ours left when it was killed do not stand in the way: that of this blob, and of others that it was just fetching.
  const { data } = documentOf(await at.run('rm', 'org/m', '--json'));
  expect(data).toMatchObject({ action: 'deleted', locks_detected: false });
  expect(data?.['lock_files_cleaned']).toBeGreaterThan(0);
});

const namespaces = spawnSync('unshare', ['-rm', 'true']).status === 0 ? null : 'this system lets nobody mount a small file system';

it.skipIf(namespaces !== null)(
  `[store K53] too small a disk is refused before the first byte; one that becomes full, or read-only, exits 3 and loses nothing${namespaces === null ? '' : ` (skipped: ${namespaces})`}`,
  async () => {
    await using at = await withHub(SLOW);
    const cache = join(at.home.hfHome, 'hub');
    await mkdir(cache, { recursive: true });
    const hearth = `"${process.execPath}" "${join(import.meta.dirname, '../../bin/hearth.js')}"`;
    const script = `
      mount -t tmpfs -o size=500k tmpfs "${cache}" || exit 77
      ${hearth} pull org/m; echo "small $? $(ls -A "${cache}" | wc -l)"
      mount -o remount,size=2m "${cache}"
      (for i in $(seq 2400); do [ -s "$(echo "${cache}"/*/blobs/*.incomplete)" ] && break; sleep 0.05; done; head -c 4M /dev/zero >"${cache}/filler" 2>/dev/null) &
      ${hearth} pull org/m; echo "full $?"; wait; rm "${cache}/filler"
      ${hearth} pull org/m --force-resume; echo "resumed $?"
      mount -o remount,ro "${cache}"
      ${hearth} pull org/m --force; echo "read-only $?"
      ${hearth} rm org/m; echo "rm $?"
      ${hearth} health org/m --strict; echo "health $?"
    `;
    const child = spawn('unshare', ['-rm', 'sh', '-c', script], {
      env: { PATH: process.env['PATH']!, HOME: at.home.directory, HEARTH_HOME: at.home.home, HF_HOME: at.home.hfHome, ...at.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (piece: Buffer) => {
        said += String(piece);
        if (said.includes('full ')) at.hub.set({});
      });
    await new Promise((done) => child.on('close', done));
    for (const line of ['small 3 0', 'full 3', 'resumed 0', 'read-only 3', 'rm 3', 'health 0']) expect(said).toContain(`${line}\n`);
    for (const message of ['must be free at', 'The disk is full', 'What was fetched is kept', 'The file system is read-only']) expect(said).toContain(message);
    expect(at.cdn().at(1)?.range).toMatch(/^bytes=\d+-$/);
  },
);

const bwrap = findProgram('bwrap');
const mounts = bwrap !== null && spawnSync(bwrap, ['--unshare-user', '--dev-bind', '/', '/', '--tmpfs', '/mnt', '/bin/true']).status === 0;

it.skipIf(!mounts)(
  '[security G58] a disk that fills up in the middle of a pull: a clear error, nothing that passes for a model, and the same command goes on when there is room (needs bubblewrap for a file system of its own)',
  async () => {
    await using at = await withHub(SLOW);
    const blob = join(at.directory, 'blobs', `${DIGEST}.hearth.incomplete`);
    const room = ['--unshare-user', '--dev-bind', '/', '/', '--size', String(4 * 1024 * 1024), '--tmpfs', at.home.hfHome];
    // While the first bytes come somebody else takes all that is left; afterwards there is room again.
    const script = `
      "$NODE" "$HEARTH" pull org/m & pull=$!
      until [ "$(stat -c %s "$BLOB" 2>/dev/null || echo 0)" -gt 30000 ]; do sleep 0.02; done
      cat /dev/zero > "$HF_HOME/fill" 2>/dev/null
      wait $pull; echo "first $?"
      "$NODE" "$HEARTH" list --json
      rm "$HF_HOME/fill"; "$NODE" "$HEARTH" pull org/m --force-resume; echo "second $?"
      "$NODE" "$HEARTH" health org/m; echo "health $?"`;
    await mkdir(at.home.hfHome, { recursive: true });
    const child = spawn(bwrap!, [...room, '/bin/sh', '-c', script], {
      cwd: at.home.directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        HOME: at.home.directory,
        HEARTH_HOME: at.home.home,
        HF_HOME: at.home.hfHome,
        ...at.env,
        NODE: process.execPath,
        HEARTH: join(import.meta.dirname, '../../bin/hearth.js'),
        BLOB: blob,
      },
    });
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const)
      child[stream].on('data', (text) => {
        said[stream] += String(text);
        if (said.stdout.includes('first ')) at.hub.set({});
      });
    await new Promise((ended) => child.on('close', ended));
    expect(said.stdout, said.stderr).toContain('first 3');
    expect(said.stderr).toContain('The disk is full');
    expect(said.stderr).toContain('What was fetched is kept');
    expect(said.stdout).toContain('"health": "unhealthy"');
    expect(said.stdout).toContain('second 0');
    expect(at.cdn().some(({ range }) => range !== null)).toBe(true);
    expect(said.stdout).toContain('health 0');
  },
);
