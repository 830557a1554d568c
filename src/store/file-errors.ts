import type { ErrorCode } from '../contract/index.ts';
import { HearthError, isHearthError, systemError } from '../core/index.ts';

/** What the system said of a file, in the words of the error table; anything unforeseen becomes the given code. `place` is named where the system names none. */
export function toStoreError(error: unknown, otherwise: ErrorCode, place?: string): HearthError {
  if (isHearthError(error)) return error;
  return systemError(error, place) ?? new HearthError(otherwise, error instanceof Error ? error.message : String(error), { cause: error });
}
