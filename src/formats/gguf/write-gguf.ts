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
  const out = createByteWriter();
  out.bytes('GGUF');
  out.scalar('u32', 3);
  out.scalar('u64', tensors.length);
  out.scalar('u64', keys.length);
  for (const { key, type, value } of keys) {
    out.scalar('string', key);
    if (Array.isArray(value)) {
      out.scalar('u32', GGUF_VALUE_TYPES.indexOf('array'));
      out.scalar('u32', GGUF_VALUE_TYPES.indexOf(type));
      out.scalar('u64', value.length);
      for (const element of value) out.scalar(type, element);
    } else {
      out.scalar('u32', GGUF_VALUE_TYPES.indexOf(type));
      out.scalar(type, value as GgufScalar);
    }
  }
  let offset = 0;
  for (const tensor of tensors) {
    out.scalar('string', tensor.name);
    out.scalar('u32', tensor.dims.length);
    for (const dim of tensor.dims) out.scalar('u64', dim);
    out.scalar('u32', ggufTypeByName(tensor.type).id);
    out.scalar('u64', offset);
    offset += bytesOf(tensor) + padding(bytesOf(tensor));
  }
  out.bytes('\0'.repeat(padding(out.written().length)));
  return { header: out.written(), dataBytes: offset };
}

interface ByteWriter {
  bytes(text: string): void;
  scalar(type: GgufElementType, value: GgufScalar): void;
  written(): Uint8Array;
}

/** One buffer that grows: a vocabulary has hundreds of thousands of numbers and texts. */
function createByteWriter(): ByteWriter {
  let buffer = Buffer.alloc(2 ** 16);
  let length = 0;
  /** Where the next bytes go; there is room for them. */
  const take = (count: number): number => {
    if (length + count > buffer.length) {
      const larger = Buffer.alloc(Math.max(2 * buffer.length, length + count));
      buffer.copy(larger, 0, 0, length);
      buffer = larger;
    }
    length += count;
    return length - count;
  };
  const bytes = (text: string): number => {
    const count = Buffer.byteLength(text);
    const at = take(count);
    return buffer.write(text, at, count);
  };
  return {
    bytes,
    scalar(type, value) {
      if (type === 'string') {
        const text = String(value);
        const at = take(8);
        buffer.writeBigUInt64LE(BigInt(Buffer.byteLength(text)), at);
        bytes(text);
        return;
      }
      const size = ELEMENT_BYTES[type];
      const at = take(size);
      if (type === 'bool') buffer[at] = value === true ? 1 : 0;
      else if (type === 'u64') buffer.writeBigUInt64LE(BigInt(value as number), at);
      else if (type === 'i64') buffer.writeBigInt64LE(BigInt(value as number), at);
      else if (type === 'f32') buffer.writeFloatLE(Number(value), at);
      else if (type === 'f64') buffer.writeDoubleLE(Number(value), at);
      else if (type.startsWith('u')) buffer.writeUIntLE(Number(value), at, size);
      else buffer.writeIntLE(Number(value), at, size);
    },
    written: () => buffer.subarray(0, length),
  };
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
