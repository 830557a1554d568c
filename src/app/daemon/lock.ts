import { DatabaseSync } from 'node:sqlite';
import { checkManagedFile, HearthError } from '../../core/index.ts';

export interface DaemonLock {
  release(): void;
}

/**
 * Takes the lock of a home: an exclusive transaction on an open SQLite connection, which the kernel ends with the process
 * whatever kills it. Returns null when another process holds it.
 */
export function takeDaemonLock(path: string): DaemonLock | null {
  checkManagedFile(path);
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
  } catch (error) {
    throw new HearthError('file_system_error', `The lock file ${path} could not be opened.`, { cause: error });
  }
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE;');
  } catch (error) {
    database.close();
    if (error instanceof Error && /locked|busy/i.test(error.message)) return null;
    throw new HearthError('file_system_error', `The lock file ${path} could not be locked.`, { cause: error });
  }
  return {
    release() {
      if (database.isOpen) database.close();
    },
  };
}
