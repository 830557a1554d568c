import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';

/** The three curves, by OpenSSL's names, with the hash that signs under each and the name that old signatures give it. */
const CURVES: Readonly<Record<string, { readonly hash: string; readonly orderBytes: number; readonly keyDetails: string }>> = {
  prime256v1: { hash: 'sha256', orderBytes: 32, keyDetails: 'PKIX_ECDSA_P256_SHA_256' },
  secp384r1: { hash: 'sha384', orderBytes: 48, keyDetails: 'PKIX_ECDSA_P384_SHA_384' },
  secp521r1: { hash: 'sha512', orderBytes: 66, keyDetails: 'PKIX_ECDSA_P521_SHA_512' },
};

/** Hash and size of a key of one of the three curves; null for every other key (`sig_key_type`). */
export const curveOf = (key: KeyObject): (typeof CURVES)[string] | null =>
  key.asymmetricKeyType === 'ec' ? (CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''] ?? null) : null;

/** What a key is, for a message. */
export const keyName = (key: KeyObject): string =>
  [key.asymmetricKeyType ?? 'symmetric', key.asymmetricKeyDetails?.namedCurve].filter((part) => part !== undefined).join(' ');

/** SPKI in PEM, newline at the end included: the text whose hash is the hint. */
export const spkiPem = (key: KeyObject): string => (key.type === 'private' ? createPublicKey(key) : key).export({ type: 'spki', format: 'pem' }) as string;

/** Hex SHA-256 of the SPKI PEM text: the key's id everywhere. */
export const hintOf = (key: KeyObject): string => createHash('sha256').update(spkiPem(key)).digest('hex');

/** Whether a DER ECDSA signature over the bytes is the key's; false also for a key of no known curve. */
export function verifyBytes(key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean {
  const curve = curveOf(key);
  return curve !== null && verify(curve.hash, bytes, { key, dsaEncoding: 'der' }, signature);
}
