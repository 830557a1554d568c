import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ecPair, makeCertificate } from '../../../test/support/certificates.ts';
import { type CurveName, codesOf, makeKey, makeModel, trustedPem, verify } from '../../../test/support/signing.ts';
import { hashFiles, rootDigestOf } from './hash-files.ts';
import { createTokenSigner } from './pkcs11-signer.ts';
import { signDirectory } from './sign-directory.ts';
import { withCertificates } from './signer.ts';
import { walkModel } from './walk-model.ts';

/** Paths whose order and spelling tell writers apart. */
const TREE = { 'a/b': '1', 'a-b': '2', 'a.txt': '3', '😀.md': '4', 'e\u0301.md': '5', empty: '', 'config.json': '{}', 'z/y/x.json': '[]' };
const RECORDED = join(import.meta.dirname, 'goldens/reference');
const read = (file: string): string => readFileSync(join(RECORDED, file), 'utf8');

describe('signatures that the reference tool made (release 1.1.1, recorded)', () => {
  test.each(['p256', 'p384', 'p521'])('[security G1] of a key on %s verifies', async (curve) => {
    using model = makeModel(TREE);
    const report = await verify(model.directory, [trustedPem(read(`${curve}-pub.pem`))], { signature: Buffer.from(read(`${curve}.sig`)) });
    expect(report.problems).toEqual([]);
    expect(report.files).toHaveLength(Object.keys(TREE).length);
  });

  test('[security G2] the root digest of a tree with a/b, a-b, a.txt, an emoji, an NFD name and an empty file is the one that it signed', async () => {
    using model = makeModel(TREE);
    const { rootDigest } = await verify(model.directory, [], { signature: Buffer.from(read('p256.sig')) });
    const { files } = await walkModel({ directory: model.directory });
    expect(rootDigestOf(await hashFiles(files))).toBe(rootDigest);
  });

  test('by shards, by BLAKE2b, by both, and of one file verify; BLAKE3 is told to be unsupported', async () => {
    const weights = Buffer.concat(Array.from({ length: 10 }, () => Buffer.from(Array.from({ length: 256 }, (_, value) => value))));
    using model = makeModel({ 'weights.safetensors': weights, 'sub/config.json': '{}', 'empty.md': '' });
    const trusted = [trustedPem(read('p256-pub.pem'))];
    const codes = async (file: string, path = model.directory) => codesOf(await verify(path, trusted, { signature: Buffer.from(read(file)) }));
    for (const file of ['shards.sig', 'blake2b.sig', 'shards-blake2b.sig']) expect(await codes(file), file).toEqual([]);
    expect(await codes('file.sig', join(model.directory, 'weights.safetensors'))).toEqual([]);
    expect(await codes('blake3.sig')).toEqual(['sig_method_unsupported']);
    weights[2000]! ^= 1;
    writeFileSync(join(model.directory, 'weights.safetensors'), weights);
    for (const file of ['shards.sig', 'blake2b.sig', 'shards-blake2b.sig']) expect(await codes(file), file).toEqual(['file_changed']);
    writeFileSync(join(model.directory, 'weights.safetensors'), weights.subarray(0, 2000));
    expect(await codes('shards.sig')).toEqual(['file_changed']);
  });
});

const tool = process.env['HEARTH_TEST_MODEL_SIGNING'];
const why = tool === undefined ? ' (skipped: needs the reference tool; HEARTH_TEST_MODEL_SIGNING names it)' : '';
const reference = (...args: readonly string[]) => spawnSync(tool!, args, { encoding: 'utf8' });

