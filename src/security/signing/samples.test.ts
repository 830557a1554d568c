import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codesOf, trustedPem, verify } from '../../../test/support/signing.ts';
import { readSignature } from './read-signature.ts';
import type { TrustedSigner } from './types.ts';

/** Samples that the reference tool's own tests hold (sigstore/model-transparency, scripts/tests, Apache-2.0), by release and kind of signer. */
const SAMPLES = join(import.meta.dirname, 'goldens');
const RELEASES = ['v1.0.0', 'v1.0.1', 'v1.1.0'];
const KINDS = ['elliptic-key', 'certificate', 'sigstore'];
const read = (path: string): string => readFileSync(join(SAMPLES, path), 'utf8');
const entry = { role: 'publisher', models: [], hint: 'x' } as const;
const IDENTITY = 'stefanb@us.ibm.com';
const ISSUER = 'https://sigstore.verify.ibm.com/oauth2';
const keyless = (identity: string, issuer: string): TrustedSigner => ({ ...entry, kind: 'keyless', identity, issuer });
const trusted: readonly TrustedSigner[] = [
  trustedPem(read('keys/signing-key-pub.pem')),
  { ...entry, kind: 'cert', roots: [read('keys/ca-cert.pem')] },
  keyless(IDENTITY, ISSUER),
];

/** A copy of a sample: the model that was signed, and its signature. One was made of a single file. */
function openSample(name: string): { readonly model: string; readonly signature: Buffer } & Disposable {
  const root = mkdtempSync(join(tmpdir(), 'hearth-sample-'));
  const directory = join(root, name);
  cpSync(join(SAMPLES, name), directory, { recursive: true });
  // Their tests leave this file out by an option that a verifier of hearth does not have.
  if (name.startsWith('v1.0.1')) rmSync(join(directory, 'ignore-me'));
  const model = name === 'v1.0.0-elliptic-key' ? join(directory, 'signme-1') : directory;
  return { model, signature: readFileSync(join(directory, 'model.sig')), [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) };
}

/** Where a time-stamp token lies: it carries certificates and fields that no signature covers. */
function tokenRange(signature: Buffer): readonly [from: number, to: number] {
  const [, token] = /"signedTimestamp": ?"([^"]+)"/.exec(signature.toString('latin1')) ?? [];
  const from = token === undefined ? -1 : signature.indexOf(token);
  return [from, from + (token?.length ?? 0)];
}

test.each(RELEASES.flatMap((release) => KINDS.map((kind) => `${release}-${kind}`)))(
  '[security G3] the sample %s of the reference verifies, and does not with one byte of it flipped',
  async (name) => {
    using sample = openSample(name);
    const { model, signature } = sample;
    expect((await verify(model, trusted, { signature })).problems).toEqual([]);
    // A check of a log's proof takes some 20 ms.
    const step = name.endsWith('sigstore') ? 41 : name.endsWith('certificate') ? 3 : 1;
    const [from, to] = tokenRange(signature);
    for (let at = 0; at < signature.length; at += step) {
      if (at >= from && at < to) continue;
      const changed = Buffer.from(signature);
      changed[at]! ^= 1 << (at % 7);
      // White space may become other white space, which changes nothing.
      if (/\s/.test(String.fromCharCode(signature[at]!)) && /\s/.test(String.fromCharCode(changed[at]!))) continue;
      if (readSignature(changed).signature === null) continue;
      expect((await verify(model, trusted, { signature: changed })).ok, `byte ${at}`).toBe(false);
    }
    const files = model.endsWith('signme-1') ? [model] : readdirSync(model).flatMap((file) => (file.startsWith('signme') ? [join(model, file)] : []));
    for (const file of files) {
      const bytes = readFileSync(file);
      for (let at = 0; at < bytes.length; at += 1) {
        const changed = Buffer.from(bytes);
        changed[at]! ^= 1;
        writeFileSync(file, changed);
        if (at === 0 || step === 1) expect(codesOf(await verify(model, trusted, { signature }))).toEqual(['file_changed']);
      }
      writeFileSync(file, bytes);
    }
  },
);

test('a file of the sample that nobody signed is refused where the reference was told to leave it out', async () => {
  expect(codesOf(await verify(join(SAMPLES, 'v1.0.1-certificate'), trusted))).toEqual(['file_extra']);
});

test('a signature of the experimental release 0.2 is told to be too old', async () => {
  expect(codesOf(await verify(join(SAMPLES, 'v0.2.0-certificate'), trusted))).toContain('sig_legacy');
});

test('[security G8] a keyless signature is accepted offline for exactly its identity and issuer', async () => {
  using sample = openSample('v1.1.0-sigstore');
  const codes = async (identity: string, issuer: string) => codesOf(await verify(sample.model, [keyless(identity, issuer)]));
  expect(await codes(IDENTITY, ISSUER)).toEqual([]);
  const lookAlikes = ['x', ''].flatMap((prefix) => [
    `${prefix}${IDENTITY}`,
    `${prefix}tefanb@us.ibm.com`,
    `${prefix}${IDENTITY}x`,
    `${prefix}stefanb@us.ibm.co`,
    `${prefix}stefanb@us.ibm..om`,
  ]);
  for (const identity of [...lookAlikes, '.*', IDENTITY.toUpperCase(), '']) {
    if (identity !== IDENTITY) expect(await codes(identity, ISSUER), identity).toEqual(['cert_subject']);
  }
  for (const issuer of [`${ISSUER}/`, ISSUER.slice(0, -1), 'https://accounts.google.com', 'https://sigstore.verify.ibm.com', '.*']) {
    expect(await codes(IDENTITY, issuer), issuer).toEqual(['cert_subject']);
  }
  // Another trusted root than the one whose log it is in.
  const foreign = JSON.stringify({
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [],
    certificateAuthorities: [],
    ctlogs: [],
    timestampAuthorities: [],
  });
  expect((await verify(sample.model, [keyless(IDENTITY, ISSUER)], { trustedRoot: foreign })).ok).toBe(false);
});
