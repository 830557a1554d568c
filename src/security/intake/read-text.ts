import { isUtf8 } from 'node:buffer';
import { constants, open } from 'node:fs/promises';
import { HearthError } from '../../core/index.ts';

/** The first bytes of a regular file, and whether they are all of it. A pipe of that name is not waited for. Errors: file_system_error. */
export async function readHead(path: string, bytes: number): Promise<{ readonly head: Uint8Array; readonly whole: boolean }> {
  await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: Error) => {
    throw new HearthError('file_system_error', `${path} could not be opened: ${cause.message}`, { cause });
  });
  const info = await handle.stat();
  if (!info.isFile()) throw new HearthError('file_system_error', `${path} is not a regular file.`);
  const buffer = Buffer.alloc(Math.min(bytes, info.size));
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return { head: buffer.subarray(0, filled), whole: info.size <= bytes };
}

/** The text of a file of at most `limitBytes`; null: it is larger, or not UTF-8. */
export async function readStrictText(path: string, limitBytes: number): Promise<string | null> {
  const { head, whole } = await readHead(path, limitBytes);
  return whole && isUtf8(head) ? Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('utf8') : null;
}
