import { type FileHandle, open } from 'node:fs/promises';

/** Scalars and strings of a GGUF file's metadata; an array is given as its length. Layout: docs/spec/security.md §4.5. */
export type GgufMetadata = ReadonlyMap<string, string | number | bigint | boolean | { readonly arrayLength: number }>;

const SCALAR_BYTES: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
const STRING = 8;
const ARRAY = 9;
const MAX_KEYS = 16_384;
const MAX_STRING_BYTES = 16 * 1024 * 1024;
const MAX_ARRAY = 4_194_304;
const MAX_HEADER_BYTES = 128 * 1024 * 1024;

/**
 * The metadata, or null when the head is not valid. It judges nothing: the strict parse of `formats` does, before an engine sees the file.
 * This reader only answers what a list shows (architecture, sizes, template), so it keeps no token text.
 */
export async function readGgufMetadata(path: string): Promise<GgufMetadata | null> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch {
    return null;
  }
  try {
    return await parse(new HeadReader(file));
  } catch {
    return null;
  } finally {
    await file.close();
  }
}

async function parse(reader: HeadReader): Promise<GgufMetadata | null> {
  const magic = await reader.take(4);
  if (magic.toString('latin1') !== 'GGUF') return null;
  const version = (await reader.take(4)).readUInt32LE();
  if (version !== 2 && version !== 3) return null;
  await reader.count(Number.MAX_SAFE_INTEGER);
  const keys = await reader.count(MAX_KEYS);
  const result = new Map<string, string | number | bigint | boolean | { arrayLength: number }>();
  for (let i = 0; i < keys; i++) {
    const key = await reader.text(256);
    result.set(key, await readValue(reader, (await reader.take(4)).readUInt32LE()));
  }
  return result;
}

async function readValue(reader: HeadReader, type: number): Promise<string | number | bigint | boolean | { arrayLength: number }> {
  if (type === STRING) return reader.text(MAX_STRING_BYTES);
  if (type !== ARRAY) return reader.scalar(type);
  const elementType = (await reader.take(4)).readUInt32LE();
  const length = await reader.count(MAX_ARRAY);
  if (elementType === STRING) await reader.skipStrings(length);
  else await reader.skip(length * scalarBytes(elementType));
  return { arrayLength: length };
}

function scalarBytes(type: number): number {
  const bytes = SCALAR_BYTES[type];
  if (bytes === undefined) throw new RangeError(`unknown value type ${type}`);
  return bytes;
}

/** Reads forward in pieces of 256 KiB. */
class HeadReader {
  readonly #file: FileHandle;
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;
  #filePosition = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async take(bytes: number): Promise<Buffer> {
    if (this.#buffer.length - this.#at < bytes) await this.#fill(bytes);
    const taken = this.#buffer.subarray(this.#at, this.#at + bytes);
    this.#at += bytes;
    return taken;
  }

  async skip(bytes: number): Promise<void> {
    const held = this.#buffer.length - this.#at;
    if (bytes <= held) this.#at += bytes;
    else {
      this.#filePosition += bytes - held;
      this.#buffer = Buffer.alloc(0);
      this.#at = 0;
    }
  }

  /** Without a promise per string: a vocabulary has up to 250,000. */
  async skipStrings(count: number): Promise<void> {
    for (let left = count; left > 0; left--) {
      const bytes = this.#buffer.length - this.#at >= 8 ? Number(this.#buffer.readBigUInt64LE(this.#at)) : -1;
      if (bytes >= 0 && bytes <= this.#buffer.length - this.#at - 8) this.#at += 8 + bytes;
      else await this.skip(await this.count(MAX_STRING_BYTES));
    }
  }

  async count(most: number): Promise<number> {
    const value = (await this.take(8)).readBigUInt64LE();
    if (value > BigInt(most)) throw new RangeError('count above its limit');
    return Number(value);
  }

  async text(most: number): Promise<string> {
    return (await this.take(await this.count(most))).toString('utf8');
  }

  async scalar(type: number): Promise<number | bigint | boolean> {
    const bytes = await this.take(scalarBytes(type));
    if (type === 7) return bytes[0] === 1;
    if (type === 6) return bytes.readFloatLE();
    if (type === 12) return bytes.readDoubleLE();
    if (type === 10) return bytes.readBigUInt64LE();
    if (type === 11) return bytes.readBigInt64LE();
    const signed = type === 1 || type === 3 || type === 5;
    return signed ? bytes.readIntLE(0, bytes.length) : bytes.readUIntLE(0, bytes.length);
  }

  async #fill(bytes: number): Promise<void> {
    if (this.#filePosition > MAX_HEADER_BYTES) throw new RangeError('header above its limit');
    const rest = this.#buffer.subarray(this.#at);
    const next = Buffer.alloc(Math.max(bytes - rest.length, 256 * 1024));
    const { bytesRead } = await this.#file.read(next, 0, next.length, this.#filePosition);
    this.#filePosition += bytesRead;
    this.#buffer = Buffer.concat([rest, next.subarray(0, bytesRead)]);
    this.#at = 0;
    if (this.#buffer.length < bytes) throw new RangeError('file ends inside its header');
  }
}
