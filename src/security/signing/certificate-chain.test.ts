import { expect, test } from 'vitest';
import { type CertificateWish, ecPair, type Issued, makeCertificate } from '../../../test/support/certificates.ts';
import { codesOf, makeModel, TINY, verify } from '../../../test/support/signing.ts';
import { signDirectory } from './sign-directory.ts';
import { createKeySigner, withCertificates } from './signer.ts';
import type { TrustedSigner } from './types.ts';

const CA = { ca: true, keyUsage: ['keyCertSign'] } as const;
const root = makeCertificate({ subject: 'Root', key: ecPair('P-384'), ...CA });
const middle = makeCertificate({ subject: 'Middle', key: ecPair(), issuer: root, ...CA });
const leafOf = (more: Partial<CertificateWish> = {}): Issued =>
  makeCertificate({ subject: 'Signer', key: ecPair(), issuer: middle, ca: false, keyUsage: ['digitalSignature'], mail: 'signer@example.com', ...more });
const trusted = (more: Partial<TrustedSigner> = {}): TrustedSigner => ({ kind: 'cert', role: 'publisher', models: [], hint: 'c', roots: [root.pem], ...more });

/** Codes of a model that was signed under the chain. */
async function codes(chain: readonly Issued[], entry: TrustedSigner = trusted(), options: Parameters<typeof verify>[2] = {}): Promise<string[]> {
  using model = makeModel(TINY);
  const signer = withCertificates(createKeySigner(chain[0]!.key.privateKey), chain.map(({ pem }) => pem).join(''));
  await signDirectory({ directory: model.directory, signer });
  return codesOf(await verify(model.directory, [entry], options));
}

test('a chain of a given root verifies, by subject or alternative name, on the three curves, with or without the root in it', async () => {
  for (const curve of ['P-256', 'P-384', 'P-521']) expect(await codes([leafOf({ key: ecPair(curve) }), middle])).toEqual([]);
  expect(await codes([leafOf(), middle, root])).toEqual([]);
  expect(await codes([leafOf(), middle], trusted({ subject: 'CN=Signer' }))).toEqual([]);
  expect(await codes([leafOf(), middle], trusted({ subject: 'signer@example.com' }))).toEqual([]);
  // Without a key usage, the one for code is enough.
  expect(await codes([makeCertificate({ subject: 'Coder', key: ecPair(), issuer: middle, codeSigning: true }), middle])).toEqual([]);
});

test('[security G6] wrong root, missing intermediate, leaf that may not sign, issuer that is no authority, expired leaf and another subject are refused', async () => {
  const foreign = makeCertificate({ subject: 'Root', key: ecPair('P-384'), ...CA });
  expect(await codes([leafOf(), middle], trusted({ roots: [foreign.pem] }))).toEqual(['cert_untrusted_root']);
  expect(await codes([leafOf(), middle], trusted({ roots: [] }))).toEqual(['cert_untrusted_root']);
  expect(await codes([leafOf()])).toEqual(['cert_chain']);
  expect(await codes([leafOf({ keyUsage: ['keyCertSign'] }), middle])).toEqual(['cert_usage']);
  expect(await codes([makeCertificate({ subject: 'Nothing', key: ecPair(), issuer: middle }), middle])).toEqual(['cert_usage']);
  const noAuthority = makeCertificate({ subject: 'Middle', key: ecPair(), issuer: root, ca: false, keyUsage: ['digitalSignature'] });
  expect(await codes([leafOf({ issuer: noAuthority }), noAuthority])).toEqual(['cert_chain']);
  const silent = makeCertificate({ subject: 'Middle', key: ecPair(), issuer: root });
  expect(await codes([leafOf({ issuer: silent }), silent])).toEqual(['cert_chain']);
  const expired = leafOf({ notAfter: new Date('2026-01-01') });
  expect(await codes([expired, middle], trusted(), { now: Date.parse('2026-06-01') })).toEqual(['cert_expired']);
  // What was accepted while it was valid stays so.
  expect(await codes([expired, middle], trusted(), { now: Date.parse('2026-06-01'), firstAcceptedAt: Date.parse('2025-06-01') })).toEqual([]);
  for (const subject of ['CN=Signe', 'CN=Signer2', 'signer@exampleXcom', 'xsigner@example.com', 'CN=Middle']) {
    expect(await codes([leafOf(), middle], trusted({ subject })), subject).toEqual(['cert_subject']);
  }
});

test('a chain in another order, too long a path, a strange critical extension and a revoked leaf are refused', async () => {
  const other = makeCertificate({ subject: 'Other', key: ecPair(), issuer: root, ...CA });
  expect(await codes([leafOf(), other, middle])).toEqual(['cert_chain']);
  const short = makeCertificate({ subject: 'Short', key: ecPair(), issuer: root, ...CA, pathLength: 0 });
  const below = makeCertificate({ subject: 'Below', key: ecPair(), issuer: short, ...CA });
  expect(await codes([leafOf({ issuer: below }), below, short])).toEqual(['cert_chain']);
  expect(await codes([leafOf({ strange: true }), middle])).toEqual(['cert_usage']);
  const leaf = leafOf();
  const { hint } = createKeySigner(leaf.key.privateKey).material;
  expect(await codes([leaf, middle], trusted(), { revoked: [{ hint }] })).toEqual(['sig_key_revoked']);
});

test('the first certificate has to be of the key that signs', () => {
  expect(() => withCertificates(createKeySigner(ecPair().privateKey), leafOf().pem)).toThrow(expect.objectContaining({ code: 'cert_chain' }));
});
