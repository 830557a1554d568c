import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** The hash whose hex form names a blob: SHA-256 of the content (64 digits), or git's SHA-1 over `blob <size>\0` and the content (40). */
export function blobHash(digest: string, sizeBytes: number): Hash {
  return digest.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${sizeBytes}\0`);
}

/** Feeds the first bytes of a file into a hash. */
export async function hashFile(hash: Hash, path: string, bytes: number, signal?: AbortSignal): Promise<void> {
  if (bytes === 0) return;
  for await (const chunk of createReadStream(path, { end: bytes - 1, ...(signal === undefined ? {} : { signal }) })) hash.update(chunk as Buffer);
}
