import { isUtf8 } from 'node:buffer';
import type { SafetensorsCode } from '../../contract/index.ts';
import { DTYPE_BITS, type Dtype, isDtype } from './dtype.ts';
import { JsonScanner, NUMBER_CEILING, OPEN_BRACE, OPEN_BRACKET } from './json-scanner.ts';
import { checkLayout } from './layout.ts';
import { quoted, Refusal } from './refusal.ts';

export interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Of the first byte, from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

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

/** Caps and rules: docs/spec/security.md §4.4. */
export const LIMITS = {
  headerBytes: 25_000_000,
  tensors: 200_000,
  depth: 3,
  metadataKeys: 1024,
  metadataKeyBytes: 256,
  metadataBytes: 4 * 2 ** 20,
  nameBytes: 512,
  rank: 8,
  dimension: 2 ** 40,
} as const;

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
  const scanner = new JsonScanner(bytes, 8, end, { maxDepth: LIMITS.depth, anyNumber: false });
  const reader = new EntryReader(scanner, 8 + headerBytes);
  scanner.object(1, (key) => reader.read(key));
  if (scanner.peek() !== -1) throw new Refusal('st_two_documents', `a second JSON document follows at byte ${scanner.position}`);
  if (reader.fault) throw reader.fault;
  if (reader.tensors.size === 0) throw new Refusal('st_no_tensors', 'the header names no tensor');
  checkLayout([...reader.tensors.values()], 8 + headerBytes, fileSizeBytes);
  return { headerBytes, metadata: reader.metadata, tensors: reader.tensors };
}

/** Reads the values of the outer object. The first fault of the content is kept and reading goes on, since a later fault of the JSON itself counts more. */
class EntryReader {
  readonly #scanner: JsonScanner;
  readonly #dataStart: number;
  readonly tensors = new Map<string, TensorEntry>();
  metadata: Record<string, string> | null = null;
  fault: Refusal | undefined;

  constructor(scanner: JsonScanner, dataStart: number) {
    this.#scanner = scanner;
    this.#dataStart = dataStart;
  }

  read(key: string): void {
    if (key === '__metadata__') {
      this.#readMetadata();
      return;
    }
    if (this.tensors.size >= LIMITS.tensors) throw new Refusal('st_tensor_count', `the header names more than ${LIMITS.tensors} tensors`);
    this.#checkName(key);
    this.tensors.set(key, this.#readEntry(key));
  }

  #note(code: SafetensorsCode, message: string): void {
    this.fault ??= new Refusal(code, message);
  }

