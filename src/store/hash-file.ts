import type { Hash } from 'node:crypto';
import { open } from 'node:fs/promises';

const BUFFER_BYTES = 1024 * 1024;

/** Adds the bytes of a file to a digest, through one buffer: those of a stream would be garbage of the size of the file. */
export async function hashFile(hash: Hash, path: string, signal?: AbortSignal): Promise<void> {
  await using file = await open(path, 'r');
  const buffer = new Uint8Array(BUFFER_BYTES);
  for (let length = BUFFER_BYTES; length > 0; ) {
    signal?.throwIfAborted();
    length = (await file.read(buffer, 0, BUFFER_BYTES)).bytesRead;
    hash.update(buffer.subarray(0, length));
  }
}
