import { closeSync, constants, createWriteStream, existsSync, fstatSync, openSync, renameSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { checkManagedFile } from '../core/index.ts';

export interface LogFileOptions {
  readonly path: string;
  /** The file is put aside before a line would make it larger; one longer line gets a file of its own. */
  readonly maxSizeBytes: number;
  /** Archives that are kept: `.1.gz` is the newest. */
  readonly maxFiles: number;
}

/** A log that keeps itself small: no line is lost, with or without anybody watching (docs/spec/stack.md §6). */
export interface LogFile {
  /** Whole lines; they are on the disk after the current turn of the event loop. Never throws. */
  write(lines: string): void;
  /** Puts the current file aside now, if it holds anything. */
  rotate(): void;
  /** Lines that could not be written, such as on a full disk. */
  readonly failedLines: number;
  /** Writes what waits, and ends when the archives are packed. */
  close(): Promise<void>;
}

/** Throws unsafe_path for a link or a special file in its place. */
export function createLogFile({ path, maxSizeBytes, maxFiles }: LogFileOptions): LogFile {
  let file = openLog(path);
  let size = fstatSync(file).size;
  let waiting: string[] = [];
  let scheduled = false;
  let failedLines = 0;
  let packing: Promise<void> | null = null;

  function flush(): void {
    scheduled = false;
    let batch: string[] = [];
    let batchBytes = 0;
    const lines = waiting;
    waiting = [];
    const put = () => {
      if (batch.length === 0) return;
      try {
        writeWhole(file, batch.join(''));
        size += batchBytes;
      } catch {
        failedLines += batch.length;
      }
      batch = [];
      batchBytes = 0;
    };
    for (const line of lines) {
      const bytes = Buffer.byteLength(line);
      if (size + batchBytes + bytes > maxSizeBytes && size + batchBytes > 0) {
        put();
        rotateNow();
      }
      batch.push(line);
      batchBytes += bytes;
    }
    put();
  }

  function rotateNow(): void {
    if (size === 0) return;
    try {
      shift(path, maxFiles);
      renameSync(path, `${path}.1`);
      closeSync(file);
      file = openLog(path);
      size = fstatSync(file).size;
    } catch {
      // The old file goes on: a log that grows is better than lines that are lost.
      return;
    }
    pack();
  }

  function pack(): void {
    packing ??= packAll(path, maxFiles)
      .catch(() => {})
      .finally(() => {
        packing = null;
      });
  }

  let closed = false;
  return {
    write(lines) {
      if (closed) return;
      waiting.push(lines);
      if (scheduled) return;
      scheduled = true;
      setImmediate(() => {
        if (scheduled) flush();
      });
    },
    rotate() {
      flush();
      rotateNow();
    },
    get failedLines() {
      return failedLines;
    },
    async close() {
      if (closed) return;
      flush();
      closed = true;
      closeSync(file);
      await packing;
      // One that was put aside after the last look.
      await packAll(path, maxFiles).catch(() => {});
    },
  };
}

function openLog(path: string): number {
  checkManagedFile(path);
  return openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
}

function writeWhole(file: number, text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) rest = rest.subarray(writeSync(file, rest));
}

/** Makes room for a new `.1`; what would be one archive too many goes. */
function shift(path: string, maxFiles: number): void {
  for (let n = maxFiles; n >= 1; n -= 1)
    for (const ending of ['', '.gz']) {
      const archive = `${path}.${n}${ending}`;
      if (!existsSync(archive)) continue;
      if (n === maxFiles) unlinkSync(archive);
      else renameSync(archive, `${path}.${n + 1}${ending}`);
    }
}

/** Until none is plain any more: the log may rotate while another archive is packed. */
async function packAll(path: string, maxFiles: number): Promise<void> {
  while ((await packArchives(path, maxFiles)) > 0);
}

/** Packs every archive that is still plain, and answers how many. */
async function packArchives(path: string, maxFiles: number): Promise<number> {
  let packed = 0;
  for (let n = maxFiles; n >= 1; n -= 1) {
    const archive = await open(`${path}.${n}`, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => null);
    if (archive === null) continue;
    // Open to the end: names move when the log rotates meanwhile, and the number of a file that is gone is given to the next one.
    try {
      await packArchive(path, maxFiles, archive);
    } finally {
      await archive.close();
    }
    packed += 1;
  }
  return packed;
}

async function packArchive(path: string, maxFiles: number, archive: FileHandle): Promise<void> {
  const { ino } = await archive.stat();
  const temporary = join(dirname(path), `.${basename(path)}.${ino}.gz.tmp`);
  if (existsSync(temporary)) unlinkSync(temporary);
  await pipeline(archive.createReadStream({ autoClose: false }), createGzip({ level: 6 }), createWriteStream(temporary, { flags: 'wx', mode: 0o600 }));
  const at = Array.from({ length: maxFiles }, (_, i) => `${path}.${i + 1}`).find((name) => statSync(name, { throwIfNoEntry: false })?.ino === ino);
  if (at === undefined) {
    unlinkSync(temporary);
    return;
  }
  renameSync(temporary, `${at}.gz`);
  unlinkSync(at);
}
