import { open } from 'node:fs/promises';

/** A digest, or several at once. */
export interface ByteSink {
  update(bytes: Uint8Array): unknown;
}

export interface HashedRange {
  /** First byte; 0. */
  readonly start?: number;
  /** Behind the last byte; the end of the file. */
  readonly end?: number;
  readonly signal?: AbortSignal | undefined;
}

const BUFFER_BYTES = 1024 * 1024;

/** Adds bytes of a file to a digest, through one buffer: those of a stream would be garbage of the size of the file. */
export async function hashFile(sink: ByteSink, path: string, { start = 0, end = Number.POSITIVE_INFINITY, signal }: HashedRange = {}): Promise<void> {
  await using file = await open(path, 'r');
  const buffer = new Uint8Array(BUFFER_BYTES);
  for (let at = start; at < end; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, Math.min(BUFFER_BYTES, end - at), at);
    if (bytesRead === 0) return;
    sink.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}
