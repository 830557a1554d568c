import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, HearthError, makeManagedFile, makePrivateDirectory, type SecurityActor, systemClock, systemError } from '../../core/index.ts';
import { hintOf, spkiPem } from '../signing/ec-key.ts';
import { parsePrivateKey, readPrivateFile, requireCurve } from '../signing/signer.ts';
import type { Trust } from './create-trust.ts';
import { type KeyState, keyState, type TrustedKey, type TrustPolicy } from './policy.ts';

export const CURVES = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' } as const;
export type Curve = keyof typeof CURVES;
export type KeyRole = TrustedKey['role'];

/** A key of the policy as its owner sees it; never the private half. */
export interface SigningKeyRow {
  readonly id: string;
  readonly key: TrustedKey;
  readonly state: KeyState;
  /** Its private half is in `<home>/keys/`. */
  readonly signs: boolean;
}

export interface NewKey {
  readonly curve: Curve;
  readonly role: KeyRole;
  readonly models: readonly string[];
  readonly name?: string;
  /** The private key is kept under it. */
  readonly passphrase?: string;
}

export interface Rotation {
  /** How long both are valid. */
  readonly overlapMs: number;
  /** Of the new key. */
  readonly passphrase?: string;
}

export interface ImportedKey {
  /** A public key (SPKI) or a private one (PKCS#8, SEC1), in PEM. */
  readonly pem: string;
  readonly passphrase?: string;
  readonly role: KeyRole;
  readonly models: readonly string[];
  readonly name?: string;
  /** Trusted only once another person approves: the id of who asked. */
  readonly pendingBy?: string;
}

/** Keys that sign models, and those of others that may vouch for some (docs/spec/security.md §3). An id may be cut to 8 characters. */
export interface SigningKeys {
  create(wish: NewKey, actor?: SecurityActor): Promise<SigningKeyRow>;
  import(wish: ImportedKey, actor?: SecurityActor): Promise<SigningKeyRow>;
  list(): readonly SigningKeyRow[];
  /** Throws signing_key_not_found, ambiguous_match. */
  find(id: string): SigningKeyRow;
  /** A new key of the same curve, role and models; both are valid until the old one retires. One under a passphrase has a successor under one. */
  rotate(id: string, how: Rotation, actor?: SecurityActor): Promise<{ readonly old: SigningKeyRow; readonly fresh: SigningKeyRow }>;
  retire(id: string, atMs: number, actor?: SecurityActor): Promise<SigningKeyRow>;
  /** At once and for good: everything that it signed is refused. */
  revoke(id: string, reason: string, actor?: SecurityActor): Promise<SigningKeyRow>;
  /** Throws permission_denied for the one who asked for it. */
  approve(id: string, by: string, actor?: SecurityActor): Promise<SigningKeyRow>;
  /** File of the private half of an active key. Throws signing_key_not_found where it is not here. */
  privateKeyPath(id: string): string;
}

export interface SigningKeysOptions {
  readonly home: string;
  readonly trust: Pick<Trust, 'policy' | 'change'>;
  readonly clock?: Clock;
  /** Asked before a private key is made or taken: keeps it out of crash images. */
  readonly beforePrivate?: () => Promise<unknown>;
}

