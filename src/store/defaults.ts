import { statfs } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';

/** Bytes that this user may still write on the file system of a directory. */
export async function freeSpaceOf(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

/** Rejects with an AbortError when the signal fires. */
export async function sleepFor(ms: number, signal?: AbortSignal): Promise<void> {
  await wait(ms, undefined, signal === undefined ? {} : { signal });
}
