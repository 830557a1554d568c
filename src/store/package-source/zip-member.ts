import { type FileHandle, open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createInflateRaw } from 'node:zlib';
import { HearthError } from '../../core/index.ts';
import { checkFilePath } from '../hub/file-names.ts';

/** One stored or deflated file of a ZIP archive (APPNOTE.TXT 6.3 §4.3); archives above 4 GiB, encryption and links are refused. */
export interface ZipMember {
  readonly name: string;
  readonly sizeBytes: number;
  /** The unpacked content; ends with an error beyond `sizeBytes`. */
  content(): Readable;
}

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 0xffff;
const MAX_DIRECTORY_BYTES = 16 * 1024 * 1024;
const LINK_TYPE = 0o120000;

const broken = (path: string, why: string): HearthError => new HearthError('download_failed', `${path} is not an archive that can be read: ${why}.`);

/** Finds the one member with that base name. The handle must stay open until the content is read. Errors: download_failed, name_refused. */
export async function findZipMember(file: FileHandle, path: string, baseName: string): Promise<ZipMember> {
  const { size } = await file.stat();
  const tail = await readAt(file, Math.max(0, size - END_BYTES - MAX_COMMENT_BYTES), Math.min(size, END_BYTES + MAX_COMMENT_BYTES));
  const end = findEnd(tail);
  if (end < 0) throw broken(path, 'it has no end record');
  const directoryBytes = tail.readUInt32LE(end + 12);
  const directoryOffset = tail.readUInt32LE(end + 16);
  if (directoryBytes > MAX_DIRECTORY_BYTES || directoryOffset + directoryBytes > size) throw broken(path, 'its directory lies outside');
  const directory = await readAt(file, directoryOffset, directoryBytes);
  const matches: CentralEntry[] = [];
  for (const entry of centralEntries(directory, path)) if (entry.name.slice(entry.name.lastIndexOf('/') + 1) === baseName) matches.push(entry);
  const entry = matches[0];
  if (entry === undefined || matches.length > 1) throw broken(path, `it holds ${matches.length} files named ${baseName}`);
  return openMember(file, path, size, entry);
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

function centralEntries(directory: Buffer, path: string): CentralEntry[] {
  const entries: CentralEntry[] = [];
  for (let at = 0; at + 46 <= directory.length; ) {
    if (directory.readUInt32LE(at) !== ENTRY) throw broken(path, 'its directory is damaged');
    const nameBytes = directory.readUInt16LE(at + 28);
    const name = directory.subarray(at + 46, at + 46 + nameBytes).toString('utf8');
    if (!name.endsWith('/')) checkFilePath(name);
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

async function openMember(file: FileHandle, path: string, archiveBytes: number, entry: CentralEntry): Promise<ZipMember> {
  if ((entry.flags & 1) !== 0) throw broken(path, `${entry.name} is encrypted`);
  if ((entry.mode & 0o170000) === LINK_TYPE) throw broken(path, `${entry.name} is a link`);
  if (entry.method !== 0 && entry.method !== 8) throw broken(path, `${entry.name} is packed by an unknown method`);
  if (entry.packedBytes === 0xffffffff || entry.sizeBytes === 0xffffffff) throw broken(path, `${entry.name} is larger than 4 GiB`);
  const local = await readAt(file, entry.offset, 30);
  if (local.length < 30 || local.readUInt32LE(0) !== LOCAL) throw broken(path, `${entry.name} has no local header`);
  const start = entry.offset + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
  if (start + entry.packedBytes > archiveBytes) throw broken(path, `${entry.name} lies outside`);
  return {
    name: entry.name,
    sizeBytes: entry.sizeBytes,
    content: () => {
      const packed = file.createReadStream({ start, end: start + entry.packedBytes - 1, autoClose: false });
      if (entry.method === 0) return packed;
      const inflate = createInflateRaw();
      packed.on('error', (error) => inflate.destroy(error));
      return packed.pipe(inflate);
    },
  };
}

async function readAt(file: FileHandle, position: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await file.read(buffer, 0, bytes, position);
  return buffer.subarray(0, bytesRead);
}

export const openArchive = (path: string): Promise<FileHandle> => open(path, 'r');
