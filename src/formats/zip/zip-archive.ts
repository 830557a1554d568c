import type { FileHandle } from 'node:fs/promises';
import { Readable, Transform } from 'node:stream';
import { promisify } from 'node:util';
import { createInflateRaw, inflateRaw } from 'node:zlib';
import { HearthError } from '../../core/index.ts';

/** One stored or deflated file of a ZIP archive (APPNOTE.TXT 6.3 §4.3); archives above 4 GiB, encryption and links are refused. */
export interface ZipMember {
  readonly name: string;
  readonly sizeBytes: number;
  /** The unpacked content; ends with an error beyond `sizeBytes`. */
  content(): Promise<Readable>;
  /** All of it at once: for small members, of which there may be many. */
  bytes(): Promise<Buffer>;
}

export interface ZipOptions {
  /** For messages. */
  readonly path: string;
  /** Throws for a name that the caller does not take; the rules of file paths are the caller's. */
  readonly checkName: (name: string) => void;
  /** 16 MiB. */
  readonly maxDirectoryBytes?: number;
}

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 0xffff;
const MAX_DIRECTORY_BYTES = 16 * 1024 * 1024;
const LINK_TYPE = 0o120000;

export const brokenArchive = (path: string, why: string): HearthError =>
  new HearthError('download_failed', `${path} is not an archive that can be read: ${why}.`);

/** The files of an archive, in the order of its directory. The handle must stay open until contents are read. Errors: download_failed, and those of `checkName`. */
export async function zipMembers(file: FileHandle, options: ZipOptions): Promise<readonly ZipMember[]> {
  const { path, maxDirectoryBytes = MAX_DIRECTORY_BYTES } = options;
  const { size } = await file.stat();
  const tail = await readAt(file, Math.max(0, size - END_BYTES - MAX_COMMENT_BYTES), Math.min(size, END_BYTES + MAX_COMMENT_BYTES));
  const end = findEnd(tail);
  if (end < 0) throw brokenArchive(path, 'it has no end record');
  const directoryBytes = tail.readUInt32LE(end + 12);
  const directoryOffset = tail.readUInt32LE(end + 16);
  if (directoryBytes > maxDirectoryBytes || directoryOffset + directoryBytes > size) throw brokenArchive(path, 'its directory lies outside');
  const directory = await readAt(file, directoryOffset, directoryBytes);
  return centralEntries(directory, options)
    .filter(({ name }) => !name.endsWith('/'))
    .map((entry) => ({
      name: entry.name,
      sizeBytes: entry.sizeBytes,
      content: () => openMember(file, path, size, entry),
      bytes: () => readMember(file, path, size, entry),
    }));
}

interface CentralEntry {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly packedBytes: number;
  readonly sizeBytes: number;
  readonly mode: number;
  readonly offset: number;
}

function findEnd(tail: Buffer): number {
  for (let at = tail.length - END_BYTES; at >= 0; at--) if (tail.readUInt32LE(at) === END) return at;
  return -1;
}

function centralEntries(directory: Buffer, { path, checkName }: ZipOptions): CentralEntry[] {
  const entries: CentralEntry[] = [];
  for (let at = 0; at + 46 <= directory.length; ) {
    if (directory.readUInt32LE(at) !== ENTRY) throw brokenArchive(path, 'its directory is damaged');
    const nameBytes = directory.readUInt16LE(at + 28);
    const name = directory.subarray(at + 46, at + 46 + nameBytes).toString('utf8');
    if (!name.endsWith('/')) checkName(name);
    entries.push({
      name,
      flags: directory.readUInt16LE(at + 8),
      method: directory.readUInt16LE(at + 10),
      packedBytes: directory.readUInt32LE(at + 20),
      sizeBytes: directory.readUInt32LE(at + 24),
      mode: directory.readUInt32LE(at + 38) >>> 16,
      offset: directory.readUInt32LE(at + 42),
    });
    at += 46 + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return entries;
}

/** Where the packed bytes begin, once all that is said of them holds. */
async function startOf(file: FileHandle, path: string, archiveBytes: number, entry: CentralEntry): Promise<number> {
  if ((entry.flags & 1) !== 0) throw brokenArchive(path, `${entry.name} is encrypted`);
  if ((entry.mode & 0o170000) === LINK_TYPE) throw brokenArchive(path, `${entry.name} is a link`);
  if (entry.method !== 0 && entry.method !== 8) throw brokenArchive(path, `${entry.name} is packed by an unknown method`);
  if (entry.packedBytes === 0xffffffff || entry.sizeBytes === 0xffffffff) throw brokenArchive(path, `${entry.name} is larger than 4 GiB`);
  const local = await readAt(file, entry.offset, 30);
  if (local.length < 30 || local.readUInt32LE(0) !== LOCAL) throw brokenArchive(path, `${entry.name} has no local header`);
  const start = entry.offset + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
  if (start + entry.packedBytes > archiveBytes) throw brokenArchive(path, `${entry.name} lies outside`);
  return start;
}

const unpack = promisify(inflateRaw);

async function readMember(file: FileHandle, path: string, archiveBytes: number, entry: CentralEntry): Promise<Buffer> {
  const packed = await readAt(file, await startOf(file, path, archiveBytes, entry), entry.packedBytes);
  try {
    const bytes = entry.method === 0 ? packed : await unpack(packed, { maxOutputLength: Math.max(entry.sizeBytes, 1) });
    if (bytes.length === entry.sizeBytes) return bytes;
  } catch {
    // More than it says, or no deflated data.
  }
  throw brokenArchive(path, `${entry.name} does not hold what it says`);
}

async function openMember(file: FileHandle, path: string, archiveBytes: number, entry: CentralEntry): Promise<Readable> {
  const start = await startOf(file, path, archiveBytes, entry);
  if (entry.packedBytes === 0) return Readable.from([]);
  const limit = limitTo(path, entry);
  const packed = file.createReadStream({ start, end: start + entry.packedBytes - 1, autoClose: false });
  const stages = entry.method === 0 ? [packed, limit] : [packed, createInflateRaw(), limit];
  for (const [i, stage] of stages.slice(0, -1).entries()) {
    stage.on('error', (error: Error) => stages[i + 1]!.destroy(error));
    stage.pipe(stages[i + 1] as Transform);
  }
  return limit;
}

/** An archive that unpacks to more than it says is a bomb. */
function limitTo(path: string, { name, sizeBytes }: CentralEntry): Transform {
  let seen = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.length;
      if (seen > sizeBytes) done(brokenArchive(path, `${name} holds more than it says`));
      else done(null, chunk);
    },
  });
}

async function readAt(file: FileHandle, position: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await file.read(buffer, 0, bytes, position);
  return buffer.subarray(0, bytesRead);
}
