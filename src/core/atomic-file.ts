import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { constants, type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * Fills a file of a random name in the same directory by `write`, then fsync, rename and fsync of the directory:
 * a reader sees the old content or the new one, whenever the process dies. A failed `write` leaves nothing.
 */
export async function replaceFile(path: string, mode: number, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(8).toString('hex')}.tmp`);
  const file = await open(temporary, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, mode);
  try {
    await write(file);
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** `replaceFile` with content that is at hand. */
export const writeFileAtomic = (path: string, data: string | Uint8Array, mode = 0o600): Promise<void> =>
  replaceFile(path, mode, (file) => file.writeFile(data));

export async function syncDirectory(path: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, constants.O_RDONLY);
    await handle.sync();
  } catch {
    // Some file systems refuse fsync of a directory; the rename itself has happened.
  } finally {
    await handle?.close();
  }
}

/** The same at once, for who holds a lock meanwhile. */
export function syncDirectoryNow(path: string): void {
  const directory = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(directory);
  } catch {
    // As above: what is in it is synced.
  } finally {
    closeSync(directory);
  }
}
