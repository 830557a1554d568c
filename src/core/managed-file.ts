import { chmodSync, closeSync, constants, fstatSync, fsyncSync, lstatSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { syncDirectoryNow, writeFileAtomic } from './atomic-file.ts';
import { HearthError } from './hearth-error.ts';

/**
 * Looks at a file that hearth keeps in a private directory before it is opened: false when there is none. A link, another kind of file, a second
 * name or another owner is refused (unsafe_path) and left as it is; a mode that lets others in is tightened and told.
 */
export function checkManagedFile(path: string, onTightened: (path: string) => void = () => {}): boolean {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  if (facts === undefined) return false;
  if (!facts.isFile()) throw new HearthError('unsafe_path', `${path} is a link or no regular file; hearth does not open it.`);
  if (facts.nlink !== 1) throw new HearthError('unsafe_path', `${path} has a second name (hard link); hearth does not open it.`);
  const uid = process.geteuid?.();
  if (uid !== undefined && facts.uid !== uid) throw new HearthError('unsafe_path', `${path} belongs to another user (uid ${facts.uid}).`);
  if ((facts.mode & 0o077) !== 0) {
    chmodSync(path, 0o600);
    onTightened(path);
  }
  return true;
}

/** Its text; null when there is none. */
export const readManagedFile = (path: string, onTightened?: (path: string) => void): string | null =>
  readManagedBytes(path, onTightened)?.toString('utf8') ?? null;

/** Its content; null when there is none. What stands there when it is opened is looked at once more: names can be given to others meanwhile. */
export function readManagedBytes(path: string, onTightened?: (path: string) => void): Buffer | null {
  if (!checkManagedFile(path, onTightened)) return null;
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const facts = fstatSync(file);
    if (!facts.isFile() || facts.nlink !== 1) throw new HearthError('unsafe_path', `${path} is a link or no regular file; hearth does not open it.`);
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

/** Puts the whole text in its place, unless something that hearth did not make stands there. */
export async function writeManagedFile(path: string, text: string): Promise<void> {
  checkManagedFile(path);
  await writeFileAtomic(path, text);
}

/** Makes it for its owner alone, and never over another one: false where something stands there, which stays as it is. On the disk when it returns. */
export function makeManagedFile(path: string, content: string | Uint8Array): boolean {
  let file: number;
  try {
    file = openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  try {
    writeFileSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  syncDirectoryNow(dirname(path));
  return true;
}

/** Before SQLite opens it, which follows links and makes files as open as the umask lets it: the file, for its owner alone, and those beside it. */
export function prepareManagedDatabase(path: string): void {
  for (const beside of ['-journal', '-wal', '-shm']) checkManagedFile(`${path}${beside}`);
  if (checkManagedFile(path)) return;
  closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
}
