import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { socketFetch } from '../../src/app/index.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { installTinyModel, TINY_MODEL, writeTinyModel } from '../support/tiny-model.ts';

const PASSPHRASE = 'Turnip-Lantern-4711-Orchid';
const linux = process.platform === 'linux';

/** All that could tell of a key: what two lines of it say, and its number in hex. */
function tracesOf(pem: string): string[] {
  const key = createPrivateKey({ key: pem, format: 'pem', passphrase: PASSPHRASE });
  const plain = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const { d } = key.export({ format: 'jwk' });
  const lines = [...plain.split('\n'), ...pem.split('\n')].filter((line) => line.length > 30 && !line.startsWith('-'));
  // The first line of the plain form holds the curve alone.
  return [...lines.slice(1), d!, Buffer.from(d!, 'base64url').toString('hex')];
}

const filesBelow = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

const coreLimit = (pid: number | 'self'): string =>
  /^Max core file size\s+(\S+)\s+(\S+)/m
    .exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))!
    .slice(1)
    .join(' ');

async function keyCommands(home: TestHome, said: string[]): Promise<string[]> {
  const env = { KEY_SECRET: PASSPHRASE };
  const run = async (...args: string[]) => {
    const result = await home.run(args, { env });
    said.push(result.stdout, result.stderr);
    return result;
  };
  const idOf = (text: string) => (JSON.parse(text) as { data: { key: { id: string } } }).data.key.id;
  const made = idOf((await run('keys', 'new', '--passphrase-env', 'KEY_SECRET', '--json')).stdout);
  const given = join(home.directory, 'given.pem');
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  writeFileSync(given, privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSPHRASE }), { mode: 0o600 });
  const imported = idOf((await run('keys', 'import', given, '--passphrase-env', 'KEY_SECRET', '--json')).stdout);
  expect(await run('sign', './signed', '--key', made, '--passphrase-env', 'KEY_SECRET')).toMatchObject({ code: 0 });
  expect(await run('sign', './signed', '--key', given, '--passphrase-env', 'KEY_SECRET')).toMatchObject({ code: 0 });
  expect(await run('keys', 'rotate', made, '--passphrase-env', 'KEY_SECRET')).toMatchObject({ code: 0 });
  // Its successor is not kept in the clear.
  expect(await run('keys', 'rotate', imported)).toMatchObject({ code: 1, stderr: expect.stringContaining('--passphrase-env') });
  for (const args of [
    ['list', '--json'],
    ['export', made],
    ['retire', imported],
    ['revoke', made, '--reason', 'lost'],
  ])
    expect(await run('keys', ...args)).toMatchObject({ code: 0 });
  // A wrong one is told without saying which.
  const wrong = await home.run(['sign', './signed', '--key', given, '--passphrase-env', 'KEY_SECRET'], { env: { KEY_SECRET: `${PASSPHRASE}x` } });
  said.push(wrong.stdout, wrong.stderr);
  expect(wrong.code).not.toBe(0);
  // There is no way to say one on the command line, which all users of a machine see.
  for (const args of [
    ['keys', 'new'],
    ['keys', 'import', given],
    ['keys', 'rotate', made],
    ['sign', './signed', '--key', made],
  ])
    expect(await home.run([...args, '--passphrase', 'x'])).toMatchObject({ code: 2 });
  return [made, imported];
}

test('[security G13] a private key and its passphrase are in no argument, child environment, log or core; key files are 0600, one that others may read is refused', {
  timeout: 240_000,
}, async () => {
  await using home = await createTestHome();
  await installTinyModel(home.hfHome);
  await writeTinyModel(join(home.directory, 'signed'));
  const said: string[] = [];
  // Commands by themselves, then by a daemon that has the passphrase in its own environment too.
  await keyCommands(home, said);
  const daemon = home.start(['serve', '--json', '--port', '0'], { env: { KEY_SECRET: PASSPHRASE, HEARTH_LOGS_LEVEL: 'debug' } });
  await daemon.waitFor('stdout', /\n\}\n/);
  const own = socketFetch(join(home.home, 'run/hearthd.sock'));
  const ask = async (method: string, path: string, body?: object) =>
    await (
      await own(
        new Request(`http://localhost${path}`, { method, headers: { 'content-type': 'application/json' }, ...(body ? { body: JSON.stringify(body) } : {}) }),
      )
    ).json();
  await keyCommands(home, said);
  await ask('POST', '/admin/v1/models/load', { model: TINY_MODEL });
  const { models } = (await ask('GET', '/admin/v1/models')) as { models: { pid: number }[] };
  expect(models[0]!.pid).toBeGreaterThan(1);

  const keyFiles = filesBelow(join(home.home, 'keys'));
  expect(keyFiles).toHaveLength(6);
  for (const path of keyFiles) expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(home.home, 'keys')).mode & 0o777).toBe(0o700);
  for (const path of keyFiles) expect(readFileSync(path, 'utf8')).toContain('ENCRYPTED');
  const traces = [PASSPHRASE, ...keyFiles.flatMap((path) => tracesOf(readFileSync(path, 'utf8')))];

  if (linux) {
    const engine = models[0]!.pid;
    const shown = [`/proc/${engine}/environ`, `/proc/${engine}/cmdline`, `/proc/${daemon.child.pid}/cmdline`].map((path) => readFileSync(path, 'latin1'));
    for (const trace of traces) for (const text of shown) expect(text.includes(trace)).toBe(false);
    if (existsSync('/usr/bin/prlimit')) expect([coreLimit(engine), coreLimit(daemon.child.pid!)]).toEqual(['0 0', '0 0']);
  }
  daemon.child.kill('SIGTERM');
  const { stdout, stderr } = await daemon.ended;
  const kept = filesBelow(home.home).filter((path) => !keyFiles.includes(path));
  expect(kept.some((path) => path.includes('/audit/'))).toBe(true);
  const texts = [...said, stdout, stderr, ...kept.map((path) => readFileSync(path, 'latin1')), readFileSync(join(home.directory, 'signed/model.sig'), 'utf8')];
  expect(texts.filter((text) => traces.some((trace) => text.includes(trace)))).toEqual([]);

  const open = join(home.directory, 'open.pem');
  writeFileSync(open, readFileSync(keyFiles[0]!));
  for (const mode of [0o644, 0o640]) {
    chmodSync(open, mode);
    for (const args of [
      ['keys', 'import', open],
      ['sign', './signed', '--key', open],
    ])
      expect(await home.run(args)).toMatchObject({ code: 1, stderr: expect.stringContaining('chmod 600') });
  }
});
