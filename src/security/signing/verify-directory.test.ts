import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { codesOf, makeKey, makeModel, TINY, trustedKey, verify } from '../../../test/support/signing.ts';
import { signedBytes } from './formats.ts';
import { signDirectory } from './sign-directory.ts';
import { createKeySigner, parsePrivateKey } from './signer.ts';

const key = makeKey();
const trusted = [key.trusted];

// biome-ignore lint/suspicious/noExplicitAny: parsed JSON that tests reach into
type Json = Record<string, any>;

/** A signed model whose statement or bundle was edited, and signed again by the same key. */
async function edited(edit: {
  readonly statement?: (statement: Json) => void;
  readonly bundle?: (bundle: Json) => void;
  readonly files?: Readonly<Record<string, string>>;
}) {
  const model = makeModel(edit.files ?? TINY);
  const { signaturePath } = await signDirectory({ directory: model.directory, signer: key.signer });
  const bundle = JSON.parse(readFileSync(signaturePath, 'utf8')) as Json;
  if (edit.statement !== undefined) {
    const statement = JSON.parse(Buffer.from(bundle['dsseEnvelope'].payload, 'base64').toString()) as Json;
    edit.statement(statement);
    const payload = Buffer.from(JSON.stringify(statement));
    bundle['dsseEnvelope'].payload = payload.toString('base64');
    bundle['dsseEnvelope'].signatures[0].sig = Buffer.from(await key.signer.sign(signedBytes(payload))).toString('base64');
  }
  edit.bundle?.(bundle);
  writeFileSync(signaturePath, JSON.stringify(bundle));
  return model;
}

function writeIn(directory: string, path: string, content: string): void {
  mkdirSync(join(directory, path, '..'), { recursive: true });
  writeFileSync(join(directory, path), content);
}

function linkInstead(directory: string, path: string): void {
  rmSync(join(directory, path));
  symlinkSync('/etc/hosts', join(directory, path));
}

const resourcesOf = (statement: Json): Json[] => statement['predicate'].resources;

