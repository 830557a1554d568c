import type { SafetensorsCode } from '../../contract/index.ts';
import { DTYPE_BITS, type Dtype, isDtype } from './dtype.ts';
import { type JsonScanner, NUMBER_CEILING, OPEN_BRACE, OPEN_BRACKET } from './json-scanner.ts';
import { quoted, Refusal } from './refusal.ts';

export interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Of the first byte, from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

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

/** Reads the values of the outer object. The first fault of the content is kept and reading goes on, since a later fault of the JSON itself counts more. */
export class EntryReader {
  readonly #scanner: JsonScanner;
  readonly #dataStart: number;
  readonly tensors = new Map<string, TensorEntry>();
  metadata: Record<string, string> | null = null;
  fault: Refusal | undefined;
  #metadataSeen = false;
  // Of the entry that is being read.
  #name = '';
  #dtype: Dtype | undefined;
  #shape: number[] | undefined;
  /** Numbers seen in data_offsets; −1 before it. */
  #offsetCount = -1;
  readonly #unknownKeys = new Set<string>();
  readonly #dimensions: number[] = [];
  readonly #offsets: number[] = [];

  constructor(scanner: JsonScanner, dataStart: number) {
    this.#scanner = scanner;
    this.#dataStart = dataStart;
  }

  knows(key: string): boolean {
    return this.tensors.has(key) || (key === '__metadata__' && this.#metadataSeen);
  }

  read(key: string): void {
    if (key === '__metadata__') {
      this.#metadataSeen = true;
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
    if (scanner.peek() !== OPEN_BRACE) {
      this.#note('st_entry_type', `the entry of ${quoted(name)} is not an object`);
      scanner.skip(2);
      return NO_ENTRY;
    }
    this.#name = name;
    this.#dtype = undefined;
    this.#shape = undefined;
    this.#offsetCount = -1;
    this.#unknownKeys.clear();
    scanner.object(2, this.#readField, this.#knowsField);
    const dtype = this.#dtype;
    const shape = this.#shape;
    if (dtype === undefined || shape === undefined || this.#offsetCount < 0) {
      this.#note('st_entry_missing', `the entry of ${quoted(name)} lacks dtype, shape or data_offsets`);
      return NO_ENTRY;
    }
    const [begin = 0, end = 0] = this.#offsets;
    this.#checkSize(name, dtype, shape, begin, end);
    return { name, dtype, shape, offset: this.#dataStart + begin, bytes: end - begin };
  }

  // One function each for all entries, and fields in place of locals: 200,000 closures and lists would be most of the memory.
  readonly #knowsField = (key: string): boolean => {
    if (key === 'dtype') return this.#dtype !== undefined;
    if (key === 'shape') return this.#shape !== undefined;
    if (key === 'data_offsets') return this.#offsetCount >= 0;
    return this.#unknownKeys.has(key);
  };

  readonly #readField = (key: string): void => {
    if (key === 'dtype') this.#dtype = this.#readDtype(this.#name);
    else if (key === 'shape') this.#shape = this.#readShape(this.#name);
    else if (key === 'data_offsets') this.#readOffsets(this.#name);
    else {
      this.#unknownKeys.add(key);
      this.#note('st_entry_unknown', `the entry of ${quoted(this.#name)} has the unknown key ${quoted(key)}`);
      this.#scanner.skip(3);
    }
  };

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
    const shape = this.#dimensions;
    shape.length = 0;
    if (this.#scanner.peek() !== OPEN_BRACKET) {
      this.#note('st_shape_type', `the shape of ${quoted(name)} is not a list`);
      this.#scanner.skip(3);
      return [];
    }
    this.#scanner.array(3, this.#readDimension);
    // A copy has no room for more: a grown list of one number holds seventeen.
    return shape.slice();
  }

  readonly #readDimension = (): void => {
    if (!this.#scanner.isNumber()) {
      this.#note('st_dim_type', `a dimension of ${quoted(this.#name)} is not a number`);
      this.#scanner.skip(4);
      return;
    }
    const dimension = this.#scanner.number();
    if (dimension < 0) this.#note('st_dim_negative', `a dimension of ${quoted(this.#name)} is negative`);
    else if (dimension > LIMITS.dimension) this.#note('st_dim_huge', `a dimension of ${quoted(this.#name)} is above 2^40`);
    if (this.#dimensions.length < LIMITS.rank) this.#dimensions.push(dimension);
    else this.#note('st_rank', `${quoted(this.#name)} has more than ${LIMITS.rank} dimensions`);
  };

  #readOffsets(name: string): void {
    this.#offsets.length = 0;
    this.#offsetCount = 0;
    if (this.#scanner.peek() !== OPEN_BRACKET) {
      this.#note('st_offsets_type', `data_offsets of ${quoted(name)} is not a list`);
      this.#scanner.skip(3);
      return;
    }
    this.#scanner.array(3, this.#readOffset);
    if (this.#offsetCount !== 2) this.#note('st_offsets_arity', `data_offsets of ${quoted(name)} has ${this.#offsetCount} numbers, not 2`);
  }

  readonly #readOffset = (): void => {
    this.#offsetCount++;
    if (!this.#scanner.isNumber()) {
      this.#note('st_offsets_type', `an offset of ${quoted(this.#name)} is not a number`);
      this.#scanner.skip(4);
      return;
    }
    const offset = this.#scanner.number();
    if (offset < 0) this.#note('st_offsets_type', `an offset of ${quoted(this.#name)} is negative`);
    else if (offset >= NUMBER_CEILING) this.#note('st_offset_huge', `an offset of ${quoted(this.#name)} is 2^53 or more`);
    if (this.#offsetCount <= 2) this.#offsets.push(offset);
  };

  #checkSize(name: string, dtype: Dtype, shape: readonly number[], begin: number, end: number): void {
    const bits = tensorBits(dtype, shape);
    const bytes = typeof bits === 'bigint' ? bits / 8n : bits / 8;
    if (bits >= 2n ** 63n) this.#note('st_shape_overflow', `${quoted(name)} has 2^63 bits or more`);
    else if (typeof bits === 'bigint' ? bits % 8n !== 0n : bits % 8 !== 0) this.#note('st_subbyte', `${quoted(name)} does not fill whole bytes`);
    else if (begin > end) this.#note('st_offset_reversed', `data_offsets of ${quoted(name)} end before they begin`);
    // biome-ignore lint/suspicious/noDoubleEquals: one side may be a bigint
    else if (bytes != end - begin) this.#note('st_size_mismatch', `${quoted(name)} needs ${bytes} bytes by dtype and shape, its offsets span ${end - begin}`);
  }
}

/** Bits of a tensor. Doubles are exact below 2^53, which is all but hostile files. */
function tensorBits(dtype: Dtype, shape: readonly number[]): number | bigint {
  let bits: number = DTYPE_BITS[dtype];
  for (const dimension of shape) bits *= dimension;
  if (bits < NUMBER_CEILING) return bits;
  return shape.includes(0) ? 0 : shape.reduce((product, dimension) => product * BigInt(dimension), BigInt(DTYPE_BITS[dtype]));
}

const DTYPE_NAMES: ReadonlyMap<string, Dtype> = new Map((Object.keys(DTYPE_BITS) as Dtype[]).map((name) => [name, name]));
export const FREQUENT_WORDS = ['dtype', 'shape', 'data_offsets', 'BF16', 'F16', 'U32', 'F32'];
const NO_ENTRY: TensorEntry = { name: '', dtype: 'U8', shape: [], offset: 0, bytes: 0 };
const RESERVED_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
const PLAIN_NAME = /^[\w.:/-]+$/;
/** Control characters, line separators, direction marks, zero-width characters and other invisible format characters. */
const HIDDEN_CHARACTER = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/u;
