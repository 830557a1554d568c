import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { HearthError, replaceFile } from '../../core/index.ts';
import { type GgufTypeName, ggufRowBytes, ggufTypeByName } from './block-types.ts';
import { ELEMENT_BYTES, GGUF_VALUE_TYPES, type GgufElementType, type GgufScalar } from './header.ts';
import { parseGgufHeader } from './parse-header.ts';

/** One key to write. A list has the element type `type`. */
export interface GgufKey {
  readonly key: string;
  readonly type: GgufElementType;
  readonly value: GgufScalar | readonly GgufScalar[];
}

export interface GgufTensorSource {
  readonly name: string;
  readonly type: GgufTypeName;
  /** Fastest first. */
  readonly dims: readonly number[];
  /** All bytes, or a function that gives them in pieces when their turn comes. */
  readonly data: Uint8Array | (() => AsyncIterable<Uint8Array> | Iterable<Uint8Array>);
}

const ALIGNMENT = 32;

/**
 * Writes a GGUF file of version 3: temporary name, fsync, rename. Equal input gives equal bytes. The header is given to the
 * strict parser first; throws its `gg_*` code where it would be refused, `gg_bytes_overflow` for a source of the wrong length.
 */
export async function writeGguf(path: string, keys: readonly GgufKey[], tensors: readonly GgufTensorSource[]): Promise<void> {
  const { header, dataBytes } = makeHeader(keys, tensors);
  const parsed = parseGgufHeader(header, header.length + dataBytes, { fileName: basename(path) });
  if (!parsed.ok) throw new HearthError(parsed.code, `Cannot write ${path}: ${parsed.message}`);
  await replaceFile(path, 0o644, async (file) => {
    await writeAll(file, header);
    for (const tensor of tensors) await writeTensor(file, tensor, path);
  });
}

const bytesOf = (tensor: GgufTensorSource): number => {
  const [length, ...rest] = tensor.dims;
  return rest.reduce((product, dim) => product * dim, ggufRowBytes(ggufTypeByName(tensor.type), length!));
};

const padding = (length: number): number => (ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT;

function makeHeader(keys: readonly GgufKey[], tensors: readonly GgufTensorSource[]): { header: Uint8Array; dataBytes: number } {
  const parts: Uint8Array[] = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(keys.length)];
  for (const { key, type, value } of keys) {
    const id = GGUF_VALUE_TYPES.indexOf(type);
    parts.push(text(key));
    if (Array.isArray(value)) {
      parts.push(u32(GGUF_VALUE_TYPES.indexOf('array')), u32(id), u64(value.length));
      for (const element of value) parts.push(scalar(type, element)); // a vocabulary is too long for one call's arguments
    } else parts.push(u32(id), scalar(type, value as GgufScalar));
  }
  let offset = 0;
  for (const tensor of tensors) {
    parts.push(text(tensor.name), u32(tensor.dims.length), ...tensor.dims.map(u64), u32(ggufTypeByName(tensor.type).id), u64(offset));
    offset += bytesOf(tensor) + padding(bytesOf(tensor));
  }
  const header = Buffer.concat(parts);
  return { header: Buffer.concat([header, new Uint8Array(padding(header.length))]), dataBytes: offset };
}

const u32 = (value: number): Uint8Array => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

const u64 = (value: number | bigint): Uint8Array => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

const text = (value: string): Uint8Array => {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
};

function scalar(type: GgufElementType, value: GgufScalar): Uint8Array {
  if (type === 'string') return text(String(value));
  if (type === 'bool') return Uint8Array.of(value === true ? 1 : 0);
  const bytes = Buffer.alloc(ELEMENT_BYTES[type]);
  if (type === 'u64') bytes.writeBigUInt64LE(BigInt(value as number));
  else if (type === 'i64') bytes.writeBigInt64LE(BigInt(value as number));
  else if (type === 'f32') bytes.writeFloatLE(Number(value));
  else if (type === 'f64') bytes.writeDoubleLE(Number(value));
  else if (type.startsWith('u')) bytes.writeUIntLE(Number(value), 0, bytes.length);
  else bytes.writeIntLE(Number(value), 0, bytes.length);
  return bytes;
}

async function writeTensor(file: FileHandle, tensor: GgufTensorSource, path: string): Promise<void> {
  let written = 0;
  const pieces = tensor.data instanceof Uint8Array ? [tensor.data] : tensor.data();
  for await (const piece of pieces) {
    await writeAll(file, piece);
    written += piece.length;
  }
  const expected = bytesOf(tensor);
  if (written !== expected) throw new HearthError('gg_bytes_overflow', `Cannot write ${path}: ${tensor.name} gave ${written} bytes, not ${expected}.`);
  await writeAll(file, new Uint8Array(padding(written)));
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
}
