import { chmodSync, lstatSync, readdirSync, rmSync } from 'node:fs';
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

/** Files under which new content is written before it takes its name (core, atomic files). */
const TEMPORARY = /^\.[0-9a-f]{16}\.tmp$/;
const OLD_MS = 600_000;

/** Removes what writers that were killed left behind; younger ones may still be at work. Gives how many it removed. */
export function sweepTemporaries(home: string, now: number = Date.now()): number {
  let removed = 0;
  for (const directory of [home, ...['run', 'state', 'logs', 'trust', 'keys', 'audit', 'captures', 'config.backups'].map((name) => join(home, name))]) {
    let names: readonly string[] = [];
    try {
      names = readdirSync(directory).filter((name) => TEMPORARY.test(name));
    } catch {
      // There is no such directory yet.
    }
    for (const name of names) {
      const path = join(directory, name);
      const facts = lstatSync(path, { throwIfNoEntry: false });
      if (facts === undefined || !facts.isFile() || now - facts.mtimeMs < OLD_MS) continue;
      rmSync(path, { force: true });
      removed += 1;
    }
  }
  return removed;
}
