import type { FileHandle } from 'node:fs/promises';
import { HearthError, replaceFile } from '../../core/index.ts';
import { DTYPE_BITS, type Dtype, tensorBytes } from './dtype.ts';
import { parseSafetensorsHeader } from './parse-header.ts';

export interface TensorSource {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** All bytes, or a function that gives them in pieces when their turn comes. */
  readonly data: Uint8Array | (() => AsyncIterable<Uint8Array> | Iterable<Uint8Array>);
}

/**
 * Writes one file: header padded with spaces to a multiple of 8, tensors by dtype width (widest first), then by name, so that equal input
 * gives equal bytes. The file appears under its name only when it is complete. Throws `st_*` for a table that the strict parser would refuse,
 * `st_size_mismatch` for a source that gives another number of bytes.
 */
export async function writeSafetensors(path: string, tensors: readonly TensorSource[], metadata?: Readonly<Record<string, string>>): Promise<void> {
  const ordered = tensors.toSorted(byWidthThenName);
  const header = makeHeader(path, ordered, metadata);
  await replaceFile(path, 0o644, async (file) => {
    await writeAll(file, header);
    for (const tensor of ordered) await writeTensor(file, tensor);
  });
}

/** Widest dtype first, then names by code unit. */
function byWidthThenName(a: TensorSource, b: TensorSource): number {
  return DTYPE_BITS[b.dtype] - DTYPE_BITS[a.dtype] || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

function makeHeader(path: string, ordered: readonly TensorSource[], metadata?: Readonly<Record<string, string>>): Uint8Array {
  // Built as text: an object would move names that look like numbers to the front and lose `__proto__`.
  const entries = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  let offset = 0;
  for (const { name, dtype, shape } of ordered) {
    const end = offset + tensorBytes(dtype, shape);
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`);
    offset = end;
  }
  const json = Buffer.from(`{${entries.join(',')}}`);
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  json.copy(header, 8);
  const result = parseSafetensorsHeader(header, header.length + offset);
  if (!result.ok) throw new HearthError(result.code, `Cannot write ${path}: ${result.message}.`);
  return header;
}

async function writeTensor(file: FileHandle, tensor: TensorSource): Promise<void> {
  const expected = tensorBytes(tensor.dtype, tensor.shape);
  let written = 0;
  const pieces = tensor.data instanceof Uint8Array ? [tensor.data] : tensor.data();
  for await (const piece of pieces) {
    written += piece.length;
    if (written > expected) break;
    await writeAll(file, piece);
  }
  if (written !== expected) throw new HearthError('st_size_mismatch', `${tensor.name} needs ${expected} bytes, its source gave ${written} or more.`);
}

/** One write call may take only a part, and never more than 2^31 − 1 bytes. */
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, Math.min(bytes.length - done, 2 ** 28));
    done += bytesWritten;
  }
}
