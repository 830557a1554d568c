import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { identityOf, sameIdentity } from './file-identity.ts';
import type { FileIdentity } from './types.ts';

/** One file to hash, in a thread or here. */
export interface HashWork {
  readonly source: string;
  /** null: whatever is there, of `sizeBytes`. */
  readonly identity: FileIdentity | null;
  readonly sizeBytes: number;
  /** SHA-256 of the content, or git's SHA-1 over `blob <size>\0` and the content. */
  readonly algorithm: 'sha256' | 'git-sha1';
  /** Digests of pieces of this many bytes (Infinity: one piece), made in the same pass. */
  readonly pieces?: { readonly algorithm: 'sha256' | 'blake2b512'; readonly sizeBytes: number };
}

export type HashResult =
  | { readonly kind: 'hashed'; readonly digest: string; readonly pieces: readonly string[] }
  | { readonly kind: 'changed' }
  | { readonly kind: 'unreadable'; readonly reason: string };

const BUFFER_BYTES = 1024 * 1024;
let buffer: Buffer | null = null;

/** Hashes one file by its descriptor; a file that is not the one that was walked, before or after, has changed. `onBytes` returns true to stop. */
export function hashFileNow(work: HashWork, onBytes: (bytes: number) => boolean): HashResult {
  let descriptor: number;
  try {
    descriptor = openSync(work.source, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    return code === 'ENOENT' || code === 'ELOOP' ? { kind: 'changed' } : { kind: 'unreadable', reason: code };
  }
  try {
    const before = fstatSync(descriptor, { bigint: true });
    const identity = identityOf(before);
    if (!before.isFile() || identity.size !== work.sizeBytes || (work.identity !== null && !sameIdentity(identity, work.identity))) return { kind: 'changed' };
    const result = hashDescriptor(descriptor, work, onBytes);
    return sameIdentity(identity, identityOf(fstatSync(descriptor, { bigint: true }))) ? result : { kind: 'changed' };
  } catch (error) {
    return { kind: 'unreadable', reason: (error as NodeJS.ErrnoException).code ?? String(error) };
  } finally {
    closeSync(descriptor);
  }
}

function hashDescriptor(descriptor: number, work: HashWork, onBytes: (bytes: number) => boolean): HashResult {
  buffer ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
  const whole = work.algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${work.sizeBytes}\0`);
  const { pieces } = work;
  const digests: string[] = [];
  let piece = pieces === undefined || work.sizeBytes === 0 ? null : createHash(pieces.algorithm);
  let pieceLeft = pieces?.sizeBytes ?? 0;
  for (let done = 0; done < work.sizeBytes; ) {
    const want = Math.min(BUFFER_BYTES, work.sizeBytes - done, piece === null ? BUFFER_BYTES : pieceLeft);
    const read = readSync(descriptor, buffer, 0, want, done);
    if (read === 0) return { kind: 'changed' };
    const bytes = buffer.subarray(0, read);
    whole.update(bytes);
    done += read;
    if (piece !== null) {
      piece.update(bytes);
      pieceLeft -= read;
      if (pieceLeft === 0 || done === work.sizeBytes) {
        digests.push(piece.digest('hex'));
        piece = done === work.sizeBytes ? null : createHash(pieces!.algorithm);
        pieceLeft = pieces!.sizeBytes;
      }
    }
    if (onBytes(read)) return { kind: 'unreadable', reason: 'stopped' };
  }
  // A file without a byte has no shards, but as a file it has a digest like any other.
  if (pieces !== undefined && work.sizeBytes === 0 && pieces.sizeBytes === Number.POSITIVE_INFINITY) digests.push(createHash(pieces.algorithm).digest('hex'));
  return { kind: 'hashed', digest: whole.digest('hex'), pieces: digests };
}
