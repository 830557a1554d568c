import { constants, type FileHandle, open } from 'node:fs/promises';
import { HearthError } from '../../core/index.ts';
import { DTYPE_BITS } from './dtype.ts';
import type { TensorEntry } from './entry-reader.ts';
import { headerLength, parseSafetensorsHeader, type SafetensorsHeader } from './parse-header.ts';
import { Refusal } from './refusal.ts';

export interface ReadOptions {
  /** Rows of the first dimension, from inclusive, to exclusive; absent: the whole tensor. */
  readonly rows?: readonly [from: number, to: number];
  /** Rows of the last dimension, counted over all others: a stack of matrices is read as one tall matrix. Not together with `rows`. */
  readonly flatRows?: readonly [from: number, to: number];
  /** Filled and given back in place of a new array; its length must be that of the range. */
  readonly into?: Uint8Array;
}

export interface SafetensorsFile extends AsyncDisposable {
  readonly path: string;
  readonly sizeBytes: number;
  /** `__metadata__`; null where it is absent or null. */
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** Raw little-endian bytes. They own their buffer: nothing is aligned in the file. Throws st_tensor_unknown, st_row_range, st_read_failed. */
  readTensor(name: string, options?: ReadOptions): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** The part of a file handle that reading needs. */
export type ReadableFile = Pick<FileHandle, 'stat' | 'read'>;

/** One read call takes at most 2^31 − 1 bytes; pieces of this size also keep a cancel or an error near. */
const PIECE_BYTES = 2 ** 28;

/**
 * Opens the file (links are followed: hub caches keep snapshots as links to blobs) and parses its header strictly.
 * Throws HearthError with a code of security.md §4.4, or `file_system_error`.
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const handle = await openForReading(path);
  try {
    const { header, sizeBytes } = await readHeaderStably(handle, path);
    return createFile(path, sizeBytes, header, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function openForReading(path: string): Promise<FileHandle> {
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for its writer.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new HearthError('file_system_error', `Cannot open ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Parses the header and checks that the file stayed the same meanwhile. Throws HearthError. */
export async function readHeaderStably(file: ReadableFile, path: string): Promise<{ header: SafetensorsHeader; sizeBytes: number }> {
  const before = await file.stat({ bigint: true });
  if (!before.isFile()) throw new HearthError('st_not_regular', `${path} is not a regular file.`);
  const sizeBytes = Number(before.size);
  try {
    const start = await readUpTo(file, new Uint8Array(Math.min(8, sizeBytes)), 0, path);
    const bytes = await readUpTo(file, new Uint8Array(8 + headerLength(start, sizeBytes)), 0, path);
    const result = parseSafetensorsHeader(bytes, sizeBytes);
    const after = await file.stat({ bigint: true });
    if (after.size !== before.size || after.mtimeNs !== before.mtimeNs) throw new Refusal('st_file_changed', 'the file changed while it was read');
    if (!result.ok) throw new Refusal(result.code, result.message);
    return { header: result.header, sizeBytes };
  } catch (error) {
    if (error instanceof Refusal) throw new HearthError(error.code, `${path} cannot be used: ${error.message}.`, { cause: error });
    throw error;
  }
}

function createFile(path: string, sizeBytes: number, header: SafetensorsHeader, handle: FileHandle): SafetensorsFile {
  const readTensor = async (name: string, options: ReadOptions = {}): Promise<Uint8Array> => {
    const entry = header.tensors.get(name);
    if (!entry) throw new HearthError('st_tensor_unknown', `${path} holds no tensor named ${JSON.stringify(name)}.`);
    const { offset, bytes } = options.flatRows ? rowRange({ ...entry, shape: flat(entry.shape) }, options.flatRows) : rowRange(entry, options.rows);
    const target = options.into ?? new Uint8Array(bytes);
    if (target.length !== bytes) throw new HearthError('st_row_range', `The range of ${name} is ${bytes} bytes, the given array has ${target.length}.`);
    await readExactly(handle, target, offset, path);
    return target;
  };
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= handle.close();
    return closed;
  };
  return { path, sizeBytes, metadata: header.metadata, tensors: header.tensors, readTensor, close, [Symbol.asyncDispose]: close };
}

/** [a, b, c] → [a · b, c]; a vector has one row. */
const flat = (shape: readonly number[]): number[] => [shape.slice(0, -1).reduce((product, dimension) => product * dimension, 1), shape.at(-1) ?? 1];

/** Absolute byte range of some rows of a tensor. Throws HearthError st_row_range. */
export function rowRange(entry: TensorEntry, rows?: readonly [from: number, to: number]): { offset: number; bytes: number } {
  if (!rows) return { offset: entry.offset, bytes: entry.bytes };
  const [from, to] = rows;
  const count = entry.shape[0];
  if (count === undefined || !Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to < from || to > count)
    throw new HearthError('st_row_range', `Rows ${from} to ${to} of ${entry.name} do not exist; its shape is [${entry.shape.join(', ')}].`);
  const rowBytes = count === 0 ? 0 : entry.bytes / count;
  const offset = from * rowBytes;
  const bytes = (to - from) * rowBytes;
  if (!Number.isInteger(offset) || !Number.isInteger(bytes))
    throw new HearthError('st_row_range', `Rows ${from} to ${to} of ${entry.name} (${DTYPE_BITS[entry.dtype]} bits per element) do not end on whole bytes.`);
  return { offset: entry.offset + offset, bytes };
}

/** Fills `target` from `position`. Throws st_read_failed when the file ends before or cannot be read. */
export async function readExactly(file: ReadableFile, target: Uint8Array, position: number, path: string): Promise<void> {
  const got = await readUpTo(file, target, position, path);
  if (got.length < target.length)
    throw new HearthError('st_read_failed', `${path} ended at byte ${position + got.length}; ${target.length - got.length} bytes more were expected.`);
}

async function readUpTo(file: ReadableFile, target: Uint8Array, position: number, path: string): Promise<Uint8Array> {
  let done = 0;
  while (done < target.length) {
    const length = Math.min(target.length - done, PIECE_BYTES);
    const { bytesRead } = await file.read(target, done, length, position + done).catch((error: Error) => {
      throw new HearthError('st_read_failed', `Cannot read ${path}: ${error.message}`, { cause: error });
    });
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return target.subarray(0, done);
}
