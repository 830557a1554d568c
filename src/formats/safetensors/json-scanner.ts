import { Refusal } from './refusal.ts';

/** Every number that is not below it reads as it: no rule needs a value above, and below it arithmetic is exact. */
export const NUMBER_CEILING = 2 ** 53;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;
export const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

const ESCAPES: Readonly<Record<string, string>> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

export interface ScannerRules {
  /** Containers may nest this deep; the outermost counts 1. */
  readonly maxDepth: number;
  /** Whether numbers may have a fraction or an exponent. */
  readonly anyNumber: boolean;
  /** Frequent ASCII strings, no two with the same length, first and last letter: they are given back without making a new string. */
  readonly words?: readonly string[];
}

/**
 * A strict JSON reader over bytes that are known to be UTF-8. It builds nothing by itself: the caller walks objects and arrays
 * with callbacks, so that a 25 MB header costs no tree. Throws Refusal.
 */
export class JsonScanner {
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #rules: ScannerRules;
  readonly #words = new Map<number, string>();
  position: number;

  constructor(bytes: Uint8Array, start: number, end: number, rules: ScannerRules) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = end;
    this.#rules = rules;
    this.position = start;
    for (const word of rules.words ?? []) this.#words.set(wordKey(word.length, word.charCodeAt(0), word.charCodeAt(word.length - 1)), word);
  }

  /** The next byte that is not white space, not consumed; −1 at the end. */
  peek(): number {
    while (this.position < this.#end) {
      const byte = this.#bytes[this.position]!;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte;
      this.position++;
    }
    return -1;
  }

  /**
   * Walks an object; `entry` must consume the value. A key seen twice is refused, compared after unescaping; `isKnown` answers for
   * callers that keep the keys themselves.
   */
  object(depth: number, entry: (key: string) => void, isKnown?: (key: string) => boolean): void {
    this.#enter(OPEN_BRACE, depth);
    if (this.#take(CLOSE_BRACE)) return;
    const seen = isKnown ? undefined : new Set<string>();
    do {
      const key = this.string();
      if (isKnown ? isKnown(key) : seen!.has(key)) throw new Refusal('st_duplicate_key', `a key is given twice in one JSON object, near byte ${this.position}`);
      seen?.add(key);
      this.#expect(COLON);
      entry(key);
    } while (this.#take(COMMA));
    this.#expect(CLOSE_BRACE);
  }

  /** Walks an array; `element` must consume the value. */
  array(depth: number, element: () => void): void {
    this.#enter(OPEN_BRACKET, depth);
    if (this.#take(CLOSE_BRACKET)) return;
    do element();
    while (this.#take(COMMA));
    this.#expect(CLOSE_BRACKET);
  }

  string(): string {
    if (this.peek() !== QUOTE) throw this.#bad('a string is expected');
    const bytes = this.#bytes;
    const start = ++this.position;
    let ascii = true;
    for (; this.position < this.#end; this.position++) {
      const byte = bytes[this.position]!;
      if (byte === QUOTE) {
        const text = this.#word(start) ?? bytes.toString(ascii ? 'latin1' : 'utf8', start, this.position);
        this.position++;
        return text;
      }
      if (byte === BACKSLASH) return this.#escapedString(start);
      if (byte < 0x20) throw this.#control(byte);
      if (byte >= 0x80) ascii = false;
    }
    throw this.#bad('a string does not end');
  }

  /** A number in plain decimal: an optional minus, no leading zero, no fraction, no exponent; from ±2^53 on exactly ±2^53. */
  number(): number {
    const first = this.peek();
    const start = this.position;
    let value = 0;
    let plain = true;
    if (first === MINUS) this.position++;
    const digits = this.position;
    for (; this.position < this.#end; this.position++) {
      const byte = this.#bytes[this.position]!;
      if (byte >= ZERO && byte <= NINE) value = Math.min(value * 10 + (byte - ZERO), NUMBER_CEILING);
      else if (byte === 0x2b || byte === MINUS || byte === 0x2e || byte === 0x45 || byte === 0x65) plain = false;
      else break;
    }
    const length = this.position - digits;
    if (plain) plain = length > 0 && (length === 1 || this.#bytes[digits] !== ZERO) && !(first === MINUS && value === 0);
    if (plain) return first === MINUS ? -value : value;
    const text = this.#bytes.toString('latin1', start, Math.min(this.position, start + 40));
    if (this.#rules.anyNumber && this.position - start <= 40 && /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text)) return Number(text);
    throw new Refusal('st_number_form', `the number ${text} near byte ${start} is not a plain decimal integer`);
  }

  /** Consumes any value under the same rules. `depth` is that of the value itself if it is a container. */
  skip(depth: number): void {
    const byte = this.peek();
    if (byte === OPEN_BRACE) this.object(depth, () => this.skip(depth + 1));
    else if (byte === OPEN_BRACKET) this.array(depth, () => this.skip(depth + 1));
    else if (byte === QUOTE) this.string();
    else if (isNumberStart(byte)) this.number();
    else if (!this.takeWord('null') && !this.takeWord('true') && !this.takeWord('false')) throw this.#bad('a value is expected');
  }

  isString(): boolean {
    return this.peek() === QUOTE;
  }

  isNumber(): boolean {
    return isNumberStart(this.peek());
  }

  takeWord(word: 'null' | 'true' | 'false'): boolean {
    if (this.peek() !== word.charCodeAt(0)) return false;
    if (this.#bytes.toString('latin1', this.position, Math.min(this.position + word.length, this.#end)) !== word) return false;
    this.position += word.length;
    return true;
  }

  /** The frequent string between `start` and `position`, if it is one. */
  #word(start: number): string | undefined {
    const length = this.position - start;
    const word = this.#words.get(wordKey(length, this.#bytes[start]!, this.#bytes[this.position - 1]!));
    if (word === undefined) return undefined;
    for (let i = 1; i < length; i++) if (this.#bytes[start + i] !== word.charCodeAt(i)) return undefined;
    return word;
  }

  #enter(open: number, depth: number): void {
    if (depth > this.#rules.maxDepth) throw new Refusal('st_depth', `the JSON nests deeper than ${this.#rules.maxDepth} levels, near byte ${this.position}`);
    this.#expect(open);
  }

  #take(byte: number): boolean {
    if (this.peek() !== byte) return false;
    this.position++;
    return true;
  }

  #expect(byte: number): void {
    if (!this.#take(byte)) throw this.#bad(`'${String.fromCharCode(byte)}' is expected`);
  }

  /** The slow way, for strings with a backslash: `position` may stand anywhere after `start`. */
  #escapedString(start: number): string {
    const bytes = this.#bytes;
    let text = '';
    let run = start;
    for (this.position = start; this.position < this.#end; ) {
      const byte = bytes[this.position]!;
      if (byte < 0x20) throw this.#control(byte);
      if (byte !== QUOTE && byte !== BACKSLASH) {
        this.position++;
        continue;
      }
      text += bytes.toString('utf8', run, this.position);
      this.position++;
      if (byte === QUOTE) {
        if (!text.isWellFormed()) throw new Refusal('st_bad_string', `a string holds half of a surrogate pair, near byte ${this.position}`);
        return text;
      }
      text += this.#escape();
      run = this.position;
    }
    throw this.#bad('a string does not end');
  }

  #escape(): string {
    const letter = this.position < this.#end ? String.fromCharCode(this.#bytes[this.position]!) : '';
    this.position++;
    if (letter !== 'u') {
      const plain = Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter] : undefined;
      if (plain === undefined) throw this.#bad('an escape sequence is not known');
      return plain;
    }
    const digits = this.#bytes.toString('latin1', this.position, Math.min(this.position + 4, this.#end));
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw this.#bad('an escape sequence is not complete');
    this.position += 4;
    if (digits === '0000') throw new Refusal('st_bad_string', `a string holds a NUL character, near byte ${this.position}`);
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  #control(byte: number): Refusal {
    if (byte === 0) return new Refusal('st_bad_string', `a string holds a NUL character, near byte ${this.position}`);
    return this.#bad('a string holds a control character');
  }

  #bad(what: string): Refusal {
    return new Refusal('st_bad_json', `the JSON is broken near byte ${this.position}: ${what}`);
  }
}

const wordKey = (length: number, first: number, last: number): number => (length * 256 + first) * 256 + last;

const isNumberStart = (byte: number): boolean => byte === MINUS || (byte >= ZERO && byte <= NINE);
