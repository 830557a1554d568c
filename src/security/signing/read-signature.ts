import { isHearthError, isJsonObject } from '../../core/index.ts';
import { parseJsonStrictly } from '../access/json-scan.ts';
import { BUNDLE_TYPE, MAX_BUNDLE_BYTES, MAX_JSON_DEPTH, PAYLOAD_TYPE } from './formats.ts';
import { problem } from './problems.ts';
import type { SignatureProblem } from './types.ts';

/** Who signed, as the bundle says it: nothing of it is believed before the signature was checked. */
export type SignatureMaterial =
  | { readonly kind: 'key'; readonly hint: string | null; readonly old: OldKey | null }
  | { readonly kind: 'cert'; readonly certificates: readonly Uint8Array[] }
  | { readonly kind: 'keyless'; readonly certificate: Uint8Array };

/** How releases 1.0.x of the reference name the key; it is compared with the trusted one and never used. */
export interface OldKey {
  /** The PEM text, in base64. */
  readonly rawBytes: string;
  readonly keyDetails: string | null;
}

export interface Signature {
  readonly material: SignatureMaterial;
  /** The signed bytes of the in-toto statement, as they are in the bundle. */
  readonly payload: Uint8Array;
  /** DER. */
  readonly signature: Uint8Array;
  /** The whole bundle, parsed: for the keyless check. */
  readonly bundle: Readonly<Record<string, unknown>>;
}

/** Every field that a bundle may have; a list holds any number of one shape. */
type Shape = 'text' | 'textOrNull' | 'base64' | readonly [Shape] | { readonly [field: string]: Shape };

const LOG_ENTRY: Shape = {
  logIndex: 'text',
  logId: { keyId: 'base64' },
  kindVersion: { kind: 'text', version: 'text' },
  integratedTime: 'text',
  inclusionPromise: { signedEntryTimestamp: 'base64' },
  inclusionProof: { logIndex: 'text', rootHash: 'base64', treeSize: 'text', hashes: ['base64'], checkpoint: { envelope: 'text' } },
  canonicalizedBody: 'base64',
};
const BUNDLE: Shape = {
  mediaType: 'text',
  verificationMaterial: {
    publicKey: { hint: 'textOrNull', rawBytes: 'text', keyDetails: 'text' },
    x509CertificateChain: { certificates: [{ rawBytes: 'base64' }] },
    certificate: { rawBytes: 'base64' },
    tlogEntries: [LOG_ENTRY],
    timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: 'base64' }] },
  },
  dsseEnvelope: { payload: 'text', payloadType: 'text', signatures: [{ sig: 'text', keyid: 'textOrNull' }] },
};
const MAX_KEYS = 10_000;
const MAX_CERTIFICATES = 16;

/** Reads the bundle's shape (docs/spec/security.md §1). Never throws: what is wrong comes as problems, with `signature` null. */
export function readSignature(bytes: Uint8Array): { readonly signature: Signature | null; readonly problems: readonly SignatureProblem[] } {
  const problems: SignatureProblem[] = [];
  const bundle = parseBundle(bytes, problems);
  if (bundle === null) return { signature: null, problems };
  const misfit = findMisfit(bundle, BUNDLE, '');
  if (misfit !== null) problems.push(bad(`The signature file has ${misfit}.`));
  if (bundle['mediaType'] !== BUNDLE_TYPE)
    problems.push(problem('sig_media_type', `The signature file is no Sigstore bundle of version 0.3: its mediaType is not ${BUNDLE_TYPE}.`));
  const envelope = objectOf(bundle['dsseEnvelope']);
  if (envelope['payloadType'] !== PAYLOAD_TYPE)
    problems.push(problem('sig_payload_type', `The signed payload is no in-toto statement: its payloadType is not ${PAYLOAD_TYPE}.`));
  const signatures = Array.isArray(envelope['signatures']) ? (envelope['signatures'] as readonly unknown[]) : [];
  if (signatures.length !== 1)
    problems.push(problem('sig_signature_count', `A signature file holds exactly one signature; this one has ${signatures.length}.`));
  const first = objectOf(signatures[0]);
  if (![undefined, null, ''].includes(first['keyid'] as string | null | undefined)) problems.push(bad('The keyid of the signature is not empty.'));
  const payload = decode(envelope['payload']);
  const signature = decode(first['sig']);
  if (payload === null || (signature === null && signatures.length === 1)) problems.push(bad('The payload or the signature is no base64.'));
  const material = materialOf(objectOf(bundle['verificationMaterial']), problems);
  if (problems.length > 0 || payload === null || signature === null || material === null) return { signature: null, problems };
  return { signature: { material, payload, signature, bundle }, problems };
}

