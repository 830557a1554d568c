import { chmodSync, lstatSync } from 'node:fs';
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
