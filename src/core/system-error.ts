import { HearthError } from './hearth-error.ts';

const WORDS: Readonly<Record<string, string>> = {
  EROFS: 'The file system is read-only',
  ENOTDIR: 'A file is where a directory is needed',
  EISDIR: 'A directory is where a file is needed',
  ENOENT: 'No such file or directory',
  EEXIST: 'Something is there already',
  ENAMETOOLONG: 'The name is too long',
  ELOOP: 'Links lead in a circle',
  EMFILE: 'Too many files are open',
  EIO: 'The disk failed',
};

/** What the operating system said of a file, in the words of the error table; null for every other error. `place` is named where the system names none: a write knows no path. */
export function systemError(error: unknown, place?: string): HearthError | null {
  if (!(error instanceof Error) || !('syscall' in error)) return null;
  const { code = '', path = place } = error as NodeJS.ErrnoException;
  const where = path === undefined ? '' : `: ${path}`;
  const options = { cause: error };
  if (code === 'ENOSPC' || code === 'EDQUOT') return new HearthError('insufficient_space', `The disk is full${where}.`, options);
  if (code === 'EACCES' || code === 'EPERM') return new HearthError('permission_denied', `Permission denied${where}.`, options);
  const words = WORDS[code];
  return words === undefined ? null : new HearthError('file_system_error', `${words}${where} (${code}).`, options);
}
