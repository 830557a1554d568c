import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { logPlaces, readLog } from '../../src/security/index.ts';
import { startWritableHub } from '../support/fake-hub-writes.ts';
import { PUSH_TOKEN } from '../support/push-store.ts';
import { runInProcess } from '../support/run-cli.ts';
import { makeModel, TINY } from '../support/signing.ts';
import { installTinyModel, TINY_MODEL } from '../support/tiny-model.ts';

/** A model and a key in files, as a user has them. */
function workplace() {
  const model = makeModel(TINY);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const write = (name: string, content: string | Buffer, mode = 0o600) => writeFileSync(join(model.root, name), content, { mode });
  write('key.pem', privateKey.export({ type: 'sec1', format: 'pem' }));
  write('locked.pem', privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'open sesame' }));
  write('pub.pem', publicKey.export({ type: 'spki', format: 'pem' }));
  const env = { HEARTH_HOME: join(model.root, 'home'), HF_HOME: join(model.root, 'hf'), PASSPHRASE: 'open sesame', WRONG: 'no' };
  const hearth = (...argv: readonly string[]) => runInProcess(argv, { directory: model.root, env });
  const json = async (...argv: readonly string[]) =>
    JSON.parse((await hearth(...argv, '--json')).stdout) as { data: Record<string, unknown>; error: { code: string } | null };
  return { model, hearth, json, [Symbol.dispose]: () => model[Symbol.dispose]() };
}

test('a model is signed, verified, and told apart from a changed one on the command line', async () => {
  using place = workplace();
  const { hearth, json, model } = place;
  expect((await hearth('sign', './model', '--key', 'key.pem')).stdout).toMatch(/^Signed 4 files .*model\.sig\n/);
  const good = await hearth('verify', './model', '--key', 'pub.pem');
  expect([good.code, good.stdout.split('\n')[0]]).toEqual([0, 'Verified: 4 files (39 B) as signed.']);
  // No key of it is trusted by this home.
  expect((await json('verify', './model')).data).toMatchObject({ ok: false, problems: [{ code: 'sig_key_unknown' }], signer: { trustedBy: 'policy' } });
  writeFileSync(join(model.directory, 'config.json'), '{}');
  writeFileSync(join(model.directory, 'x.py'), '');
  const bad = await hearth('verify', './model', '--key', 'pub.pem');
  expect(bad.code).toBe(1);
  expect(bad.stdout).toContain('config.json is not as it was signed');
  expect(bad.stdout).toContain('x.py is not part of the signed model. [file_extra]');
});

test('a passphrase comes from a named variable, never from the arguments, and nobody is asked where nobody is', async () => {
  using place = workplace();
  const { json } = place;
  const sign = (...more: readonly string[]) => json('sign', './model', '--key', 'locked.pem', ...more);
  expect((await sign('--passphrase-env', 'PASSPHRASE')).data).toMatchObject({ files: 4 });
  expect((await sign('--passphrase-env', 'WRONG')).error?.code).toBe('passphrase_wrong');
  expect((await sign('--passphrase-env', 'MISSING')).error?.code).toBe('usage');
  expect((await sign()).error?.code).toBe('usage');
  expect((await sign('--passphrase', 'open sesame')).error?.code).toBe('usage');
});

test('a key that others may read, a key of another kind, and no key at all are refused', async () => {
  using place = workplace();
  const { json, model } = place;
  const { privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(join(model.root, 'ed.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  writeFileSync(join(model.root, 'open.pem'), 'x', { mode: 0o644 });
  const code = async (...more: readonly string[]) => (await json('sign', './model', ...more)).error?.code;
  expect(await code('--key', 'ed.pem')).toBe('sig_key_type');
  expect(await code('--key', 'open.pem')).toBe('unsafe_path');
  expect(await code('--key', 'nothing.pem')).toBe('file_system_error');
  expect(await code('--key', '0123456789abcdef')).toBe('signing_key_not_found');
  expect(await code()).toBe('usage');
});

test('a folder that was cloned and signed stays so while hearth keeps its own mark in it, is pushed with its signature, and holds where it is pulled', async () => {
  using place = workplace();
  const { model, hearth } = place;
  await using hub = await startWritableHub(join(model.root, 'hub'));
  await hub.repositories.create('tester/signed', true);
  const onHub = {
    directory: model.root,
    env: {
      HEARTH_HOME: join(model.root, 'other'),
      HF_HOME: join(model.root, 'theirs'),
      HF_ENDPOINT: hub.endpoint,
      HF_TOKEN: PUSH_TOKEN,
      HEARTH_HUB_CDN_HOSTS: '127.0.0.1',
    },
  };
  await installTinyModel(join(model.root, 'hf'));
  const good = async (...argv: readonly string[]) => {
    const { code, stdout, stderr } = await hearth(...argv);
    expect([argv, code, stderr]).toEqual([argv, 0, expect.not.stringContaining('Error')]);
    return stdout;
  };
  await good('clone', TINY_MODEL, './ours');
  writeFileSync(join(model.root, 'ours/.hfignore'), 'notes.txt\n');
  await good('sign', './ours', '--key', 'key.pem');
  await good('show', './ours', '--recalc-hash');
  await good('verify', './ours', '--key', 'pub.pem');
  expect((await runInProcess(['push', './ours', 'tester/signed', '--private'], onHub)).code).toBe(0);
  for (const argv of [
    ['pull', 'tester/signed'],
    ['verify', 'tester/signed', '--key', 'pub.pem'],
    ['clone', 'tester/signed', './copy'],
    ['verify', './copy', '--key', 'pub.pem'],
  ]) {
    const run = await runInProcess(argv, onHub);
    expect([argv, run.code, run.code === 0 ? '' : run.stderr]).toEqual([argv, 0, '']);
  }
  // Only in its own place, and only as what it is.
  writeFileSync(join(model.root, 'copy/.mlxk_workspace.json'), Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{}')]));
  expect((await runInProcess(['verify', './copy', '--key', 'pub.pem'], onHub)).stdout).toContain('[file_extra_ignored]');
});

test('[security G72] each signature that is made is an event with its key and content; one that is not is none', async () => {
  using place = workplace();
  const { json, model } = place;
  const { data } = await json('sign', './model', '--key', 'key.pem');
  await json('verify', './model', '--key', 'pub.pem');
  writeFileSync(join(model.directory, 'x.py'), '');
  expect((await json('sign', './model', '--key', 'key.pem')).error?.code).toBe('model_refused');
  const lines = [];
  for await (const line of readLog({ directory: logPlaces(join(model.root, 'home')).directory })) if (line.event !== 'audit.checkpoint') lines.push(line);
  expect(lines).toMatchObject([
    { event: 'model.sign', severity: 'info', outcome: 'ok', model: { id: 'model', rootDigest: data['rootDigest'] }, details: { key: data['key'], files: 4 } },
  ]);
  expect(JSON.stringify(lines)).not.toContain(model.root);
});
