import { createHash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { ApiKeyRecord, KeyPolicy } from '../../contract/index.ts';
import { type Clock, HearthError, isHearthError, makePrivateDirectorySync, prepareManagedDatabase } from '../../core/index.ts';

/** `hth_<12 id>_<43 base64url>`: the id finds the row, the 256 random bits prove the right. */
const KEY = /^hth_([a-z0-9]{12})_([A-Za-z0-9_-]{43})$/;
const ID_LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

export interface NewApiKey {
  readonly name: string | null;
  readonly policy: KeyPolicy;
  readonly expiresAtMs: number | null;
}

export interface ApiKeyStore {
  /** The only time that the key itself is told. */
  create(wish: NewApiKey): { readonly key: string; readonly record: ApiKeyRecord };
  /** Newest first. */
  list(): ApiKeyRecord[];
  /** null when there is no such key. */
  revoke(id: string): ApiKeyRecord | null;
  /** The key's record, or null: malformed, unknown, revoked and expired ones take the same steps. */
  verify(key: string): ApiKeyRecord | null;
  /** Whether some key could be used now. */
  any(): boolean;
  close(): void;
}

export interface ApiKeyStoreOptions {
  /** Absolute path of `access.sqlite`; made with the first key, 0600. */
  readonly path: string;
  readonly clock: Clock;
}

/** For a process without a home: it has no keys, and makes none. */
export const NO_API_KEYS: ApiKeyStore = {
  create() {
    throw new HearthError('not_implemented', 'This process keeps no API keys.');
  },
  list: () => [],
  revoke: () => null,
  verify: () => null,
  any: () => false,
  close() {},
};

type Row = Record<'id' | 'policy', string> & { name: string | null; created_ms: number; expires_ms: number | null; revoked_ms: number | null };

/** API keys in one SQLite file: of each the SHA-256 of its secret, never the secret (docs/spec/security.md §10). */
export function createApiKeyStore({ path, clock }: ApiKeyStoreOptions): ApiKeyStore {
  let opened: DatabaseSync | null = null;

  /** null where no key was ever made: nothing is written for a look. */
  function database(make: boolean): DatabaseSync | null {
    if (opened) return opened;
    if (!make && !existsSync(path)) return null;
    openPrivate(path);
    opened = new DatabaseSync(path, { timeout: 5000 });
    opened.exec(
      'CREATE TABLE IF NOT EXISTS api_keys (id TEXT PRIMARY KEY, hash BLOB NOT NULL, name TEXT, policy TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER, revoked_ms INTEGER) STRICT',
    );
    return opened;
  }

  return {
    create({ name, policy, expiresAtMs }) {
      const id = Array.from({ length: 12 }, () => ID_LETTERS[randomInt(ID_LETTERS.length)]).join('');
      const secret = randomBytes(32).toString('base64url');
      const row: Row = { id, name, policy: JSON.stringify(policy), created_ms: clock.now(), expires_ms: expiresAtMs, revoked_ms: null };
      database(true)!
        .prepare('INSERT INTO api_keys (id, hash, name, policy, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?)')
        .run(id, sha256(secret), name, row.policy, row.created_ms, expiresAtMs);
      return { key: `hth_${id}_${secret}`, record: recordOf(row) };
    },

    list() {
      const rows = database(false)?.prepare('SELECT * FROM api_keys ORDER BY created_ms DESC, id').all() ?? [];
      return (rows as unknown as Row[]).map(recordOf);
    },

    revoke(id) {
      const known = database(false);
      known?.prepare('UPDATE api_keys SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL').run(clock.now(), id);
      const row = known?.prepare('SELECT * FROM api_keys WHERE id = ?').get(id) as Row | undefined;
      return row ? recordOf(row) : null;
    },

    verify(key) {
      const [, id = '', secret = ''] = KEY.exec(key) ?? [];
      const row = database(false)?.prepare('SELECT * FROM api_keys WHERE id = ?').get(id) as (Row & { hash: Uint8Array }) | undefined;
      // The comparison is made in every case, and before dates are looked at: how long it takes tells nothing.
      const equal = timingSafeEqual(sha256(secret), row?.hash ?? NOBODY);
      const now = clock.now();
      const usable = row !== undefined && row.revoked_ms === null && (row.expires_ms === null || now < row.expires_ms);
      return equal && usable ? recordOf(row) : null;
    },

    any() {
      const row = database(false)
        ?.prepare('SELECT 1 FROM api_keys WHERE revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > ?) LIMIT 1')
        .get(clock.now());
      return row !== undefined;
    },

    close() {
      opened?.close();
      opened = null;
    },
  };
}

/** Compared with where there is no such key; no secret has this hash that anybody could find. */
const NOBODY = randomBytes(32);

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Makes the file for its owner alone, and follows no link. */
function openPrivate(path: string): void {
  try {
    makePrivateDirectorySync(dirname(path));
    prepareManagedDatabase(path);
  } catch (error) {
    if (isHearthError(error)) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new HearthError('permission_denied', `The file of the API keys ${path} could not be opened (${code}).`, { cause: error });
  }
}

const timeOf = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

const recordOf = ({ id, name, policy, created_ms, expires_ms, revoked_ms }: Row): ApiKeyRecord => ({
  id,
  name,
  policy: JSON.parse(policy) as KeyPolicy,
  createdAt: new Date(created_ms).toISOString(),
  expiresAt: timeOf(expires_ms),
  revokedAt: timeOf(revoked_ms),
});
