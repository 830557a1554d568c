import { chmodSync, lstatSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { HearthError, makePrivateDirectorySync, systemError } from '../../core/index.ts';

/** Makes the home and the directories of a daemon, 0700 and ours. Errors: home_not_owned, unsafe_path, permission_denied. */
export function prepareHome(home: string, socket: string, onTightened: (path: string) => void): void {
  for (const path of [home, join(home, 'run'), join(home, 'state'), join(home, 'logs'), dirname(socket)]) preparePrivateDirectory(path, onTightened);
}

function preparePrivateDirectory(path: string, onTightened: (path: string) => void): void {
  try {
    makePrivateDirectorySync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' || code === 'ENOTDIR') throw new HearthError('unsafe_path', `${path} is in the way: it is not a directory.`, { cause: error });
    throw systemError(error, path) ?? new HearthError('permission_denied', `${path} could not be made (${code}).`, { cause: error });
  }
  const facts = lstatSync(path);
  if (facts.isSymbolicLink() || !facts.isDirectory()) throw new HearthError('unsafe_path', `${path} is a link or no directory; hearth keeps nothing there.`);
  const uid = process.geteuid?.();
  if (uid !== undefined && facts.uid !== uid) throw new HearthError('home_not_owned', `${path} belongs to another user (uid ${facts.uid}).`);
  if ((facts.mode & 0o077) !== 0) {
    chmodSync(path, 0o700);
    onTightened(path);
  }
}
