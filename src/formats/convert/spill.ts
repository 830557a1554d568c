import { open, rm } from 'node:fs/promises';

/** Bytes that are made early and written late, kept in a file meanwhile: what is held in memory are their places. */
export interface Spill extends AsyncDisposable {
  append(bytes: Uint8Array): Promise<SpillRange>;
  read(ranges: readonly SpillRange[]): AsyncGenerator<Uint8Array>;
}

export interface SpillRange {
  readonly offset: number;
  readonly length: number;
}

export async function openSpill(path: string): Promise<Spill> {
  const file = await open(path, 'wx+', 0o600);
  let end = 0;
  return {
    async append(bytes) {
      const range = { offset: end, length: bytes.length };
      for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done, bytes.length - done, end + done)).bytesWritten;
      end += bytes.length;
      return range;
    },
    async *read(ranges) {
      for (const { offset, length } of ranges) {
        const bytes = new Uint8Array(length);
        for (let done = 0; done < length; ) {
          const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
          if (bytesRead === 0) throw new RangeError(`${path} ended early`);
          done += bytesRead;
        }
        yield bytes;
      }
    },
    async [Symbol.asyncDispose]() {
      await file.close();
      await rm(path, { force: true });
    },
  };
}
