import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { HearthError } from '../../core/index.ts';
import type { FolderFile } from './folder-files.ts';

/** Opens a listed file, and only that one: not what a link or another file put in its place. Errors: push_refused. */
export async function openListed(file: FolderFile): Promise<FileHandle> {
  const changed = (cause?: unknown): HearthError =>
    new HearthError('push_refused', `${file.path} changed while it was being pushed; nothing was committed. Run the command again when nobody writes to it.`, {
      cause,
    });
  let handle: FileHandle;
  try {
    handle = await open(file.absolute, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw code === 'ELOOP' || code === 'ENOENT' || code === 'ENOTDIR' ? changed(error) : error;
  }
  const info = await handle.stat({ bigint: true });
  if (info.isFile() && info.ino === file.inode && info.size === BigInt(file.sizeBytes) && info.mtimeNs === file.mtimeNs) return handle;
  await handle.close();
  throw changed();
}

const PIECE_BYTES = 64 * 1024;

export interface ReadOptions {
  readonly start?: number;
  readonly end?: number;
  readonly pieceBytes?: number;
  /** Pieces take turns in so many buffers; 1: the reader is done with a piece before it asks for the next. */
  readonly buffers?: number;
}

/** The bytes of a listed file in pieces; it must still be the one that was listed. Errors: push_refused. */
export async function* readListed(
  file: FolderFile,
  { start = 0, end = file.sizeBytes, pieceBytes = PIECE_BYTES, buffers = 1 }: ReadOptions = {},
): AsyncGenerator<Uint8Array, void> {
  const handle = await openListed(file);
  const ring = Array.from({ length: buffers }, () => Buffer.allocUnsafeSlow(Math.max(0, Math.min(pieceBytes, end - start))));
  let turn = 0;
  try {
    for (let at = start; at < end; ) {
      const buffer = ring[turn++ % buffers]!.subarray(0, Math.min(pieceBytes, end - at));
      let filled = 0;
      while (filled < buffer.length) {
        const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, at + filled);
        if (bytesRead === 0) throw new HearthError('push_refused', `${file.path} became shorter while it was being pushed; nothing was committed.`);
        filled += bytesRead;
      }
      at += filled;
      yield buffer;
    }
  } finally {
    await handle.close();
  }
}
