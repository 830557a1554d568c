import { closeSync, constants, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { checkManagedFile } from '../../core/index.ts';
import { MAX_LINE_BYTES } from './line.ts';

export interface LogFile {
  readonly name: string;
  readonly path: string;
  /** Of its first line. */
  readonly firstSeq: number;
}

const NAME = /^security-([1-9]\d{0,15})\.jsonl$/;

export const fileNameOf = (firstSeq: number): string => `security-${firstSeq}.jsonl`;

/** The files of a log in the order of their lines; none where there is no directory. */
export function listLogFiles(directory: string): LogFile[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  return names
    .flatMap((name) => {
      const seq = NAME.exec(name)?.[1];
      return seq === undefined ? [] : [{ name, path: join(directory, name), firstSeq: Number(seq) }];
    })
    .sort((a, b) => a.firstSeq - b.firstSeq);
}

/** Bytes between two newlines. `text` is null for what is no UTF-8 or longer than a line can be. */
export interface RawLine {
  readonly text: string | null;
  /** Offsets in the file: the first byte, and the one after the last (the newline's own). */
  readonly from: number;
  readonly to: number;
  /** False for what stands at the end of the file without a newline. */
  readonly ended: boolean;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Cuts bytes into lines, holding at most one. */
export function createLineCutter(offset = 0) {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let from = offset;
  let at = offset;

  function line(ended: boolean): RawLine {
    const bytes = Buffer.concat(held);
    const raw: RawLine = { text: heldBytes > MAX_LINE_BYTES ? null : decode(bytes), from, to: at, ended };
    held = [];
    heldBytes = 0;
    return raw;
  }

  return {
    *push(bytes: Buffer): Generator<RawLine, void> {
      let start = 0;
      for (;;) {
        const end = bytes.indexOf(0x0a, start);
        const piece = bytes.subarray(start, end < 0 ? bytes.length : end);
        heldBytes += piece.length;
        at += piece.length;
        if (heldBytes <= MAX_LINE_BYTES && piece.length > 0) held.push(Buffer.from(piece));
        if (end < 0) return;
        yield line(true);
        at += 1;
        from = at;
        start = end + 1;
      }
    },
    *end(): Generator<RawLine, void> {
      if (heldBytes > 0) yield line(false);
    },
  };
}

function decode(bytes: Buffer): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** Lines of a file up to an offset, without holding more than one. */
export async function* readLines(path: string, endBytes = Number.POSITIVE_INFINITY): AsyncGenerator<RawLine, void> {
  if (endBytes === 0 || !checkManagedFile(path)) return;
  const cutter = createLineCutter();
  // A link is not followed, whatever took the place of the file since.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const stream = file.createReadStream(Number.isFinite(endBytes) ? { end: endBytes - 1 } : {});
  for await (const chunk of stream as AsyncIterable<Buffer>) yield* cutter.push(chunk);
  yield* cutter.end();
}

const BLOCK = 1024 * 1024;

/** The same at once, from an offset on: for what a writer has to know before it goes on. */
export function* readLinesNow(path: string, offset: number): Generator<RawLine, void> {
  checkManagedFile(path);
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const cutter = createLineCutter(offset);
  const block = Buffer.alloc(BLOCK);
  try {
    for (let at = offset; ; ) {
      const count = readSync(file, block, 0, BLOCK, at);
      if (count === 0) break;
      at += count;
      yield* cutter.push(block.subarray(0, count));
    }
    yield* cutter.end();
  } finally {
    closeSync(file);
  }
}

export const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
