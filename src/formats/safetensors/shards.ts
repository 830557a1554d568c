import { isUtf8 } from 'node:buffer';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError } from '../../core/index.ts';
import type { TensorEntry } from './entry-reader.ts';
import { JsonScanner, OPEN_BRACE } from './json-scanner.ts';
import { openSafetensors, type ReadOptions, type SafetensorsFile } from './open.ts';
import { quoted, Refusal } from './refusal.ts';

export interface ShardedTensorEntry extends TensorEntry {
  /** Absolute path of the file that holds it. */
  readonly file: string;
}

export interface Shards extends AsyncDisposable {
  readonly files: readonly SafetensorsFile[];
  readonly tensors: ReadonlyMap<string, ShardedTensorEntry>;
  readTensor(name: string, options?: ReadOptions): Promise<Uint8Array>;
  close(): Promise<void>;
}

const INDEX_FILE = 'model.safetensors.index.json';
const INDEX_LIMIT_BYTES = 64 * 2 ** 20;
const SHARD_NAME = /^[A-Za-z0-9._-]{1,128}\.safetensors$/;
/** Whether an index may give this as the file of a tensor: a plain name beside it. */
export const isShardName = (name: string): boolean => SHARD_NAME.test(name);

/**
 * Opens the weights of a directory: the files that `model.safetensors.index.json` names, which must be all `.safetensors` files there, or
 * `model*.safetensors` where there is no index. Each tensor must be in one file only, the one that the index says.
 * Throws `st_*` codes. `directory` is absolute.
 */
export async function openShards(directory: string): Promise<Shards> {
  const present = await listWeightFiles(directory);
  const index = await readIndex(join(directory, INDEX_FILE));
  const names = index ? [...new Set(index.values())].sort() : present.filter((name) => name.startsWith('model'));
  if (names.length === 0) throw new HearthError('st_index_missing_file', `${directory} holds no model*.safetensors file.`);
  for (const name of names)
    if (!present.includes(name)) throw new HearthError('st_index_missing_file', `The index of ${directory} names ${name}, which is not there.`);
  if (index)
    for (const name of present)
      if (!names.includes(name))
        throw new HearthError('st_index_unlisted_file', `${name} lies in ${directory}, but its index does not name it; other engines would load it.`);
  const files: SafetensorsFile[] = [];
  try {
    for (const name of names) files.push(await openSafetensors(join(directory, name)));
    return createShards(files, mergeTables(directory, files, index));
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

async function listWeightFiles(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => name.endsWith('.safetensors')).sort();
  } catch (error) {
    throw new HearthError('file_system_error', `Cannot read the directory ${directory}: ${(error as Error).message}`, { cause: error });
  }
}

/** Tensor name → file name, or null where there is no index. */
async function readIndex(path: string): Promise<ReadonlyMap<string, string> | null> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new HearthError('file_system_error', `Cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  try {
    return parseIndex(bytes);
  } catch (error) {
    if (error instanceof Refusal) throw new HearthError(error.code, `${path} cannot be used: ${error.message}.`, { cause: error });
    throw error;
  }
}

function parseIndex(bytes: Uint8Array): ReadonlyMap<string, string> {
  if (bytes.length > INDEX_LIMIT_BYTES) throw new Refusal('st_header_too_big', `the index is larger than ${INDEX_LIMIT_BYTES} bytes`);
  if (!isUtf8(bytes)) throw new Refusal('st_not_utf8', 'the index is not UTF-8');
  const scanner = new JsonScanner(bytes, 0, bytes.length, { maxDepth: 16, anyNumber: true });
  const weightMap = new Map<string, string>();
  scanner.object(1, (key) => {
    if (key !== 'weight_map' || scanner.peek() !== OPEN_BRACE) return scanner.skip(2);
    scanner.object(2, (name) => {
      const file = scanner.isString() ? scanner.string() : '';
      if (!isShardName(file)) throw new Refusal('st_index_name', `weight_map gives ${quoted(file)} as the file of ${quoted(name)}`);
      weightMap.set(name, file);
    });
  });
  if (scanner.peek() !== -1) throw new Refusal('st_two_documents', 'a second JSON document follows the index');
  if (weightMap.size === 0) throw new Refusal('st_index_missing_tensor', 'weight_map is missing or empty');
  return weightMap;
}

function mergeTables(directory: string, files: readonly SafetensorsFile[], index: ReadonlyMap<string, string> | null): Map<string, ShardedTensorEntry> {
  const tensors = new Map<string, ShardedTensorEntry>();
  for (const file of files) {
    for (const entry of file.tensors.values()) {
      const other = tensors.get(entry.name);
      if (other) throw new HearthError('st_index_duplicate_tensor', `${quoted(entry.name)} is in ${other.file} and in ${file.path}.`);
      tensors.set(entry.name, { ...entry, file: file.path });
    }
  }
  if (!index) return tensors;
  for (const [name, file] of index) {
    const entry = tensors.get(name);
    if (!entry) throw new HearthError('st_index_missing_tensor', `The index of ${directory} names ${quoted(name)}, which no file holds.`);
    if (entry.file !== join(directory, file))
      throw new HearthError('st_index_wrong_file', `The index puts ${quoted(name)} into ${file}, it is in ${entry.file}.`);
  }
  for (const entry of tensors.values())
    if (!index.has(entry.name)) throw new HearthError('st_index_missing_tensor', `${quoted(entry.name)} of ${entry.file} is missing in the index.`);
  return tensors;
}

function createShards(files: readonly SafetensorsFile[], tensors: ReadonlyMap<string, ShardedTensorEntry>): Shards {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const readTensor = async (name: string, options?: ReadOptions): Promise<Uint8Array> => {
    const entry = tensors.get(name);
    if (!entry) throw new HearthError('st_tensor_unknown', `The checkpoint holds no tensor named ${JSON.stringify(name)}.`);
    return byPath.get(entry.file)!.readTensor(name, options);
  };
  const close = async (): Promise<void> => {
    await Promise.all(files.map((file) => file.close()));
  };
  return { files, tensors, readTensor, close, [Symbol.asyncDispose]: close };
}
