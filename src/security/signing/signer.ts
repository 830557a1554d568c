import { createPrivateKey, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { HearthError, systemError } from '../../core/index.ts';
import { splitPem } from './certificate-chain.ts';
import { curveOf, hintOf, keyName, spkiPem } from './ec-key.ts';

/** What a bundle says about who signed; certificates are DER, leaf first. */
export type SignerMaterial =
  | { readonly kind: 'key'; readonly hint: string }
  | { readonly kind: 'cert'; readonly hint: string; readonly certificates: readonly Uint8Array[] };

/** Something that holds a private key of one of the three curves (docs/spec/security.md §1.1). */
export interface ModelSigner extends AsyncDisposable {
  readonly material: SignerMaterial;
  /** SPKI in PEM. */
  readonly publicKey: string;
  /** DER ECDSA signature over the bytes, hashed as the curve asks. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/** Refuses every key but those of the three curves: sig_key_type. */
export function requireCurve(key: KeyObject): NonNullable<ReturnType<typeof curveOf>> {
  const curve = curveOf(key);
  if (curve === null) throw new HearthError('sig_key_type', `The key is ${keyName(key)}; only P-256, P-384 and P-521 keys sign models.`);
  return curve;
}

/** Signs with a private key that this process holds. Throws sig_key_type. */
export function createKeySigner(key: KeyObject): ModelSigner {
  const { hash } = requireCurve(key);
  return {
    material: { kind: 'key', hint: hintOf(key) },
    publicKey: spkiPem(key),
    sign: async (bytes) => sign(hash, bytes, { key, dsaEncoding: 'der' }),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** The same signer under certificates, PEM, leaf first. Throws cert_chain where the leaf is not of the signer's key. */
export function withCertificates(signer: ModelSigner, pem: string): ModelSigner {
  let certificates: X509Certificate[];
  try {
    certificates = splitPem(pem).map((text) => new X509Certificate(text));
  } catch (error) {
    throw new HearthError('cert_chain', 'The file of certificates holds one that cannot be read.', { cause: error });
  }
  const leaf = certificates[0];
  if (leaf === undefined) throw new HearthError('cert_chain', 'The file of certificates holds none in PEM.');
  if (spkiPem(leaf.publicKey) !== signer.publicKey) {
    throw new HearthError('cert_chain', 'The first certificate is not of the key that signs; the leaf comes first, then those that issued it.');
  }
  return { ...signer, material: { kind: 'cert', hint: signer.material.hint, certificates: certificates.map(({ raw }) => raw) } };
}

const MAX_KEY_BYTES = 64 * 1024;

/** The text of a file that holds a private key. Refused (unsafe_path) where others may read it, or where it is no regular file. */
export async function readPrivateFile(path: string): Promise<string> {
  try {
    await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const facts = await handle.stat();
    if (!facts.isFile()) throw new HearthError('unsafe_path', `${path} is no regular file.`);
    if ((facts.mode & 0o077) !== 0) {
      throw new HearthError('unsafe_path', `Other users may read or change the private key ${path}; close it with \`chmod 600\` first.`, { details: { path } });
    }
    if (facts.size > MAX_KEY_BYTES) throw new HearthError('invalid_argument', `${path} is too large for a key.`);
    return await handle.readFile('utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ELOOP')
      throw new HearthError('unsafe_path', `${path} is a link; name the file of the key itself.`, { cause: error });
    throw systemError(error, path) ?? error;
  }
}

/**
 * A private key in PEM: PKCS#8 or SEC1, or PKCS#8 under a passphrase, which is asked for only then. Throws sig_key_type, invalid_argument for what is no
 * key, passphrase_wrong.
 */
export async function parsePrivateKey(pem: string, passphrase: () => Promise<string>): Promise<KeyObject> {
  const encrypted = pem.includes('ENCRYPTED');
  const secret = encrypted ? await passphrase() : undefined;
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem', ...(secret === undefined ? {} : { passphrase: secret }) });
  } catch (error) {
    if (encrypted) throw new HearthError('passphrase_wrong', 'The passphrase does not open the key.', { cause: error });
    throw new HearthError('invalid_argument', 'This is no private key in PEM (PKCS#8 or SEC1).', { cause: error });
  }
  requireCurve(key);
  return key;
}
