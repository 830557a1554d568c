import type { GgufCode } from '../../contract/index.ts';
import { type GgufHeader, type GgufTensor, type GgufValue, ggufString } from './header.ts';
import { HeaderReader, Refusal } from './header-reader.ts';
import { checkMeaning, type MeaningOptions } from './meaning.ts';
import { checkLayout, readTensorInfo } from './tensor-table.ts';

export type GgufParse = { readonly ok: true; readonly header: GgufHeader } | { readonly ok: false; readonly code: GgufCode; readonly message: string };

const MAX_TENSORS = 65_536;
const MAX_KEYS = 16_384;

/**
 * Strict parse of a GGUF header (docs/spec/security.md §4.5, docs/spec/formats.md §6).
 * `bytes` are the first bytes of the file, or all of them; `fileSize` is its true size.
 * Gives a refusal for any bad input and never throws; nothing is allocated by a declared count.
 * The header keeps views on `bytes`.
 */
export function parseGgufHeader(bytes: Uint8Array, fileSize: number, options: MeaningOptions = {}): GgufParse {
  try {
    return { ok: true, header: parse(new HeaderReader(bytes), fileSize, options) };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, code: error.code, message: error.message };
    // A fault of the parser itself must not get past the gate as an exception.
    return { ok: false, code: 'gg_read_failed', message: `The header could not be read: ${String(error)}` };
  }
}

function parse(reader: HeaderReader, fileSize: number, options: MeaningOptions): GgufHeader {
  const version = readHead(reader);
  const tensorCount = reader.count();
  if (tensorCount > MAX_TENSORS) throw new Refusal('gg_tensor_count', `The file declares ${tensorCount} tensors; at most ${MAX_TENSORS} are allowed.`);
  const keyCount = reader.count();
  if (keyCount > MAX_KEYS) throw new Refusal('gg_kv_count', `The file declares ${keyCount} keys; at most ${MAX_KEYS} are allowed.`);

  const keys = new Map<string, GgufValue>();
  for (let index = 0; index < keyCount; index += 1) {
    const key = reader.key();
    if (keys.has(key)) throw new Refusal('gg_key_duplicate', `The key ${key} appears twice.`);
    keys.set(key, reader.value(key));
  }
  const alignment = readAlignment(keys);
  if (tensorCount === 0 && (ggufString({ keys }, 'general.type') ?? 'model') === 'model') {
    throw new Refusal('gg_tensor_count', 'The file holds no tensors.');
  }

  const tensors = new Map<string, GgufTensor>();
  for (let index = 0; index < tensorCount; index += 1) {
    const tensor = readTensorInfo(reader);
    if (tensors.has(tensor.name)) throw new Refusal('gg_name_duplicate', `The tensor ${tensor.name} appears twice.`);
    tensors.set(tensor.name, tensor);
  }
  const dataOffset = Math.ceil(reader.position / alignment) * alignment;
  const placed = checkLayout(tensors, { dataOffset, alignment, fileSize });
  const header: GgufHeader = { version, alignment, dataOffset, keys, tensors: placed };
  checkMeaning(header, options);
  return header;
}

function readHead(reader: HeaderReader): 2 | 3 {
  const magic = reader.bytes(4);
  if (magic[0] !== 0x47 || magic[1] !== 0x47 || magic[2] !== 0x55 || magic[3] !== 0x46) {
    throw new Refusal('gg_magic', 'The file does not begin with GGUF.');
  }
  const version = reader.u32();
  if ((version & 0xffff) === 0) throw new Refusal('gg_endian', 'The file is big-endian; only little-endian GGUF is read.');
  if (version !== 2 && version !== 3) throw new Refusal('gg_version', `The file has GGUF version ${version}; 2 and 3 are read.`);
  return version;
}

function readAlignment(keys: ReadonlyMap<string, GgufValue>): number {
  const value = keys.get('general.alignment');
  if (value === undefined) return 32;
  if (value.type !== 'u32') throw new Refusal('gg_alignment_type', 'general.alignment is not a u32.');
  const alignment = value.value as number;
  if (alignment < 8 || alignment > 65_536 || (alignment & (alignment - 1)) !== 0) {
    throw new Refusal('gg_alignment', `general.alignment is ${alignment}; a power of two from 8 to 65,536 is expected.`);
  }
  return alignment;
}
