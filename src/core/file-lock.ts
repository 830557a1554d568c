import { closeSync, constants, openSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { HearthError } from './hearth-error.ts';
import { checkManagedFile } from './managed-file.ts';

/** A lock between processes that the kernel gives back when its holder dies, whatever kills it. */
export interface FileLock {
  /** False while another process holds it. Throws file_system_error, unsafe_path. */
  take(): boolean;
  release(): void;
  /** Gives it back too. */
  close(): void;
}

/** An exclusive transaction on an open SQLite connection. `waitMs` is how long a taker stands still for another one. */
export function openFileLock(path: string, { waitMs = 0 }: { readonly waitMs?: number } = {}): FileLock {
  let database: DatabaseSync | null = null;

  function opened(): DatabaseSync {
    if (database !== null) return database;
    if (!checkManagedFile(path)) makePrivate(path);
    // Loaded here: most commands take no lock, and start faster without it.
    const sqlite = process.getBuiltinModule('node:sqlite');
    try {
      database = new sqlite.DatabaseSync(path, { timeout: waitMs });
      return database;
    } catch (error) {
      throw new HearthError('file_system_error', `The lock file ${path} could not be opened.`, { cause: error });
    }
  }

  return {
    take() {
      const connection = opened();
      try {
        connection.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE;');
        return true;
      } catch (error) {
        if (error instanceof Error && /locked|busy/i.test(error.message)) return false;
        throw new HearthError('file_system_error', `The lock file ${path} could not be locked.`, { cause: error });
      }
    },
    release() {
      if (database?.isTransaction) database.exec('ROLLBACK');
    },
    close() {
      if (database?.isOpen) database.close();
      database = null;
    },
  };
}

/** SQLite would make it as open as the umask lets it. */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
  } catch (error) {
    throw new HearthError('file_system_error', `The lock file ${path} could not be made.`, { cause: error });
  }
}