describe('[security G4] every row of table 1.2', () => {
  test.each<[what: string, codes: string[], change: (directory: string) => void]>([
    ['a changed byte', ['file_changed'], (d) => writeFileSync(join(d, 'config.json'), '{"model_type":"llamb"}')],
    ['a missing file', ['file_missing'], (d) => rmSync(join(d, 'sub/tokenizer.json'))],
    ['an extra file', ['file_extra'], (d) => writeFileSync(join(d, 'notes.md'), 'x')],
    ['a loadable name under .git', ['file_extra_ignored'], (d) => writeIn(d, '.git/x.py', 'x')],
    ['loadable content under .git', ['file_extra_ignored'], (d) => writeIn(d, '.git/x', 'GGUF\x03\0\0\0')],
    ['a link in place of a file', ['file_missing', 'file_symlink'], (d) => linkInstead(d, 'README.md')],
    ['a link to a directory', ['file_symlink'], (d) => symlinkSync('/etc', join(d, 'more'))],
    ['a pipe', ['file_special'], (d) => execFileSync('mkfifo', [join(d, 'pipe')])],
    ['a second name of a file', ['file_extra', 'file_hardlink'], (d) => linkSync(join(d, 'config.json'), join(d, 'other.json'))],
  ])('%s is %j', async (_what, codes, change) => {
    using model = await edited({});
    expect((await verify(model.directory, trusted)).problems).toEqual([]);
    change(model.directory);
    const report = await verify(model.directory, trusted);
    expect(codesOf(report)).toEqual(codes);
    expect(report.ok).toBe(false);
    // Each names its file.
    expect(report.problems.every(({ file }) => file !== undefined)).toBe(true);
  });

  test('a socket is no file of a model', async () => {
    using model = await edited({});
    const server = createServer().listen(join(model.directory, 's'));
    try {
      await new Promise((resolve) => server.once('listening', resolve));
      expect(codesOf(await verify(model.directory, trusted))).toEqual(['file_special']);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  test.each<[what: string, codes: string[], statement: (statement: Json) => void]>([
    ['ignore_paths that name a loadable file', ['sig_ignore_path'], (s) => s['predicate'].serialization.ignore_paths.push('tok.json')],
    ...['.', '', '..', '/etc', '../x', './'].map((path): [string, string[], (s: Json) => void] => [
      `ignore_paths ${JSON.stringify(path)}`,
      ['sig_ignore_path'],
      (s) => s['predicate'].serialization.ignore_paths.push(path),
    ]),
    ['zero resources', ['sig_manifest_empty'], (s) => (s['predicate'].resources = [])],
    ['a resource twice', ['sig_resource_duplicate'], (s) => resourcesOf(s).push(resourcesOf(s)[0]!)],
    ['a resource in two cases', ['sig_resource_duplicate'], (s) => resourcesOf(s).push({ ...resourcesOf(s)[0]!, name: 'readme.MD' })],
    [
      'a resource in two Unicode forms',
      ['sig_resource_duplicate'],
      (s) => resourcesOf(s).push({ ...resourcesOf(s)[0]!, name: 'é' }, { ...resourcesOf(s)[0]!, name: 'e\u0301' }),
    ],
    ...['/etc/passwd', '../x', 'a/../b', './a', 'a//b', 'a\\b', 'a\0b', 'a\nb', 'x'.repeat(1025), '.'].map((name): [string, string[], (s: Json) => void] => [
      `a resource named ${JSON.stringify(name.slice(0, 12))}`,
      ['sig_resource_name'],
      (s) => resourcesOf(s).push({ ...resourcesOf(s)[0]!, name }),
    ]),
    ['a root digest of others', ['sig_root_digest'], (s) => (s['subject'][0].digest.sha256 = 'a'.repeat(64))],
    ['links allowed', ['file_symlink'], (s) => (s['predicate'].serialization.allow_symlinks = true)],
    ['another statement type', ['sig_statement'], (s) => (s['_type'] = 'https://in-toto.io/Statement/v0.1')],
    ['two subjects', ['sig_statement'], (s) => s['subject'].push(s['subject'][0])],
    ['another predicate', ['sig_predicate'], (s) => (s['predicateType'] = 'https://slsa.dev/provenance/v1')],
    ['the first predicate', ['sig_legacy'], (s) => (s['predicateType'] = 'https://model_signing/Digests/v0.1')],
    ['blake3', ['sig_method_unsupported'], (s) => (s['predicate'].serialization.hash_type = 'blake3')],
    ['tensors as pieces', ['sig_method_unsupported'], (s) => (s['predicate'].serialization.method = 'tensors')],
    ['a digest that is none', ['sig_predicate'], (s) => (resourcesOf(s)[0]!['digest'] = 'abc')],
  ])('%s is %j', async (_what, codes, statement) => {
    using model = await edited({ statement });
    expect(codesOf(await verify(model.directory, trusted))).toEqual(codes);
  });

  test('a shard whose path has a colon is refused by its name', async () => {
    using model = await edited({
      statement: (s) => {
        Object.assign(s['predicate'].serialization, { method: 'shards', shard_size: 1000 });
        for (const resource of resourcesOf(s)) Object.assign(resource, { name: `a:b/${resource['name']}:0:4`, algorithm: 'sha256-sharded-1000' });
      },
    });
    expect(codesOf(await verify(model.directory, trusted))).toEqual(['sig_resource_name']);
  });

  test.each<[what: string, codes: string[], bundle: (bundle: Json) => void]>([
    ['two signatures', ['sig_signature_count'], (b) => b['dsseEnvelope'].signatures.push(b['dsseEnvelope'].signatures[0])],
    ['no signature', ['sig_signature_count'], (b) => (b['dsseEnvelope'].signatures = [])],
    ['another media type', ['sig_media_type'], (b) => (b['mediaType'] = 'application/vnd.dev.sigstore.bundle+json;version=0.2')],
    ['another payload type', ['sig_payload_type'], (b) => (b['dsseEnvelope'].payloadType = 'text/plain')],
    ['an unknown field', ['sig_bad_bundle'], (b) => (b['more'] = 1)],
    ['an unknown field deep inside', ['sig_bad_bundle'], (b) => (b['verificationMaterial'].publicKey.more = 'x')],
    ['a key and a certificate', ['sig_bad_bundle'], (b) => (b['verificationMaterial'].certificate = { rawBytes: 'AAAA' })],
    ['a log entry with a key', ['sig_bad_bundle'], (b) => (b['verificationMaterial'].tlogEntries = [{}])],
    ['a payload that is no base64', ['sig_bad_bundle'], (b) => (b['dsseEnvelope'].payload += '!')],
    ['the hint of another key', ['sig_hint_mismatch'], (b) => (b['verificationMaterial'].publicKey.hint = 'ab'.repeat(32))],
    ['a signature of nothing', ['sig_invalid'], (b) => (b['dsseEnvelope'].signatures[0].sig = 'MAYCAQECAQE=')],
  ])('%s is %j', async (_what, codes, bundle) => {
    using model = await edited({ bundle });
    const report = await verify(model.directory, trusted);
    expect(codesOf(report).filter((code) => !code.startsWith('file_'))).toEqual(codes);
  });

  test('a raw r||s signature, a duplicate key in the JSON, depth and size over the caps are refused', async () => {
    using model = await edited({});
    const path = join(model.directory, 'model.sig');
    const good = readFileSync(path, 'utf8');
    const check = async (text: string) => codesOf(await verify(model.directory, trusted, { signature: Buffer.from(text) }));
    const raw = Buffer.alloc(64, 7).toString('base64');
    expect(await check(good.replace(/"sig":"[^"]+"/, `"sig":"${raw}"`))).toEqual(['sig_invalid']);
    expect(await check(good.replace('{', '{"mediaType":"x",'))).toEqual(['sig_bad_bundle']);
    expect(await check(`${'['.repeat(70)}${']'.repeat(70)}`)).toEqual(['sig_bad_bundle']);
    expect(await check(' '.repeat(33 * 1024 * 1024))).toEqual(['sig_too_large']);
    expect(await check('no JSON')).toEqual(['sig_bad_bundle']);
  });

  test('a signature by another key than the one that it names, by an unknown one, and none at all', async () => {
    using model = await edited({});
    const other = makeKey();
    using signed = makeModel(TINY);
    const { signaturePath } = await signDirectory({ directory: signed.directory, signer: other.signer });
    const renamed = readFileSync(signaturePath, 'utf8').replace(other.trusted.hint, key.trusted.hint);
    expect(codesOf(await verify(signed.directory, [key.trusted, other.trusted], { signature: Buffer.from(renamed) }))).toEqual(['sig_hint_mismatch']);
    expect(codesOf(await verify(signed.directory, trusted))).toEqual(['sig_key_unknown']);
    rmSync(join(model.directory, 'model.sig'));
    const report = await verify(model.directory, trusted);
    expect(codesOf(report)).toEqual(['sig_missing']);
    // For who pins content: the hashes are there all the same.
    expect(report.files.map(({ path }) => path)).toEqual(['README.md', 'config.json', 'model.safetensors', 'sub/tokenizer.json']);
  });

  test('what the format lets vary is accepted: digests in upper case (with a warning), no keyid, another order with its own root', async () => {
    using upper = await edited({
      statement: (s) => {
        for (const resource of resourcesOf(s)) resource['digest'] = resource['digest'].toUpperCase();
      },
    });
    const report = await verify(upper.directory, trusted);
    expect([report.problems, report.warnings.map(({ code }) => code)]).toEqual([[], ['sig_digest_case']]);
    for (const keyid of [null, undefined]) {
      using model = await edited({ bundle: (b) => (b['dsseEnvelope'].signatures[0].keyid = keyid) });
      expect((await verify(model.directory, trusted)).ok).toBe(true);
    }
    using reversed = await edited({
      statement: (s) => {
        const { createHash } = process.getBuiltinModule('node:crypto');
        const hash = createHash('sha256');
        for (const { digest } of resourcesOf(s).reverse()) hash.update(Buffer.from(digest as string, 'hex'));
        s['subject'][0].digest.sha256 = hash.digest('hex');
      },
    });
    expect((await verify(reversed.directory, trusted)).problems).toEqual([]);
  });

  test('a key may vouch only for its models and its content, in its time, and not once it was revoked', async () => {
    using model = await edited({});
    const { rootDigest } = await verify(model.directory, trusted);
    const codes = async (more: Parameters<typeof trustedKey>[1], options: Parameters<typeof verify>[2] = {}) =>
      codesOf(await verify(model.directory, [trustedKey(key.publicKey, more)], { modelId: 'org/tiny', now: 5000, ...options }));
    expect(await codes({ models: ['org/*'], rootDigest: rootDigest! })).toEqual([]);
    expect(await codes({ models: ['other/*'] })).toEqual(['sig_subject_mismatch']);
    expect(await codes({ rootDigest: 'a'.repeat(64) })).toEqual(['sig_subject_mismatch']);
    expect(await codes({ notBefore: 6000 })).toEqual(['sig_key_inactive']);
    expect(await codes({ retireAt: 5000 })).toEqual(['sig_key_inactive']);
    expect(await codes({ revokedAt: 4000 })).toEqual(['sig_key_revoked']);
    expect(await codes({}, { revoked: [{ hint: key.trusted.hint }] })).toEqual(['sig_key_revoked']);
    expect(await codes({}, { revoked: [{ rootDigest: rootDigest! }] })).toEqual(['sig_root_revoked']);
  });

  test("git's own files and hooks pass, empty directories are told", async () => {
    using model = await edited({});
    mkdirSync(join(model.directory, '.git/refs/tags'), { recursive: true });
    mkdirSync(join(model.directory, '.git/hooks'));
    writeFileSync(join(model.directory, '.git/hooks/pre-commit.sample'), '#!/bin/sh\nexit 0\n');
    writeFileSync(join(model.directory, '.git/HEAD'), 'ref: refs/heads/main\n');
    writeFileSync(join(model.directory, '.gitattributes'), '*.safetensors filter=lfs\n');
    const report = await verify(model.directory, trusted);
    expect([report.problems, report.warnings.map(({ code }) => code)]).toEqual([[], ['directory_empty']]);
  });

  test("a snapshot's links into the blobs of its own cache are its files, and any other link is none", async () => {
    using model = await edited({});
    const cache = join(model.root, 'models--a--b');
    mkdirSync(join(cache, 'blobs'), { recursive: true });
    mkdirSync(join(cache, 'snapshots/c/sub'), { recursive: true });
    for (const path of ['README.md', 'config.json', 'model.safetensors', 'sub/tokenizer.json', 'model.sig']) {
      const blob = join(cache, 'blobs', path.replace('/', '_'));
      writeFileSync(blob, readFileSync(join(model.directory, path)));
      symlinkSync(blob, join(cache, 'snapshots/c', path));
    }
    const blobs = [join(cache, 'blobs')];
    const report = await verify(join(cache, 'snapshots/c'), trusted, { blobs });
    expect(report.problems).toEqual([]);
    expect(report.files[0]?.source).toBe(join(cache, 'blobs/README.md'));
    expect(codesOf(await verify(join(cache, 'snapshots/c'), trusted))).toContain('file_symlink');
    rmSync(join(cache, 'snapshots/c/README.md'));
    symlinkSync(join(model.directory, 'README.md'), join(cache, 'snapshots/c/README.md'));
    expect(codesOf(await verify(join(cache, 'snapshots/c'), trusted, { blobs }))).toEqual(['file_missing', 'file_symlink']);
  });
});

test('[security G5] Ed25519, RSA and secp256k1 keys are refused with sig_key_type on sign and on verify', async () => {
  using model = await edited({});
  const pairs = [generateKeyPairSync('ed25519'), generateKeyPairSync('rsa', { modulusLength: 2048 }), generateKeyPairSync('ec', { namedCurve: 'secp256k1' })];
  for (const { privateKey, publicKey } of pairs) {
    expect(() => createKeySigner(privateKey)).toThrow(expect.objectContaining({ code: 'sig_key_type' }));
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    await expect(parsePrivateKey(pem, async () => '')).rejects.toMatchObject({ code: 'sig_key_type' });
    const unfit = trustedKey(publicKey);
    const signature = readFileSync(join(model.directory, 'model.sig'), 'utf8').replace(key.trusted.hint, unfit.hint);
    expect(codesOf(await verify(model.directory, [unfit], { signature: Buffer.from(signature) }))).toEqual(['sig_key_type']);
  }
});

test('a model with files that no model may hold is not signed, and every reason is told', async () => {
  using model = makeModel({ ...TINY, 'x.py': 'print()', 'weights.bin': 'x', 'a.md': '#!/bin/sh\n' });
  symlinkSync('/etc/hosts', join(model.directory, 'hosts'));
  await expect(signDirectory({ directory: model.directory, signer: key.signer, ignorePaths: ['config.json'] })).rejects.toMatchObject({
    code: 'model_refused',
    details: {
      reason: 'sig_ignore_path',
      problems: expect.arrayContaining([expect.objectContaining({ code: 'file_symlink', file: 'hosts' }), expect.objectContaining({ file: 'x.py' })]),
    },
  });
});

test('100 changes of one byte each in the signature, in a file and in the list of files are all found', async () => {
  using model = await edited({});
  const path = join(model.directory, 'model.sig');
  const good = readFileSync(path);
  const bundle = JSON.parse(good.toString()) as Json;
  const payload = Buffer.from(bundle['dsseEnvelope'].payload, 'base64');
  const sig = Buffer.from(bundle['dsseEnvelope'].signatures[0].sig, 'base64');
  const flip = (bytes: Buffer, at: number): Buffer => {
    const changed = Buffer.from(bytes);
    changed[at % bytes.length]! ^= 1 << (at % 8);
    return changed;
  };
  const withParts = (parts: Json): Buffer => Buffer.from(JSON.stringify({ ...bundle, dsseEnvelope: { ...bundle['dsseEnvelope'], ...parts } }));
  for (let at = 0; at < 100; at += 1) {
    const inSignature = withParts({ signatures: [{ sig: flip(sig, at * 7).toString('base64'), keyid: '' }] });
    expect((await verify(model.directory, trusted, { signature: inSignature })).ok, `signature ${at}`).toBe(false);
    const inManifest = withParts({ payload: flip(payload, at * 13).toString('base64') });
    expect(codesOf(await verify(model.directory, trusted, { signature: inManifest })), `manifest ${at}`).toContain('sig_invalid');
  }
  const weights = Buffer.alloc(4096, 3);
  using large = await edited({ files: { ...TINY, 'model.safetensors': weights.toString('latin1') } });
  for (let at = 0; at < 100; at += 1) {
    writeFileSync(join(large.directory, 'model.safetensors'), flip(weights, at * 41));
    expect(codesOf(await verify(large.directory, trusted)), `file ${at}`).toEqual(['file_changed']);
  }
});
