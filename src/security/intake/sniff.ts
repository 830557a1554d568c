import { pickleOpcodes } from './pickle.ts';

/** First bytes of formats that carry code, archives or arrays of objects, whatever the file is called (docs/spec/security.md §4.2). */
const MAGICS: readonly (readonly [at: number, bytes: string, what: string])[] = [
  [0, 'PK\x03\x04', 'a ZIP archive'],
  [0, 'PK\x05\x06', 'a ZIP archive'],
  [0, '\x89HDF\r\n\x1a\n', 'an HDF5 file'],
  [0, '\x93NUMPY', 'a NumPy array'],
  [257, 'ustar', 'a tar archive'],
  [0, '\x1f\x8b', 'a gzip archive'],
  [0, 'BZh', 'a bzip2 archive'],
  [0, '\xfd7zXZ\0', 'an xz archive'],
  [0, '\x28\xb5\x2f\xfd', 'a zstd archive'],
  [0, '7z\xbc\xaf\x27\x1c', 'a 7z archive'],
  [0, '\x7fELF', 'a program'],
  [0, '\xce\xfa\xed\xfe', 'a program'],
  [0, '\xcf\xfa\xed\xfe', 'a program'],
  [0, '\xfe\xed\xfa\xce', 'a program'],
  [0, '\xfe\xed\xfa\xcf', 'a program'],
  [0, '\xca\xfe\xba\xbe', 'a program'],
  [0, 'MZ\x90', 'a program'],
  [0, '#!', 'a script'],
  [0, '\0asm', 'a WebAssembly module'],
];

/** A pickle that is shorter than this is read whole, so that protocols 0 and 1, which have no mark, are told by their end. */
export const SNIFF_BYTES = 64 * 1024;
const FEW_OPCODES = 4;

/**
 * What the first bytes of a file are, as a noun: `a Python pickle`. null: none of the formats that are refused.
 * `whole`: the bytes are all of the file, at most `SNIFF_BYTES`.
 */
export function sniffContent(head: Uint8Array, whole: boolean): string | null {
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, 512)).toString('latin1');
  const magic = MAGICS.find(([at, bytes]) => text.startsWith(bytes, at));
  if (magic !== undefined) return magic[2];
  return isPickle(head, whole) ? 'a Python pickle' : null;
}

function isPickle(head: Uint8Array, whole: boolean): boolean {
  const { count, ended, cut } = pickleOpcodes(head);
  // The length field of a safetensors file may look like the mark of a protocol: what follows it must be opcodes too.
  if (head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5) return count > FEW_OPCODES || ended !== null || cut;
  if (ended === null || count < 3) return cut && count > 64;
  return whole && head.subarray(ended).every((byte) => byte === 0x0a || byte === 0x0d || byte === 0x20);
}
