import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { closeSync, constants, fsyncSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalJson, checkManagedFile, HearthError, makeManagedFile } from '../../core/index.ts';

/** What the audit key says of the log: its last line, and where it begins since older files were removed. */
export interface HeadStatement {
  readonly kind: 'checkpoint' | 'head';
  /** Of the last line that is meant. */
  readonly seq: number;
  readonly head: string;
  readonly time: string;
  /** Checkpoints: lines since the one before. */
  readonly count: number;
  /** First line that is kept, and the hash that it follows. */
  readonly first: { readonly seq: number; readonly prev: string };
}

export interface AuditKey {
  readonly publicPem: string;
  /** base64 of the DER signature. */
  sign(statement: HeadStatement): string;
}

const PRIVATE = 'checkpoint.key';
const PUBLIC = 'checkpoint.pub';

const bytesOf = (statement: HeadStatement): Buffer => Buffer.from(`hearth-audit-v1\n${canonicalJson(statement)}`);

/** The key of a log's directory; made with its first line: P-256, the private half 0600 and read by writers of the log only. */
export function openAuditKey(directory: string): AuditKey {
  const path = join(directory, PRIVATE);
  if (!checkManagedFile(path)) makeKey(directory);
  const key = createPrivateKey(readFileSync(path));
  const publicPem = pemOf(createPublicKey(key));
  if (readAuditPublicKey(directory) !== publicPem) writePublic(join(directory, PUBLIC), publicPem);
  return { publicPem, sign: (statement) => sign('sha256', bytesOf(statement), key).toString('base64') };
}

function makeKey(directory: string): void {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  makeManagedFile(join(directory, PRIVATE), privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
}

function writePublic(path: string, text: string): void {
  checkManagedFile(path);
  const file = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_TRUNC, 0o600);
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** The public half that lies beside the log; null when there is none. */
export function readAuditPublicKey(directory: string): string | null {
  const path = join(directory, PUBLIC);
  return checkManagedFile(path) ? readFileSync(path, 'utf8') : null;
}

/** Throws invalid_argument for what is no public key of this kind. */
export function parseAuditPublicKey(pem: string): KeyObject {
  try {
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch (error) {
    throw new HearthError('invalid_argument', 'The key of the security log is no public key in PEM form.', { cause: error });
  }
  throw new HearthError('invalid_argument', 'The key of the security log has to be an ECDSA key of the curve P-256.');
}

export function holds(key: KeyObject, statement: HeadStatement, signature: string): boolean {
  try {
    return verify('sha256', bytesOf(statement), key, Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}

/** What people compare: hex SHA-256 of the public half as DER. */
export const fingerprintOf = (key: KeyObject): string =>
  createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');

const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }) as string;
