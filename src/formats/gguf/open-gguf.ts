import { constants, type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { HearthError } from '../../core/index.ts';
import { ggufRowBytes, ggufTypeByName } from './block-types.ts';
import type { GgufHeader, GgufTensor } from './header.ts';
import { MAX_HEADER_BYTES } from './header-reader.ts';
import { type GgufParse, parseGgufHeader } from './parse-header.ts';

export interface GgufReadOptions {
  readonly rows?: readonly [number, number];
  /** Filled and given back in place of a new array; its length must be that of the rows. */
  readonly into?: Uint8Array;
}

export interface GgufFile extends AsyncDisposable {
  readonly path: string;
  readonly sizeBytes: number;
  readonly header: GgufHeader;
  /** Encoded bytes of a tensor, or of its rows `[from, to)`; a row is one run of the fastest dimension. */
  readTensor(name: string, options?: GgufReadOptions): Promise<Uint8Array>;
  close(): Promise<void>;
}

const FIRST_READ = 1024 * 1024;

/**
 * Opens a GGUF file after the strict parse of its header; only the header is held in memory.
 * Throws HearthError with a `gg_*` code, naming the file. `fileName`: the name that the file goes by in its model, where `path` ends in another one.
 */
export async function openGguf(path: string, fileName = basename(path)): Promise<GgufFile> {
  const handle = await openRegular(path);
  try {
    const { header, sizeBytes } = await readHeaderStably(handle, path, fileName);
    return createFile(handle, path, sizeBytes, header);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

export type ReadableFile = Pick<FileHandle, 'stat' | 'read'>;

/** Parses the header of an open file, which must have the same size and time afterwards. */
export async function readHeaderStably(file: ReadableFile, path: string, fileName = basename(path)): Promise<{ header: GgufHeader; sizeBytes: number }> {
  const before = await file.stat({ bigint: true });
  const sizeBytes = Number(before.size);
  const parsed = await readHeader(file, path, sizeBytes, fileName);
  const after = await file.stat({ bigint: true });
  if (after.size !== before.size || after.mtimeNs !== before.mtimeNs) throw new HearthError('gg_file_changed', `${path} changed while it was read.`);
  if (!parsed.ok) throw new HearthError(parsed.code, `${path}: ${parsed.message}`);
  return { header: parsed.header, sizeBytes };
}

async function openRegular(path: string): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    // O_NONBLOCK: a pipe of that name must not make the open wait.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new HearthError('gg_read_failed', `${path} could not be opened: ${(cause as Error).message}`, { cause });
  }
  const regular = await handle.stat().then(
    (stat) => stat.isFile(),
    () => false,
  );
  if (regular) return handle;
  await handle.close();
  throw new HearthError('gg_not_regular', `${path} is not a regular file.`);
}

/** Headers grow with the vocabulary: reads a little first and more only where the parse asks for it. */
async function readHeader(file: ReadableFile, path: string, size: number, fileName: string): Promise<GgufParse> {
  for (let length = FIRST_READ; ; length *= 2) {
    const wanted = Math.min(length, size, MAX_HEADER_BYTES + 1);
    const bytes = await readRange(file, path, 0, wanted);
    const parsed = parseGgufHeader(bytes, size, { fileName });
    if (parsed.ok || parsed.code !== 'gg_truncated' || wanted < length) return parsed;
    // Free now: what is read next is as large as all reads before.
    (bytes.buffer as ArrayBuffer).transfer(0);
  }
}

async function readRange(handle: ReadableFile, path: string, offset: number, length: number, bytes: Uint8Array = new Uint8Array(length)): Promise<Uint8Array> {
  let done = 0;
  while (done < length) {
    let read: number;
    try {
      read = (await handle.read(bytes, done, Math.min(length - done, 2 ** 30), offset + done)).bytesRead;
    } catch (cause) {
      throw new HearthError('gg_read_failed', `${path} could not be read: ${(cause as Error).message}`, { cause });
    }
    if (read === 0) throw new HearthError('gg_read_failed', `${path} ended at byte ${offset + done}; ${offset + length} were expected.`);
    done += read;
  }
  return bytes;
}

function createFile(handle: FileHandle, path: string, sizeBytes: number, header: GgufHeader): GgufFile {
  const find = (name: string): GgufTensor => {
    const tensor = header.tensors.get(name);
    if (tensor === undefined) throw new HearthError('gg_read_failed', `${path} has no tensor ${name}.`);
    return tensor;
  };
  const close = () => handle.close();
  return {
    path,
    sizeBytes,
    header,
    async readTensor(name, options = {}) {
      const tensor = find(name);
      const rowBytes = ggufRowBytes(ggufTypeByName(tensor.type), tensor.dims[0]!);
      const [from, to] = options.rows ?? [0, tensor.bytes / rowBytes];
      if (!(from >= 0 && from <= to && to * rowBytes <= tensor.bytes)) {
        throw new HearthError('gg_read_failed', `${path}: rows ${from} to ${to} are outside ${name}.`);
      }
      const length = (to - from) * rowBytes;
      if ((options.into ?? { length }).length !== length)
        throw new HearthError('gg_read_failed', `${path}: rows ${from} to ${to} of ${name} are ${length} bytes.`);
      return readRange(handle, path, tensor.offset + from * rowBytes, length, options.into);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
