import { createHash } from 'node:crypto';
import { appendFileSync, chmodSync, chownSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';
import { installTinyModel, TINY_COMMIT, TINY_MODEL, writeTinyModel } from '../support/tiny-model.ts';

let home: TestHome;
beforeAll(async () => {
  home = await createTestHome();
  await installTinyModel(home.hfHome);
});
afterAll(async () => await home[Symbol.asyncDispose]());

const env = () => ({ HEARTH_HOME: home.home, HF_HOME: home.hfHome });
const run = (...args: string[]) => runInProcess(args, { directory: home.directory, env: env() });
const data = async (...args: string[]): Promise<Record<string, unknown>> => {
  const result = await run(...args, '--json');
  return (JSON.parse(result.stdout) as { data: Record<string, unknown> }).data;
};
const ask = () => run('run', TINY_MODEL, 'hi', '--max-tokens', '2');

describe('trust at the command line', () => {
  beforeEach(() => rmSync(join(home.home, 'trust'), { recursive: true, force: true }));

  it('a new home needs no set-up: the model runs, its content is known from then on, and its change is told with the way out', async () => {
    const listed = await run('trust', 'list');
    expect(listed.stdout).toContain('Mode: enforce');
    expect(listed.stdout).toContain('built in');
    expect(() => statSync(join(home.home, 'trust'))).toThrow();
    expect((await ask()).code).toBe(0);
    const explained = await data('trust', 'explain', TINY_MODEL);
    expect(explained).toMatchObject({
      model: TINY_MODEL,
      source: 'hub',
      require: 'pinned-hash',
      decision: 'accepted',
      rule: null,
      firstUse: false,
      revision: TINY_COMMIT,
    });
    const config = join(home.hfHome, 'hub', `models--${TINY_MODEL.replace('/', '--')}`, 'snapshots', TINY_COMMIT, 'config.json');
    const before = readFileSync(config, 'utf8');
    writeFileSync(config, before.replace('{', '{ '));
    const refused = await ask();
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`hearth trust accept ${TINY_MODEL}`);
    expect((await run('trust', 'explain', TINY_MODEL)).stdout).toMatch(/refused \(file_changed\)[\s\S]*config\.json/);
    const accepted = await run('trust', 'accept', TINY_MODEL);
    expect([accepted.code, accepted.stdout]).toEqual([0, expect.stringContaining('Accepted')]);
    expect((await ask()).code).toBe(0);
    writeFileSync(config, before);
    expect((await run('trust', 'accept', TINY_MODEL)).code).toBe(0);
  });

  it('show, verify and explain say in words what is known of a model without a signature, with a good one and with one that does not hold', async () => {
    const text = async (...args: string[]) => (await run(...args)).stdout;
    expect(await text('show', TINY_MODEL)).not.toContain('Trust:');
    expect((await ask()).code).toBe(0);
    const { rootDigest, templates } = (await data('trust', 'explain', TINY_MODEL)) as { rootDigest: string; templates: { file: string; sha256: string }[] };
    const source = JSON.parse(
      readFileSync(join(home.hfHome, 'hub', 'models--hearth-test--tiny-llama/snapshots', TINY_COMMIT, 'tokenizer_config.json'), 'utf8'),
    );
    const sha256 = createHash('sha256').update(source.chat_template).digest('hex');
    expect(templates).toEqual([{ file: 'tokenizer_config.json', sha256 }]);
    const shown = await text('show', TINY_MODEL);
    expect(shown).toMatch(/Trust: +loads/);
    expect(shown).toMatch(new RegExp(`Root digest: +${rootDigest}`));
    expect(shown).toMatch(new RegExp(`Template: +${sha256.slice(0, 16)} \\(tokenizer_config\\.json\\)`));
    const unsigned = await run('verify', TINY_MODEL);
    expect([unsigned.code, unsigned.stdout]).toEqual([1, expect.stringMatching(/no signature[\s\S]*hearth trust explain hearth-test\/tiny-llama/)]);

    await writeTinyModel(join(home.directory, 'told'));
    const { key } = (await data('keys', 'new')) as { key: { id: string } };
    expect((await run('sign', './told', '--key', key.id)).code).toBe(0);
    expect(await run('verify', './told')).toMatchObject({ code: 0, stdout: expect.stringContaining(`Signed by: key ${key.id}`) });
    expect(await text('trust', 'explain', './told')).toMatch(new RegExp(`Verdict +loads[\\s\\S]*Signed by +${key.id}`));
    appendFileSync(join(home.directory, 'told/config.json'), ' ');
    const harmed = await run('verify', './told');
    expect([harmed.code, harmed.stdout]).toEqual([1, expect.stringMatching(/config\.json is not as it was signed[\s\S]*hearth sign \.\/told --key ID/)]);
    const explained = await text('trust', 'explain', './told');
    expect(explained).toMatch(/refused \(file_changed\)[\s\S]*config\.json[\s\S]*hearth sign \S*told --key ID/);
    // Accepting would not help where a signature speaks against the files.
    expect(explained).not.toContain('trust accept');
    expect((await run('trust', 'accept', './told')).code).toBe(1);
  });

  it('rules are added before the others, decide, are shown, and go again', async () => {
    expect((await run('trust', 'add', 'hearth-test/*', '--require', 'signature')).stdout).toMatch(/1 +\| hub +\| hearth-test\/\* +\| a valid signature/);
    const refused = await ask();
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('no')]);
    expect(await data('trust', 'explain', TINY_MODEL)).toMatchObject({ rule: 1, require: 'signature', decision: 'refused', reason: 'sig_missing' });
    expect((await run('trust', 'remove', '1')).stdout).not.toContain('hearth-test');
    expect((await ask()).code).toBe(0);
    expect((await run('trust', 'remove', '1')).code).toBe(1);
    expect((await run('trust', 'add', 'x', '--require', 'nothing')).code).toBe(2);
  });

  it('a model that was signed with a key of the home loads where signatures are asked for', async () => {
    const workspace = join(home.directory, 'signed');
    await writeTinyModel(workspace);
    const { key } = (await data('keys', 'new', '--name', 'mine')) as { key: { id: string } };
    expect((await run('trust', 'add', `${home.directory}/*`, '--require', 'signature')).code).toBe(0);
    const before = await run('run', './signed', 'hi', '--max-tokens', '2');
    expect([before.code, before.stderr]).toEqual([1, expect.stringMatching(/^run: Error: signed is not loaded: [\s\S]*`hearth sign \.\/signed --key ID`/)]);
    const signed = await run('sign', './signed', '--key', key.id.slice(0, 12));
    expect([signed.code, signed.stderr]).toEqual([0, expect.anything()]);
    expect((await run('run', './signed', 'hi', '--max-tokens', '2')).code).toBe(0);
    expect(await data('trust', 'explain', './signed')).toMatchObject({ signer: key.id, decision: 'accepted' });
    expect((await run('keys', 'revoke', key.id.slice(0, 8), '--reason', 'lost')).code).toBe(0);
    const after = await run('run', './signed', 'hi', '--max-tokens', '2');
    expect([after.code, after.stderr]).toEqual([1, expect.stringContaining('revoked')]);
  });

  it('a mode that only warns is told by the status of the daemon', async () => {
    expect((await run('trust', 'mode', 'warn')).code).toBe(0);
    const server = home.start(['serve', '--json', '--port', '0']);
    await server.waitFor('stdout', /\n\}\n/);
    expect((await home.run(['status'])).stdout).toContain('trust mode warn');
    server.child.kill('SIGTERM');
    await server.ended;
  });
});

