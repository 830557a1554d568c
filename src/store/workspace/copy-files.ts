import { chmod, constants, copyFile, link, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makePrivateDirectory } from '../../core/index.ts';

/** One file to bring into a workspace. */
export interface CopyItem {
  /** The real file, after links. */
  readonly from: string;
  /** Relative POSIX path in the destination. */
  readonly path: string;
  readonly sizeBytes: number;
}

export interface CopyOptions {
  /** The source is a work area that is deleted afterwards: its files change their place and cost no space. */
  readonly move?: boolean;
  /** Shares the blocks of a file; throws where the file system cannot. Injected by tests. */
  readonly reflink?: (from: string, to: string) => Promise<void>;
  /** Called once, before the first byte is written, with what plain copies will take. */
  readonly requireSpace: (bytes: number) => Promise<void>;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
}

const PIECE_BYTES = 4 * 1024 * 1024;

const shareBlocks = (from: string, to: string): Promise<void> => copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);

/**
 * Files under their paths below `destination`, which only this user may read. Blocks are shared where the file system can; after its first
 * refusal every file is copied. Gives how many files came which way.
 */
export async function copyFiles(items: readonly CopyItem[], destination: string, options: CopyOptions): Promise<Record<'moved' | 'shared' | 'copied', number>> {
  const totalBytes = items.reduce((sum, item) => sum + item.sizeBytes, 0);
  const counts = { moved: 0, shared: 0, copied: 0 };
  const moved = new Set<string>();
  let doneBytes = 0;
  let mayShare = true;
  let spaceIsThere = false;
  for (const item of items) {
    options.signal.throwIfAborted();
    const to = join(destination, item.path);
    await makePrivateDirectory(dirname(to));
    // A blob that two paths name must not become one file with two names: an edit of one would change the other.
    if (options.move === true && !moved.has(item.from) && (await succeeds(link(item.from, to)))) {
      moved.add(item.from);
      counts.moved++;
    } else if (mayShare && (await succeeds((options.reflink ?? shareBlocks)(item.from, to)))) counts.shared++;
    else {
      mayShare = false;
      if (!spaceIsThere) await options.requireSpace(totalBytes - doneBytes);
      spaceIsThere = true;
      const before = doneBytes;
      await copyPlain(item.from, to, options.signal, (bytes) => options.onProgress?.(before + bytes, totalBytes));
      counts.copied++;
    }
    await chmod(to, 0o600);
    doneBytes += item.sizeBytes;
    options.onProgress?.(doneBytes, totalBytes);
  }
  return counts;
}

const succeeds = (attempt: Promise<void>): Promise<boolean> =>
  attempt.then(
    () => true,
    () => false,
  );

/** A new file with the same bytes; what is there is never written over. */
export async function copyPlain(from: string, to: string, signal: AbortSignal, onBytes: (doneBytes: number) => void = () => {}): Promise<void> {
  await using source = await open(from, constants.O_RDONLY | constants.O_NONBLOCK);
  await using target = await open(to, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  for (let position = 0; ; ) {
    signal.throwIfAborted();
    const { bytesRead } = await source.read(piece, 0, PIECE_BYTES, position);
    if (bytesRead === 0) break;
    for (let done = 0; done < bytesRead; ) done += (await target.write(piece, done, bytesRead - done, position + done)).bytesWritten;
    position += bytesRead;
    onBytes(position);
  }
  await target.sync();
}
