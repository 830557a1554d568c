import type { GgufCode } from '../../contract/index.ts';
import { ELEMENT_BYTES, GGUF_VALUE_TYPES, type GgufElementType, type GgufValue, readScalar } from './header.ts';

/** Ends a parse; caught at its top and turned into a value. */
export class Refusal extends Error {
  readonly code: GgufCode;
  constructor(code: GgufCode, message: string) {
    super(message);
    this.code = code;
  }
}

export const MAX_HEADER_BYTES = 128 * 1024 * 1024;
const MAX_ARRAY = 4_194_304;
const MAX_STRING = 16 * 1024 * 1024;
const MAX_TOKEN = 4 * 1024;
const MAX_TEMPLATE = 1024 * 1024;
const MAX_KEY = 256;
/** A longer array is refused before its elements are looked at; counts beyond this are not exact. */
const TOO_BIG = Number.MAX_SAFE_INTEGER;

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lossy = new TextDecoder('utf-8', { ignoreBOM: true });
const WELL_FORMED = /^(general\.architecture|tokenizer\.chat_template.*)$/;

/** Reads forward over header bytes; every read is checked against the bytes that are there. */
export class HeaderReader {
  position = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** A u64 as a number; above 2^53 some larger number, never a smaller one than the caps that callers check. */
  count(): number {
    const at = this.#take(8);
    const high = this.#view.getUint32(at + 4, true);
    return high >= 2 ** 21 ? TOO_BIG : high * 2 ** 32 + this.#view.getUint32(at, true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  key(): string {
    const length = this.count();
    if (length === 0) throw new Refusal('gg_key_empty', 'A key is empty.');
    if (length > MAX_KEY) throw new Refusal('gg_key_long', `A key has ${length} bytes; at most ${MAX_KEY} are allowed.`);
    const key = this.#utf8(this.bytes(length), 'A key');
    if (!/^[A-Za-z0-9_.-]+$/.test(key)) throw new Refusal('gg_key_chars', `The key ${JSON.stringify(key)} has characters outside A-Z a-z 0-9 _ . -`);
    return key;
  }

  /** Tensor names: 1 to 63 bytes of printable ASCII. */
  tensorName(): string {
    const length = this.count();
    if (length === 0) throw new Refusal('gg_name_empty', 'A tensor has no name.');
    if (length >= 64) throw new Refusal('gg_name_long', `A tensor name has ${length} bytes; 63 are allowed.`);
    const bytes = this.bytes(length);
    if (bytes.some((byte) => byte <= 0x20 || byte >= 0x7f)) throw new Refusal('gg_name_chars', 'A tensor name has characters outside printable ASCII.');
    return lossy.decode(bytes);
  }

  value(key: string): GgufValue {
    const id = this.u32();
    const type = GGUF_VALUE_TYPES[id];
    if (type === undefined) throw new Refusal('gg_value_type', `The key ${key} has the unknown value type ${id}.`);
    return type === 'array' ? this.#array(key) : this.#scalar(key, type);
  }

  #scalar(key: string, type: GgufElementType): GgufValue {
    if (type === 'string') {
      const bytes = this.bytes(this.#stringLength(key, key.startsWith('tokenizer.chat_template') ? MAX_TEMPLATE : MAX_STRING));
      return { type, value: WELL_FORMED.test(key) ? this.#utf8(bytes, `The value of ${key}`) : lossy.decode(bytes) };
    }
    const at = this.#take(ELEMENT_BYTES[type]);
    if (type === 'bool') this.#checkBoolean(at, key);
    return { type, value: readScalar(this.#view, at, type) };
  }

  #array(key: string): GgufValue {
    const id = this.u32();
    const element = GGUF_VALUE_TYPES[id];
    if (element === undefined) throw new Refusal('gg_array_type', `The array ${key} has the unknown element type ${id}.`);
    if (element === 'array') throw new Refusal('gg_array_nested', `The array ${key} holds arrays.`);
    const count = this.count();
    if (count > MAX_ARRAY) throw new Refusal('gg_array_long', `The array ${key} declares ${count} elements; at most ${MAX_ARRAY} are allowed.`);
    const start = this.position;
    if (element === 'string') {
      const cap = key === 'tokenizer.ggml.tokens' ? MAX_TOKEN : MAX_STRING;
      for (let index = 0; index < count; index += 1) this.#take(this.#stringLength(key, cap));
    } else {
      this.#take(count * ELEMENT_BYTES[element]);
      if (element === 'bool') for (let at = start; at < this.position; at += 1) this.#checkBoolean(at, key);
    }
    return { type: 'array', element, count, encoded: this.#bytes.subarray(start, this.position) };
  }

  #stringLength(key: string, cap: number): number {
    const length = this.count();
    if (length > cap) throw new Refusal('gg_string_long', `A string of ${key} declares ${length} bytes; at most ${cap} are allowed.`);
    return length;
  }

  #checkBoolean(at: number, key: string): void {
    if (this.#bytes[at]! > 1) throw new Refusal('gg_bool', `A truth value of ${key} is ${this.#bytes[at]}, not 0 or 1.`);
  }

  #utf8(bytes: Uint8Array, what: string): string {
    try {
      return strict.decode(bytes);
    } catch {
      throw new Refusal('gg_string_utf8', `${what} is not UTF-8.`);
    }
  }

  #take(length: number): number {
    const start = this.position;
    if (start + length > MAX_HEADER_BYTES) throw new Refusal('gg_header_size', `The header is larger than ${MAX_HEADER_BYTES} bytes.`);
    if (start + length > this.#bytes.byteLength) throw new Refusal('gg_truncated', 'The file ends inside its header.');
    this.position = start + length;
    return start;
  }
}