export function createSigningKeys({ home, trust, clock = systemClock, beforePrivate = async () => {} }: SigningKeysOptions): SigningKeys {
  const directory = join(home, 'keys');
  const fileOf = (hint: string): string => join(directory, `${hint}.pem`);
  const rowOf = (key: TrustedKey): SigningKeyRow => ({
    id: key.hint,
    key,
    state: revokedHere(trust.policy(), key.hint) ? 'revoked' : keyState(key, clock.now()),
    signs: existsSync(fileOf(key.hint)),
  });

  function find(id: string): SigningKeyRow {
    const keys = /^[0-9a-f]{8,64}$/.test(id) ? trust.policy().keys.filter(({ hint }) => hint.startsWith(id)) : [];
    if (keys.length > 1)
      throw new HearthError('ambiguous_match', `${id} fits ${keys.length} keys; type more of it.`, { details: { matches: keys.map(({ hint }) => hint) } });
    if (keys[0] === undefined) throw new HearthError('signing_key_not_found', `There is no signing key ${id.slice(0, 64)}.`, { details: { param: 'id' } });
    return rowOf(keys[0]);
  }

  /** Made for its owner alone, and never over another one. */
  async function keepPrivate(key: KeyObject, passphrase?: string): Promise<void> {
    await makePrivateDirectory(directory);
    const pem = key.export({ type: 'pkcs8', format: 'pem', ...(passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase }) });
    if (!makeManagedFile(fileOf(hintOf(key)), pem)) throw new HearthError('invalid_argument', 'The private half of this key is here already.');
  }

  const add = async (key: TrustedKey, actor: SecurityActor | undefined, event: 'key.add' | 'key.rotate' = 'key.add'): Promise<SigningKeyRow> => {
    await trust.change(eventOf(event, key.hint, actor, { role: key.role, pending: key.pending !== undefined }), (policy) => {
      if (policy.keys.some(({ hint }) => hint === key.hint))
        throw new HearthError('invalid_argument', `The key ${key.hint.slice(0, 12)} is known already; \`hearth keys list\` shows it.`);
      return { ...policy, keys: [...policy.keys, key] };
    });
    return find(key.hint);
  };

  const update = async (
    event: 'key.add' | 'key.rotate' | 'key.revoke',
    id: string,
    actor: SecurityActor | undefined,
    edit: (key: TrustedKey) => TrustedKey,
  ) => {
    const { key } = find(id);
    await trust.change(eventOf(event, key.hint, actor, {}), (policy) => ({
      ...policy,
      keys: policy.keys.map((one) => (one.hint === key.hint ? edit(one) : one)),
    }));
    return find(key.hint);
  };

  return {
    find,

    async create({ curve, role, models, name, passphrase }, actor) {
      await beforePrivate();
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: CURVES[curve] });
      await keepPrivate(privateKey, passphrase);
      return await add(entryOf(privateKey, { role, models, ...(name === undefined ? {} : { name }) }, clock.now()), actor);
    },

    list: () => trust.policy().keys.map(rowOf),

    async import({ pem, passphrase, role, models, name, pendingBy }, actor) {
      if (pem.includes('PRIVATE KEY')) await beforePrivate();
      const key = pem.includes('PRIVATE KEY') ? await parsePrivateKey(pem, async () => passphrase ?? '') : publicKeyOf(pem);
      const pending = pendingBy === undefined ? {} : { pending: { by: pendingBy, at: clock.now() } };
      const entry = { ...entryOf(key, { role, models, ...(name === undefined ? {} : { name }) }, clock.now()), ...pending };
      if (key.type === 'private') await keepPrivate(key, passphrase);
      return await add(entry, actor);
    },

    async rotate(id, { overlapMs, passphrase }, actor) {
      const before = find(id);
      if (before.state !== 'active' || !before.signs)
        throw new HearthError(
          'invalid_argument',
          `The key ${before.id.slice(0, 12)} is ${before.signs ? before.state : 'not one whose private half is here'}: there is nothing to rotate.`,
        );
      if (passphrase === undefined && (await readPrivateFile(fileOf(before.id))).includes('ENCRYPTED'))
        throw new HearthError(
          'invalid_argument',
          `The key ${before.id.slice(0, 12)} is kept under a passphrase, so its successor is too: name one with --passphrase-env or --passphrase-fd.`,
        );
      await beforePrivate();
      const { role, models, name, pem } = before.key;
      const curve = (Object.keys(CURVES) as Curve[]).find((one) => CURVES[one] === createPublicKey(pem ?? '').asymmetricKeyDetails?.namedCurve)!;
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: CURVES[curve] });
      await keepPrivate(privateKey, passphrase);
      const fresh = await add(entryOf(privateKey, { role, models, ...(name === undefined ? {} : { name }) }, clock.now()), actor, 'key.rotate');
      const retireAt = clock.now() + overlapMs;
      await trust.change({ event: 'config.change', details: { what: 'key', action: 'retire', key: before.id } }, (policy) => ({
        ...policy,
        keys: policy.keys.map((one) => (one.hint === before.id ? { ...one, retireAt } : one)),
      }));
      return { old: find(before.id), fresh };
    },

    retire: (id, atMs, actor) => update('key.rotate', id, actor, (key) => ({ ...key, retireAt: atMs })),

    async revoke(id, reason, actor) {
      const { key } = find(id);
      const at = clock.now();
      await trust.change({ ...eventOf('key.revoke', key.hint, actor, {}), reason: 'revoked' }, (policy) => ({
        ...policy,
        keys: policy.keys.map((one) => (one.hint === key.hint ? { ...one, revokedAt: at } : one)),
        revoked: [...policy.revoked, { hint: key.hint, at, reason }],
      }));
      return find(key.hint);
    },

    async approve(id, by, actor) {
      const { key } = find(id);
      if (key.pending === undefined) throw new HearthError('invalid_argument', `The key ${key.hint.slice(0, 12)} waits for nobody.`);
      if (key.pending.by === by)
        throw new HearthError('permission_denied', 'A key is approved by another person than the one who imported it: use another admin key.');
      return await update('key.add', id, actor, ({ pending: _, ...rest }) => rest);
    },

    privateKeyPath(id) {
      const row = find(id);
      if (row.state !== 'active') throw new HearthError('invalid_argument', `The key ${row.id.slice(0, 12)} is ${row.state} and signs no longer.`);
      if (!row.signs) throw new HearthError('signing_key_not_found', `The private half of ${row.id.slice(0, 12)} is not on this machine.`);
      return fileOf(row.id);
    },
  };
}

const revokedHere = (policy: TrustPolicy, id: string): boolean => policy.revoked.some(({ hint }) => hint === id);

const eventOf = (event: 'key.add' | 'key.rotate' | 'key.revoke', key: string, actor: SecurityActor | undefined, details: Record<string, unknown>) => ({
  event,
  ...(actor === undefined ? {} : { actor }),
  details: { key, ...details },
});

function entryOf(key: KeyObject, more: { readonly role: KeyRole; readonly models: readonly string[]; readonly name?: string }, now: number): TrustedKey {
  requireCurve(key);
  return {
    hint: hintOf(key),
    role: more.role,
    kind: 'key',
    ...(more.name === undefined ? {} : { name: more.name }),
    pem: spkiPem(key),
    models: [...more.models],
    createdAt: now,
  };
}

function publicKeyOf(pem: string): KeyObject {
  try {
    return createPublicKey(pem);
  } catch (cause) {
    throw new HearthError('invalid_argument', 'This is neither a public key (SPKI) nor a private one in PEM.', { cause });
  }
}

const MAX_PEM_BYTES = 64 * 1024;

/** A key file that the user names, in PEM. One that holds a private key is refused (unsafe_path) where others may read it. */
export async function readKeyFile(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > MAX_PEM_BYTES) throw new HearthError('invalid_argument', `${path} is too large for a key.`);
    const text = await readFile(path, 'utf8');
    return text.includes('PRIVATE KEY') ? await readPrivateFile(path) : text;
  } catch (error) {
    throw systemError(error, path) ?? error;
  }
}
