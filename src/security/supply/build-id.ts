import { closeSync, constants, openSync, readSync } from 'node:fs';

const PT_NOTE = 4;
const NT_GNU_BUILD_ID = 3;
const MAX_NOTE_BYTES = 64 * 1024;

/** The build id of a 64-bit little-endian ELF file in hex (its note `GNU`, type 3); null where there is none. */
export function buildIdOf(path: string): string | null {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const read = (position: number, bytes: number): Buffer => {
      const buffer = Buffer.alloc(bytes);
      return buffer.subarray(0, readSync(file, buffer, 0, bytes, position));
    };
    const header = read(0, 64);
    if (header.length < 64 || header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) return null;
    const [at, size, count] = [Number(header.readBigUInt64LE(32)), header.readUInt16LE(54), header.readUInt16LE(56)];
    for (let i = 0; i < Math.min(count, 256); i += 1) {
      const segment = read(at + i * size, 56);
      if (segment.length < 56 || segment.readUInt32LE(0) !== PT_NOTE) continue;
      const bytes = Number(segment.readBigUInt64LE(32));
      const found = bytes > MAX_NOTE_BYTES ? null : inNotes(read(Number(segment.readBigUInt64LE(8)), bytes));
      if (found !== null) return found;
    }
    return null;
  } finally {
    closeSync(file);
  }
}

const padded = (bytes: number): number => (bytes + 3) & ~3;

function inNotes(notes: Buffer): string | null {
  for (let at = 0; at + 12 <= notes.length; ) {
    const [nameBytes, bytes, type] = [notes.readUInt32LE(at), notes.readUInt32LE(at + 4), notes.readUInt32LE(at + 8)];
    const start = at + 12 + padded(nameBytes);
    if (type === NT_GNU_BUILD_ID && notes.subarray(at + 12, at + 12 + nameBytes).toString('latin1') === 'GNU\0')
      return notes.subarray(start, start + bytes).toString('hex');
    at = start + padded(bytes);
  }
  return null;
}