describe('keys at the command line', () => {
  it('private halves are for their user alone, are never shown, and a key that others may read is refused', async () => {
    const { key } = (await data('keys', 'new', '--curve', 'P-384', '--model', 'org/*')) as { key: { id: string } };
    const file = join(home.home, 'keys', `${key.id}.pem`);
    expect([statSync(file).mode & 0o777, statSync(join(home.home, 'keys')).mode & 0o777]).toEqual([0o600, 0o700]);
    const secret = readFileSync(file, 'utf8').split('\n')[1]!;
    const shown = await Promise.all([run('keys', 'list'), run('keys', 'list', '--json'), run('keys', 'export', key.id), run('trust', 'list', '--json')]);
    for (const { stdout, stderr } of shown) expect(stdout + stderr).not.toContain(secret);
    expect(shown[2]!.stdout).toContain('BEGIN PUBLIC KEY');
    expect(readFileSync(join(home.home, 'trust', 'policy.json'), 'utf8')).not.toContain(secret);

    const open = join(home.directory, 'open.pem');
    writeFileSync(open, readFileSync(file, 'utf8'));
    chmodSync(open, 0o644);
    expect(await run('keys', 'import', open)).toMatchObject({ code: 1, stderr: expect.stringContaining('chmod 600') });
    expect((await run('keys', 'new', '--passphrase-env', 'NOTHING_HERE')).code).toBe(2);
    const kept = await runInProcess(['keys', 'new', '--passphrase-env', 'PASS', '--json'], {
      directory: home.directory,
      env: { ...env(), PASS: 'a good one' },
    });
    const { id } = (JSON.parse(kept.stdout) as { data: { key: { id: string } } }).data.key;
    expect(readFileSync(join(home.home, 'keys', `${id}.pem`), 'utf8')).toContain('ENCRYPTED');
    expect(readdirSync(join(home.home, 'keys')).every((name) => (statSync(join(home.home, 'keys', name)).mode & 0o077) === 0)).toBe(true);
  });

  it('a key of a publisher is taken with the models that it may vouch for; another person approves a pending one', async () => {
    const made = (await data('keys', 'new')) as { key: { id: string; pem: string } };
    expect((await run('keys', 'rotate', made.key.id, '--days', '10')).stdout).toContain('is valid until');
    const publisher = join(home.directory, 'publisher.pem');
    const { generateKeyPairSync } = await import('node:crypto');
    writeFileSync(publisher, generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }));
    expect(await run('keys', 'import', publisher)).toMatchObject({ code: 1, stderr: expect.stringContaining('org/*') });
    const taken = await run('keys', 'import', publisher, '--model', 'org/*', '--pending');
    expect([taken.code, taken.stdout]).toEqual([0, expect.stringContaining('approval')]);
    const id = taken.stdout.split('\n')[0]!;
    expect((await run('keys', 'list')).stdout).toMatch(new RegExp(`${id.slice(0, 12)}.*pending`));
    expect(await run('keys', 'approve', id)).toMatchObject({ code: 3, stderr: expect.stringContaining('another person') });
    const rsa = join(home.directory, 'rsa.pem');
    writeFileSync(rsa, generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' }));
    expect(await run('keys', 'import', rsa, '--model', 'org/*')).toMatchObject({ code: 1, stderr: expect.stringContaining('P-256') });
    expect(await run('keys', 'retire', 'ffffffff')).toMatchObject({ code: 1 });
  });
});

