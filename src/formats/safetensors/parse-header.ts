import { isUtf8 } from 'node:buffer';
import type { SafetensorsCode } from '../../contract/index.ts';
import { EntryReader, FREQUENT_WORDS, LIMITS, type TensorEntry } from './entry-reader.ts';
import { JsonScanner, NUMBER_CEILING, OPEN_BRACE } from './json-scanner.ts';
import { checkLayout } from './layout.ts';
import { Refusal } from './refusal.ts';

export interface SafetensorsHeader {
  /** Length of the JSON, without the 8 bytes before it. */
  readonly headerBytes: number;
  /** `__metadata__`; null where it is absent or null. Without prototype: keys are the file's own. */
  readonly metadata: Readonly<Record<string, string>> | null;
  /** In the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

export type HeaderResult =
  | { readonly ok: true; readonly header: SafetensorsHeader }
  | { readonly ok: false; readonly code: SafetensorsCode; readonly message: string };

/**
 * Reads the header of a safetensors file from its first bytes: at least 8 + header length of them, unless the file is shorter.
 * Never throws. Faults of the frame come first, then faults of the JSON, then those of its content in the order of the file.
 */
export function parseSafetensorsHeader(bytes: Uint8Array, fileSizeBytes: number): HeaderResult {
  try {
    const end = checkFrame(bytes, fileSizeBytes);
    return { ok: true, header: readHeader(bytes, end, fileSizeBytes) };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, code: error.code, message: error.message };
    throw error;
  }
}

/** Header length from the first 8 bytes, checked against the size of the file. Throws Refusal. */
export function headerLength(bytes: Uint8Array, fileSizeBytes: number): number {
  if (!(fileSizeBytes >= 10) || bytes.length < 8) throw new Refusal('st_file_too_short', 'the file is shorter than 10 bytes');
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  const length = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
  if (length < 2) throw new Refusal('st_header_len_zero', `the header length is ${length}`);
  if (length >= NUMBER_CEILING) throw new Refusal('st_header_len_huge', 'the header length is 2^53 or more');
  if (length > LIMITS.headerBytes) throw new Refusal('st_header_too_big', `the header length is ${length}, the limit is ${LIMITS.headerBytes}`);
  if (8 + length > fileSizeBytes) throw new Refusal('st_header_truncated', `the header is ${length} bytes, the file ends before it does`);
  return length;
}

/** Gives the position after the last `}`. */
function checkFrame(bytes: Uint8Array, fileSizeBytes: number): number {
  const headerEnd = 8 + headerLength(bytes, fileSizeBytes);
  if (headerEnd > bytes.length) throw new Refusal('st_header_truncated', `the header ends at byte ${headerEnd}, ${bytes.length} are here`);
  if (bytes[8] !== OPEN_BRACE) throw new Refusal('st_header_start', 'the header does not start with {');
  const header = bytes.subarray(8, headerEnd);
  const last = header.lastIndexOf(0x7d);
  if (last < 0) throw new Refusal('st_bad_json', 'the header has no closing }');
  for (let i = last + 1; i < header.length; i++)
    if (header[i] !== 0x20) throw new Refusal('st_header_padding', `byte ${8 + i} after the header's } is not a space`);
  if (!isUtf8(header)) throw new Refusal('st_not_utf8', 'the header is not UTF-8');
  return 8 + last + 1;
}

function readHeader(bytes: Uint8Array, end: number, fileSizeBytes: number): SafetensorsHeader {
  const headerBytes = headerLength(bytes, fileSizeBytes);
  const scanner = new JsonScanner(bytes, 8, end, { maxDepth: LIMITS.depth, anyNumber: false, words: FREQUENT_WORDS });
  const reader = new EntryReader(scanner, 8 + headerBytes);
  scanner.object(
    1,
    (key) => reader.read(key),
    (key) => reader.knows(key),
  );
  if (scanner.peek() !== -1) throw new Refusal('st_two_documents', `a second JSON document follows at byte ${scanner.position}`);
  if (reader.fault) throw reader.fault;
  if (reader.tensors.size === 0) throw new Refusal('st_no_tensors', 'the header names no tensor');
  checkLayout([...reader.tensors.values()], 8 + headerBytes, fileSizeBytes);
  return { headerBytes, metadata: reader.metadata, tensors: reader.tensors };
}