function parseBundle(bytes: Uint8Array, problems: SignatureProblem[]): Record<string, unknown> | null {
  if (bytes.length > MAX_BUNDLE_BYTES) {
    problems.push(problem('sig_too_large', `The signature file has ${bytes.length} bytes; ${MAX_BUNDLE_BYTES} are allowed.`));
    return null;
  }
  try {
    const value = parseJsonStrictly(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes), { depth: MAX_JSON_DEPTH, keys: MAX_KEYS });
    if (isJsonObject(value)) return value;
    problems.push(bad('The signature file is no JSON object.'));
  } catch (error) {
    problems.push(bad(`The signature file is no sound JSON: ${isHearthError(error) ? error.message : 'it is not UTF-8'}`));
  }
  return null;
}

/** The first field that a bundle may not have, or that is of another type; null: all are known. */
function findMisfit(value: unknown, shape: Shape, path: string): string | null {
  if (shape === 'text' || shape === 'textOrNull') return typeof value === 'string' || (shape === 'textOrNull' && value === null) ? null : `no text at ${path}`;
  // A second spelling of the same bytes would be a change that nobody notices.
  if (shape === 'base64') return decode(value) !== null ? null : `no base64 at ${path}`;
  if (Array.isArray(shape)) {
    if (!Array.isArray(value)) return `no list at ${path}`;
    for (const [index, item] of value.entries()) {
      const misfit = findMisfit(item, shape[0] as Shape, `${path}[${index}]`);
      if (misfit !== null) return misfit;
    }
    return null;
  }
  if (!isJsonObject(value)) return `no object at ${path}`;
  for (const [field, item] of Object.entries(value)) {
    const place = path === '' ? field : `${path}.${field}`;
    const known = Object.hasOwn(shape, field) ? (shape as Readonly<Record<string, Shape>>)[field] : undefined;
    if (known === undefined) return `an unknown field, ${place.slice(0, 200)}`;
    const misfit = findMisfit(item, known, place);
    if (misfit !== null) return misfit;
  }
  return null;
}

function materialOf(material: Record<string, unknown>, problems: SignatureProblem[]): SignatureMaterial | null {
  const kinds = ['publicKey', 'x509CertificateChain', 'certificate'].filter((kind) => material[kind] !== undefined);
  if (kinds.length !== 1) {
    problems.push(bad(`A signature file names exactly one key, certificate chain or certificate; this one has ${kinds.length}.`));
    return null;
  }
  const log = material['tlogEntries'];
  if (kinds[0] !== 'certificate' && Array.isArray(log) && log.length > 0) problems.push(bad('A signature by key or certificate has no entries of a log.'));
  if (kinds[0] === 'publicKey') return keyMaterial(objectOf(material['publicKey']), problems);
  if (kinds[0] === 'certificate') {
    const certificate = decode(objectOf(material['certificate'])['rawBytes']);
    if (certificate === null) problems.push(bad('The certificate is no base64.'));
    return certificate === null ? null : { kind: 'keyless', certificate };
  }
  const listed = objectOf(material['x509CertificateChain'])['certificates'];
  const certificates = (Array.isArray(listed) ? (listed as readonly unknown[]) : []).map((item) => decode(objectOf(item)['rawBytes']));
  if (certificates.length === 0 || certificates.length > MAX_CERTIFICATES || certificates.includes(null)) {
    problems.push(bad(`The certificate chain is no list of 1 to ${MAX_CERTIFICATES} certificates in base64.`));
    return null;
  }
  return { kind: 'cert', certificates: certificates as Uint8Array[] };
}

function keyMaterial(key: Record<string, unknown>, problems: SignatureProblem[]): SignatureMaterial | null {
  const { hint = null, rawBytes, keyDetails = null } = key as { hint?: string | null; rawBytes?: string; keyDetails?: string | null };
  if (rawBytes === undefined && keyDetails === null) return { kind: 'key', hint: hint === '' ? null : hint, old: null };
  if (hint !== null || rawBytes === undefined) problems.push(bad('The public key has fields that do not go together.'));
  return { kind: 'key', hint: null, old: { rawBytes: rawBytes ?? '', keyDetails } };
}

/** Standard base64 in its one canonical spelling; null for every other text. */
function decode(text: unknown): Buffer | null {
  if (typeof text !== 'string') return null;
  const bytes = Buffer.from(text, 'base64');
  return bytes.length > 0 && bytes.toString('base64') === text ? bytes : null;
}

const objectOf = (value: unknown): Record<string, unknown> => (isJsonObject(value) ? value : {});
const bad = (message: string): SignatureProblem => problem('sig_bad_bundle', message);