  #checkName(name: string): void {
    if (name.length === 0) this.#note('st_name_empty', 'a tensor has an empty name');
    else if (name.length > LIMITS.nameBytes / 3 && Buffer.byteLength(name) > LIMITS.nameBytes)
      this.#note('st_name_long', `the tensor name ${quoted(name)} is longer than ${LIMITS.nameBytes} bytes`);
    else if (!PLAIN_NAME.test(name) && HIDDEN_CHARACTER.test(name))
      this.#note('st_name_chars', `the tensor name ${quoted(name)} holds a control, direction or zero-width character`);
    else if (RESERVED_NAMES.has(name)) this.#note('st_name_reserved', `the tensor name ${quoted(name)} is reserved`);
  }

  #readMetadata(): void {
    const scanner = this.#scanner;
    if (scanner.takeWord('null')) return;
    if (scanner.peek() !== OPEN_BRACE) {
      this.#note('st_metadata_type', '__metadata__ is neither an object nor null');
      scanner.skip(2);
      return;
    }
    const metadata: Record<string, string> = Object.create(null);
    let keys = 0;
    let sum = 0;
    scanner.object(2, (key) => {
      const keyBytes = Buffer.byteLength(key);
      if (++keys > LIMITS.metadataKeys || keyBytes > LIMITS.metadataKeyBytes) this.#note('st_metadata_size', '__metadata__ has too many or too long keys');
      if (!scanner.isString()) {
        this.#note('st_metadata_value', `the value of ${quoted(key)} in __metadata__ is not a string`);
        return scanner.skip(3);
      }
      const value = scanner.string();
      sum += keyBytes + Buffer.byteLength(value);
      if (sum > LIMITS.metadataBytes) this.#note('st_metadata_size', '__metadata__ is larger than 4 MiB');
      if (!this.fault) metadata[key] = value;
    });
    this.metadata = metadata;
  }

  #readEntry(name: string): TensorEntry {
    const scanner = this.#scanner;
    let dtype: Dtype | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    if (scanner.peek() !== OPEN_BRACE) {
      this.#note('st_entry_type', `the entry of ${quoted(name)} is not an object`);
      scanner.skip(2);
      return { name, dtype: 'U8', shape: [], offset: 0, bytes: 0 };
    }
    scanner.object(2, (key) => {
      if (key === 'dtype') dtype = this.#readDtype(name);
      else if (key === 'shape') shape = this.#readShape(name);
      else if (key === 'data_offsets') offsets = this.#readOffsets(name);
      else {
        this.#note('st_entry_unknown', `the entry of ${quoted(name)} has the unknown key ${quoted(key)}`);
        scanner.skip(3);
      }
    });
    if (dtype === undefined || shape === undefined || offsets === undefined) {
      this.#note('st_entry_missing', `the entry of ${quoted(name)} lacks dtype, shape or data_offsets`);
      return { name, dtype: 'U8', shape: [], offset: 0, bytes: 0 };
    }
    const [begin = 0, end = 0] = offsets;
    this.#checkSize(name, dtype, shape, begin, end);
    return { name, dtype, shape, offset: this.#dataStart + begin, bytes: end - begin };
  }

  #readDtype(name: string): Dtype {
    if (!this.#scanner.isString()) {
      this.#note('st_dtype_type', `the dtype of ${quoted(name)} is not a string`);
      this.#scanner.skip(3);
      return 'U8';
    }
    const text = this.#scanner.string();
    // The table's own string is kept, not a new one per tensor.
    const known = isDtype(text) ? DTYPE_NAMES.get(text) : undefined;
    if (known === undefined) this.#note('st_dtype_unknown', `the dtype ${quoted(text)} of ${quoted(name)} is not known`);
    return known ?? 'U8';
  }

  #readShape(name: string): number[] {
    const shape: number[] = [];
    if (this.#scanner.peek() !== OPEN_BRACKET) {
      this.#note('st_shape_type', `the shape of ${quoted(name)} is not a list`);
      this.#scanner.skip(3);
      return shape;
    }
    this.#scanner.array(3, () => {
      if (!this.#scanner.isNumber()) {
        this.#note('st_dim_type', `a dimension of ${quoted(name)} is not a number`);
        return this.#scanner.skip(4);
      }
      const dimension = this.#scanner.number();
      if (dimension < 0) this.#note('st_dim_negative', `a dimension of ${quoted(name)} is negative`);
      else if (dimension > LIMITS.dimension) this.#note('st_dim_huge', `a dimension of ${quoted(name)} is above 2^40`);
      if (shape.length < LIMITS.rank) shape.push(dimension);
      else this.#note('st_rank', `${quoted(name)} has more than ${LIMITS.rank} dimensions`);
    });
    return shape;
  }

  #readOffsets(name: string): number[] {
    const offsets: number[] = [];
    let count = 0;
    if (this.#scanner.peek() !== OPEN_BRACKET) {
      this.#note('st_offsets_type', `data_offsets of ${quoted(name)} is not a list`);
      this.#scanner.skip(3);
      return offsets;
    }
    this.#scanner.array(3, () => {
      count++;
      if (!this.#scanner.isNumber()) {
        this.#note('st_offsets_type', `an offset of ${quoted(name)} is not a number`);
        return this.#scanner.skip(4);
      }
      const offset = this.#scanner.number();
      if (offset < 0) this.#note('st_offsets_type', `an offset of ${quoted(name)} is negative`);
      else if (offset >= NUMBER_CEILING) this.#note('st_offset_huge', `an offset of ${quoted(name)} is 2^53 or more`);
      if (count <= 2) offsets.push(offset);
    });
    if (count !== 2) this.#note('st_offsets_arity', `data_offsets of ${quoted(name)} has ${count} numbers, not 2`);
    return offsets;
  }

  #checkSize(name: string, dtype: Dtype, shape: readonly number[], begin: number, end: number): void {
    const bits = shape.includes(0) ? 0n : shape.reduce((product, dimension) => product * BigInt(dimension), BigInt(DTYPE_BITS[dtype]));
    if (bits >= 2n ** 63n) this.#note('st_shape_overflow', `${quoted(name)} has 2^63 bits or more`);
    else if (bits % 8n !== 0n) this.#note('st_subbyte', `${quoted(name)} does not fill whole bytes`);
    else if (begin > end) this.#note('st_offset_reversed', `data_offsets of ${quoted(name)} end before they begin`);
    else if (bits / 8n !== BigInt(end - begin))
      this.#note('st_size_mismatch', `${quoted(name)} needs ${bits / 8n} bytes by dtype and shape, its offsets span ${end - begin}`);
  }
}

const DTYPE_NAMES: ReadonlyMap<string, Dtype> = new Map((Object.keys(DTYPE_BITS) as Dtype[]).map((name) => [name, name]));
const RESERVED_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
const PLAIN_NAME = /^[\w.:/-]+$/;
/** Control characters, line separators, direction marks, zero-width characters and other invisible format characters. */
const HIDDEN_CHARACTER = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/u;