describe('a policy that hearth did not write', () => {
  const policy = () => join(home.home, 'trust', 'policy.json');
  const serve = () => home.run(['serve', '--port', '0']);
  beforeEach(async () => {
    rmSync(join(home.home, 'trust'), { recursive: true, force: true });
    expect((await run('trust', 'mode', 'enforce')).code).toBe(0);
  });

  const harms: readonly (readonly [string, () => void])[] = [
    ['with a bad seal', () => writeFileSync(policy(), readFileSync(policy(), 'utf8').replace('enforce', 'off'))],
    ['without its seal', () => rmSync(join(home.home, 'trust', 'policy.mac'))],
    ['with a loose mode', () => chmodSync(policy(), 0o644)],
    ['with a second name', () => linkSync(policy(), join(home.directory, `name-${Math.random()}`))],
    [
      'that is a link',
      () => {
        const real = join(home.directory, 'real-policy.json');
        writeFileSync(real, readFileSync(policy()), { mode: 0o600 });
        rmSync(policy());
        symlinkSync(real, policy());
      },
    ],
    [
      'that is a directory',
      () => {
        rmSync(policy());
        mkdirSync(policy());
      },
    ],
    // Only root can give a file away.
    ...(process.geteuid?.() === 0 ? [['of another owner', () => chownSync(policy(), 12_345, 12_345)] as const] : []),
  ];

  it.each(harms)('[security G15] %s: the server does not start and no model is loaded', async (_what, harm) => {
    harm();
    const refused = await serve();
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/policy\.(json|mac)/)]);
    const asked = await ask();
    expect([asked.code, asked.stderr]).toEqual([1, expect.stringMatching(/policy\.(json|mac)/)]);
  });

  it('is accepted by `trust seal`, and holds then', async () => {
    const text = readFileSync(policy(), 'utf8').replace('"sources": []', '"sources": [{"type":"hub","name":"hearth-test/*","require":"deny"}]');
    writeFileSync(policy(), text);
    expect((await ask()).code).toBe(1);
    expect((await run('trust', 'seal')).code).toBe(0);
    expect(readFileSync(policy(), 'utf8')).toBe(text);
    expect(await ask()).toMatchObject({ code: 1, stderr: expect.stringContaining('no model from this source') });
    writeFileSync(policy(), '{"v":1}');
    expect(await run('trust', 'seal')).toMatchObject({ code: 1, stderr: expect.stringContaining('mode') });
  });
});