describe.skipIf(tool === undefined)(`beside the reference tool${why}`, () => {
  const curves: readonly CurveName[] = ['P-256', 'P-384', 'P-521'];

  /** Twenty models: three curves, by key and by certificate, from one file to a dozen. */
  async function* twenty() {
    const root = makeCertificate({ subject: 'Root', key: ecPair(), ca: true, keyUsage: ['keyCertSign'] });
    for (let round = 0; round < 20; round += 1) {
      const { privateKey, publicKey, signer, trusted } = makeKey(curves[round % 3]!);
      const files = Object.fromEntries(
        Array.from({ length: 1 + (round % 12) }, (_, file) => [`d${file % 3}/f${file * round}.json`, JSON.stringify({ file, round })]),
      );
      using model = makeModel(round === 0 ? TREE : files);
      const leaf = makeCertificate({ subject: 'Leaf', key: { privateKey, publicKey }, issuer: root, ca: false, keyUsage: ['digitalSignature'] });
      const at = (name: string) => join(model.root, name);
      writeFileSync(at('key.pem'), privateKey.export({ type: 'sec1', format: 'pem' }));
      writeFileSync(at('pub.pem'), trusted.pem!);
      writeFileSync(at('leaf.pem'), leaf.pem);
      writeFileSync(at('root.pem'), root.pem);
      yield { byKey: round % 2 === 0, model, signer, trusted, leaf, root, at };
    }
  }

  test('[security G1] twenty models signed by hearth, by keys and certificates on the three curves, verify with it', async () => {
    for await (const { byKey, model, signer, leaf, at } of twenty()) {
      await signDirectory({ directory: model.directory, signer: byKey ? signer : withCertificates(signer, leaf.pem) });
      const who = byKey ? ['key', '--public_key', at('pub.pem')] : ['certificate', '--certificate_chain', at('root.pem')];
      const { status, stdout, stderr } = reference('verify', ...who, '--signature', join(model.directory, 'model.sig'), model.directory);
      expect(status, stdout + stderr).toBe(0);
    }
  }, 900_000);

  test('[security G1] twenty models signed by it verify with hearth', async () => {
    for await (const { byKey, model, trusted, root, at } of twenty()) {
      const who = byKey ? ['key'] : ['certificate', '--signing_certificate', at('leaf.pem'), '--certificate_chain', at('root.pem')];
      const { status, stderr } = reference('sign', ...who, '--private_key', at('key.pem'), '--signature', join(model.directory, 'model.sig'), model.directory);
      expect(status, stderr).toBe(0);
      const signer = byKey ? trusted : ({ kind: 'cert', role: 'publisher', models: [], hint: 'c', roots: [root.pem] } as const);
      const chain = JSON.parse(readFileSync(join(model.directory, 'model.sig'), 'utf8')) as object;
      expect((await verify(model.directory, [signer])).problems, JSON.stringify(chain)).toEqual([]);
    }
  }, 900_000);

  const long = process.env['HEARTH_TEST_LONG'] === '1';
  test.skipIf(!long)(
    `[security G2] the root digest of a tree with a file of 5 GB is the one that it signs${long ? '' : ' (skipped: it takes minutes; HEARTH_TEST_LONG=1 runs it)'}`,
    async () => {
      using model = makeModel({ ...TREE, 'model.safetensors': '' });
      truncateSync(join(model.directory, 'model.safetensors'), 5_000_000_000);
      const { privateKey, trusted } = makeKey();
      const key = join(model.root, 'key.pem');
      writeFileSync(key, privateKey.export({ type: 'sec1', format: 'pem' }));
      expect(reference('sign', 'key', '--private_key', key, '--signature', join(model.root, 's.sig'), model.directory).status).toBe(0);
      const signature = readFileSync(join(model.root, 's.sig'));
      expect((await verify(model.directory, [trusted], { signature })).problems).toEqual([]);
    },
    600_000,
  );
});

const LIBRARY = '/usr/lib/softhsm/libsofthsm2.so';
const hasPackage = await import('pkcs11js' as string).then(
  () => true,
  () => false,
);
const token = existsSync(LIBRARY) && hasPackage && tool !== undefined;
const missing = token ? '' : ' (skipped: needs SoftHSM, the package pkcs11js, and the reference tool, which HEARTH_TEST_MODEL_SIGNING names)';

describe.skipIf(!token)(`a software token${missing}`, () => {
  test.each(['prime256v1', 'secp384r1', 'secp521r1'])(
    '[security G7] signs with a key on %s, and the signature verifies with hearth and with the reference tool',
    async (curve) => {
      using model = makeModel(TREE);
      mkdirSync(join(model.root, 'tokens'));
      writeFileSync(join(model.root, 'softhsm.conf'), `directories.tokendir = ${join(model.root, 'tokens')}\n`);
      process.env['SOFTHSM2_CONF'] = join(model.root, 'softhsm.conf');
      const run = (command: string, ...args: readonly string[]) => execFileSync(command, args, { stdio: 'pipe' });
      run('softhsm2-util', '--init-token', '--free', '--label', 'hearth', '--so-pin', '12345678', '--pin', '1234');
      run('pkcs11-tool', '--module', LIBRARY, '--login', '--pin', '1234', '--keypairgen', '--key-type', `EC:${curve}`, '--label', 'signer', '--id', '01');
      const uri = `pkcs11:token=hearth;object=signer?module-path=${LIBRARY}`;
      await expect(createTokenSigner(uri, async () => '9999')).rejects.toMatchObject({ code: 'passphrase_wrong' });
      await using signer = await createTokenSigner(uri, async () => '1234');
      await signDirectory({ directory: model.directory, signer });
      expect((await verify(model.directory, [trustedPem(signer.publicKey)])).problems).toEqual([]);
      const key = join(model.root, 'pub.pem');
      writeFileSync(key, signer.publicKey);
      const { status, stderr } = reference('verify', 'key', '--public_key', key, '--signature', join(model.directory, 'model.sig'), model.directory);
      expect(status, stderr).toBe(0);
      rmSync(key);
    },
  );
});

test('a PIN in a URI, a URI without a library or without a key are refused', async () => {
  for (const uri of [
    'pkcs11:object=k?module-path=/x.so&pin-value=1',
    'pkcs11:object=k',
    'pkcs11:token=t?module-path=/x.so',
    'file:x',
    'pkcs11:object=%zz?module-path=/x.so',
  ]) {
    await expect(createTokenSigner(uri, async () => '')).rejects.toMatchObject({ code: 'invalid_argument' });
  }
});
