import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { HearthError } from '../../core/index.ts';
import { hintOf, spkiPem } from './ec-key.ts';
import { parseTokenUri, type TokenKey } from './pkcs11-uri.ts';
import { type ModelSigner, requireCurve } from './signer.ts';

/** What of `pkcs11js` is used here; handles are opaque. */
interface Library {
  load(path: string): void;
  C_Initialize(): void;
  C_Finalize(): void;
  close(): void;
  C_GetSlotList(tokenPresent: boolean): Buffer[];
  C_GetTokenInfo(slot: Buffer): { readonly label: string; readonly serialNumber: string };
  C_OpenSession(slot: Buffer, flags: number): Buffer;
  C_CloseSession(session: Buffer): void;
  C_Login(session: Buffer, userType: number, pin: string): void;
  C_FindObjectsInit(session: Buffer, template: readonly Attribute[]): void;
  C_FindObjects(session: Buffer, count: number): Buffer[];
  C_FindObjectsFinal(session: Buffer): void;
  C_GetAttributeValue(session: Buffer, object: Buffer, template: readonly Attribute[]): { readonly value: Buffer }[];
  C_SignInit(session: Buffer, mechanism: { readonly mechanism: number }, key: Buffer): void;
  C_Sign(session: Buffer, data: Buffer, out: Buffer): Buffer;
}

interface Attribute {
  readonly type: number;
  readonly value?: Buffer | number | string | boolean;
}

/** Numbers of PKCS#11 2.40. */
const CKF_SERIAL_SESSION = 4;
const CKU_USER = 1;
const CKO_PUBLIC_KEY = 2;
const CKO_PRIVATE_KEY = 3;
const CKA = { class: 0, label: 3, id: 0x102, ecParams: 0x180, ecPoint: 0x181 };
const CKM_ECDSA = 0x1041;

/**
 * A signer whose key stays on a token. The PIN is asked for once the token was found. Throws dependency_missing without pkcs11js, token_unavailable for a
 * token, key or PIN that is not there, sig_key_type.
 */
export async function createTokenSigner(uri: string, pin: () => Promise<string>): Promise<ModelSigner> {
  const place = parseTokenUri(uri);
  const library = await loadLibrary(place.modulePath);
  const close = (): void => {
    library.C_Finalize();
    library.close();
  };
  try {
    const session = library.C_OpenSession(findSlot(library, place), CKF_SERIAL_SESSION);
    login(library, session, await pin());
    const key = findObject(library, session, place, CKO_PRIVATE_KEY);
    const publicKey = readPublicKey(library, session, findObject(library, session, place, CKO_PUBLIC_KEY));
    const { hash, orderBytes } = requireCurve(publicKey);
    return {
      material: { kind: 'key', hint: hintOf(publicKey) },
      publicKey: spkiPem(publicKey),
      async sign(bytes) {
        library.C_SignInit(session, { mechanism: CKM_ECDSA }, key);
        const pair = library.C_Sign(session, createHash(hash).update(bytes).digest(), Buffer.alloc(2 * orderBytes));
        return derSignature(pair.subarray(0, pair.length / 2), pair.subarray(pair.length / 2));
      },
      [Symbol.asyncDispose]: async () => close(),
    };
  } catch (error) {
    close();
    throw error instanceof HearthError ? error : new HearthError('token_unavailable', 'The token refused to work.', { cause: error });
  }
}

async function loadLibrary(path: string): Promise<Library> {
  // The name is no literal: the package is installed by who has a token, and its types are not needed.
  const name = 'pkcs11js';
  const module = (await import(name).catch((error: unknown) => {
    throw new HearthError(
      'dependency_missing',
      'Signing with a token needs the package pkcs11js: `npm install --global pkcs11js` beside hearth (a C++ compiler builds it).',
      {
        cause: error,
      },
    );
  })) as { readonly PKCS11?: new () => Library; readonly default?: { readonly PKCS11: new () => Library } };
  const Pkcs11 = module.PKCS11 ?? module.default!.PKCS11;
  const library = new Pkcs11();
  try {
    library.load(path);
    library.C_Initialize();
    return library;
  } catch (error) {
    throw new HearthError('token_unavailable', `${path} cannot be loaded as a PKCS#11 library.`, { cause: error });
  }
}

function findSlot(library: Library, { token, serial, slotId }: TokenKey): Buffer {
  const slots = library.C_GetSlotList(true).filter((slot) => {
    const info = library.C_GetTokenInfo(slot);
    if (token !== null && info.label.trimEnd() !== token) return false;
    if (serial !== null && info.serialNumber.trimEnd() !== serial) return false;
    return slotId === null || Number(slot.readBigUInt64LE()) === slotId;
  });
  if (slots.length === 1) return slots[0]!;
  throw new HearthError(
    'token_unavailable',
    slots.length === 0 ? 'No token here is the one of the URI.' : 'Several tokens fit the URI; name one by token, serial or slot-id.',
  );
}

function login(library: Library, session: Buffer, pin: string): void {
  try {
    library.C_Login(session, CKU_USER, pin);
  } catch (error) {
    throw new HearthError('passphrase_wrong', 'The token does not take the PIN.', { cause: error });
  }
}

function findObject(library: Library, session: Buffer, { object, id }: TokenKey, kind: number): Buffer {
  const template: Attribute[] = [{ type: CKA.class, value: kind }];
  if (object !== null) template.push({ type: CKA.label, value: object });
  if (id !== null) template.push({ type: CKA.id, value: id });
  library.C_FindObjectsInit(session, template);
  const found = library.C_FindObjects(session, 2);
  library.C_FindObjectsFinal(session);
  if (found.length === 1) return found[0]!;
  const what = kind === CKO_PRIVATE_KEY ? 'private' : 'public';
  throw new HearthError(
    'token_unavailable',
    found.length === 0 ? `The token has no ${what} key of that name.` : `The token has several ${what} keys of that name; add id=%… to the URI.`,
  );
}

function readPublicKey(library: Library, session: Buffer, key: Buffer): KeyObject {
  const [parameters, point] = library.C_GetAttributeValue(session, key, [{ type: CKA.ecParams }, { type: CKA.ecPoint }]);
  const raw = unwrapPoint(point!.value);
  const algorithm = der(0x30, Buffer.concat([Buffer.from('06072a8648ce3d0201', 'hex'), parameters!.value]));
  const spki = der(0x30, Buffer.concat([algorithm, der(0x03, Buffer.concat([Buffer.from([0]), raw]))]));
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch (error) {
    throw new HearthError('sig_key_type', 'The key on the token is no EC key on a named curve.', { cause: error });
  }
}

/** Most tokens wrap the point into an OCTET STRING, as the standard asks; some give it bare. */
function unwrapPoint(value: Buffer): Buffer {
  if (value[0] !== 0x04 || value.length < 3) return value;
  const long = value[1]! === 0x81;
  const length = long ? value[2]! : value[1]!;
  const start = long ? 3 : 2;
  return length === value.length - start && value[start] === 0x04 ? value.subarray(start) : value;
}

/** SEQUENCE of two INTEGERs: what the bundle holds. */
const derSignature = (r: Buffer, s: Buffer): Buffer => der(0x30, Buffer.concat([derInteger(r), derInteger(s)]));

function derInteger(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Buffer.from([0]) : bytes.subarray(first);
  return der(0x02, digits[0]! >= 0x80 ? Buffer.concat([Buffer.from([0]), digits]) : digits);
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}
