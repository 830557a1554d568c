import type { FileHandle } from 'node:fs/promises';

/**
 * Writes pieces to the end of a file while the next ones arrive: what comes during one write goes out in the next.
 * A slow source is on the disk piece by piece, a fast one in few large writes; memory stays below `MAX_WAITING_BYTES` and one piece.
 */
export interface FileAppender {
  /** Settles when the piece may be followed by another; earlier failures of the disk are thrown here. */
  append(piece: Uint8Array): Promise<void>;
  /** Settles when all is written. */
  drain(): Promise<void>;
}

const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** The smallest limit of the systems that we run on is 1,024. */
const MAX_PIECES = 512;

/** `onWritten` is told how far the file reaches after each write. */
export function createFileAppender(handle: FileHandle, start: number, onWritten: (position: number) => void): FileAppender {
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let position = start;
  let running: Promise<void> | null = null;
  let failure: { readonly error: unknown } | null = null;

  async function writeWaiting(): Promise<void> {
    try {
      while (waiting.length > 0) {
        const pieces = waiting.splice(0, MAX_PIECES);
        const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
        await writeAll(handle, pieces, bytes, position);
        position += bytes;
        waitingBytes -= bytes;
        onWritten(position);
      }
    } catch (error) {
      failure = { error };
      waiting = [];
    } finally {
      running = null;
    }
  }
  const check = (): void => {
    if (failure !== null) throw failure.error;
  };
  return {
    append: async (piece) => {
      check();
      waiting.push(piece);
      waitingBytes += piece.length;
      running ??= writeWaiting();
      if (waitingBytes >= MAX_WAITING_BYTES) {
        await running;
        check();
      }
    },
    drain: async () => {
      while (running !== null) await running;
      check();
    },
  };
}

/** A write may take less than it was given, such as when the disk has just become full: the rest goes on its own. */
async function writeAll(handle: FileHandle, pieces: readonly Uint8Array[], bytes: number, position: number): Promise<void> {
  const { bytesWritten } = await handle.writev(pieces, position);
  if (bytesWritten === bytes) return;
  const rest = Buffer.concat(pieces).subarray(bytesWritten);
  for (let done = 0; done < rest.length; ) done += (await handle.write(rest, done, rest.length - done, position + bytesWritten + done)).bytesWritten;
}
