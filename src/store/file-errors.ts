import type { ErrorCode } from '../contract/index.ts';
import { HearthError, isHearthError } from '../core/index.ts';

/** What the system said of a file, in the words of the error table; anything unforeseen becomes the given code. */
export function toStoreError(error: unknown, otherwise: ErrorCode): HearthError {
  if (isHearthError(error)) return error;
  const { code, path, message } = error as NodeJS.ErrnoException;
  const where = path === undefined ? '' : ` at ${path}`;
  if (code === 'ENOSPC' || code === 'EDQUOT') return new HearthError('insufficient_space', `The disk is full${where}.`, { cause: error });
  if (code === 'EACCES' || code === 'EPERM') return new HearthError('permission_denied', `The system does not allow it${where}.`, { cause: error });
  if (code !== undefined && ['EROFS', 'EMFILE', 'EIO', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'].includes(code))
    return new HearthError('file_system_error', `The system says ${code}${where}.`, { cause: error });
  return new HearthError(otherwise, message, { cause: error });
}
