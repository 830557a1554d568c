import { createHmac, timingSafeEqual } from 'node:crypto';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkManagedFile, makePrivateDirectory, prepareManagedDatabase } from '../../core/index.ts';
import type { InstallKey } from './install-key.ts';

export type StateKind = 'file' | 'verdict' | 'model' | 'output';

export interface StateRow {
  readonly kind: StateKind;
  readonly key: string;
  readonly value: unknown;
}

/** How long rows wait for those of other loads. */
const GATHER_MS = 4;

/** Rows of `<home>/trust/state.db`: JSON values, each with an HMAC under the install key, so that a row that was edited or moved is seen. */
export interface StateDatabase {
  /** undefined: no such row; `tampered`: there is one, and hearth did not write it. */
  get(kind: StateKind, key: string): { readonly value: unknown } | 'tampered' | undefined;
  /** Resolves when the rows are on the disk. Rows of several loads at once share one transaction: each costs the disk a flush. */
  put(rows: readonly StateRow[]): Promise<void>;
  close(): void;
}

export function createStateDatabase(path: string, installKey: InstallKey): StateDatabase {
  let opened: DatabaseSync | null = null;
  let waiting: StateRow[] = [];
  let flushed: Promise<void> | null = null;

  /** null where nothing was ever written: a look makes no file. */
  function database(): DatabaseSync | null {
    if (opened !== null) return opened;
    if (!checkManagedFile(path)) return null;
    prepareManagedDatabase(path);
    opened = new DatabaseSync(path, { timeout: 5000 });
    opened.exec(SCHEMA);
    return opened;
  }

  async function flush(): Promise<void> {
    flushed = null;
    const rows = waiting;
    waiting = [];
    const secret = await installKey.obtain();
    await makePrivateDirectory(dirname(path));
    prepareManagedDatabase(path);
    const into = database()!;
    const insert = into.prepare('INSERT INTO state VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, mac = excluded.mac');
    into.exec('BEGIN IMMEDIATE');
    try {
      for (const { kind, key, value } of rows) {
        const text = JSON.stringify(value);
        insert.run(kind, key, text, macOf(secret, kind, key, text));
      }
      into.exec('COMMIT');
    } catch (error) {
      into.exec('ROLLBACK');
      throw error;
    }
  }

  return {
    get(kind, key) {
      const row = database()?.prepare('SELECT value, mac FROM state WHERE kind = ? AND key = ?').get(kind, key) as
        | { value: string; mac: Uint8Array }
        | undefined;
      if (row === undefined) return undefined;
      const secret = installKey.read();
      if (secret === null) return 'tampered';
      const expected = macOf(secret, kind, key, row.value);
      if (row.mac.length !== expected.length || !timingSafeEqual(row.mac, expected)) return 'tampered';
      return { value: JSON.parse(row.value) as unknown };
    },

    async put(rows) {
      if (rows.length === 0) return;
      waiting.push(...rows);
      flushed ??= sleep(GATHER_MS).then(flush);
      await flushed;
    },

    close() {
      opened?.close();
      opened = null;
    },
  };
}

const SCHEMA =
  'CREATE TABLE IF NOT EXISTS state (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, mac BLOB NOT NULL, PRIMARY KEY (kind, key)) STRICT';

const macOf = (secret: Buffer, kind: string, key: string, value: string): Buffer => createHmac('sha256', secret).update(`${kind}\0${key}\0${value}`).digest();
