import { HearthError } from '../../core/index.ts';

/** Where a key lies on a token (RFC 7512, as far as signing needs it). */
export interface TokenKey {
  /** Absolute path of the library that speaks to the token. */
  readonly modulePath: string;
  readonly token: string | null;
  readonly serial: string | null;
  readonly slotId: number | null;
  readonly object: string | null;
  readonly id: Buffer | null;
}

const KNOWN = new Set(['token', 'serial', 'slot-id', 'object', 'id', 'type', 'manufacturer', 'model', 'module-path']);

/** Reads `pkcs11:token=T;object=K?module-path=/lib/p11.so`. A PIN in the URI is refused: command lines are seen by every user of the machine. */
export function parseTokenUri(uri: string): TokenKey {
  if (!uri.startsWith('pkcs11:')) throw refused('A PKCS#11 URI begins with `pkcs11:`.');
  const [path = '', query = ''] = uri.slice('pkcs11:'.length).split('?');
  const values = new Map<string, string>();
  for (const part of [...path.split(';'), ...query.split('&')]) {
    if (part === '') continue;
    const at = part.indexOf('=');
    const name = at < 0 ? part : part.slice(0, at);
    if (name === 'pin-value' || name === 'pin-source')
      throw refused('Leave the PIN out of the URI; it is asked for, or name where it is with --passphrase-fd or --passphrase-env.');
    if (at < 0 || !KNOWN.has(name) || values.has(name)) throw refused(`The PKCS#11 URI has a part that is not known here, or twice: ${name.slice(0, 40)}.`);
    values.set(name, part.slice(at + 1));
  }
  const modulePath = text(values, 'module-path');
  if (modulePath === null || !modulePath.startsWith('/')) throw refused('The PKCS#11 URI names no library: add `?module-path=/path/to/library.so`.');
  const slot = text(values, 'slot-id');
  const id = values.get('id');
  const object = text(values, 'object');
  if (object === null && id === undefined) throw refused('The PKCS#11 URI names no key: add `object=NAME` or `id=%01`.');
  return {
    modulePath,
    token: text(values, 'token'),
    serial: text(values, 'serial'),
    slotId: slot === null ? null : Number(slot),
    object,
    id: id === undefined ? null : bytesOf(id),
  };
}

function text(values: ReadonlyMap<string, string>, name: string): string | null {
  const value = values.get(name);
  return value === undefined ? null : bytesOf(value).toString('utf8');
}

/** Percent-decoded bytes: an id is any bytes, not only text. */
function bytesOf(value: string): Buffer {
  if (/%(?![0-9a-fA-F]{2})/.test(value)) throw refused('The PKCS#11 URI has a `%` without two hex digits behind it.');
  const bytes: number[] = [];
  for (let index = 0; index < value.length; index += 1) {
    if (value[index] === '%') {
      bytes.push(Number.parseInt(value.slice(index + 1, index + 3), 16));
      index += 2;
    } else bytes.push(...Buffer.from(value[index]!));
  }
  return Buffer.from(bytes);
}

const refused = (message: string): HearthError => new HearthError('invalid_argument', message);
