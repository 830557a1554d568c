import type { GgufFile, GgufTensor } from '../gguf/index.ts';
import { rowOrder } from './names.ts';

const CHUNK_BYTES = 4 * 1024 * 1024;

/**
 * The encoded rows of a tensor in pieces of some megabytes, in MLX order. `heads`: rows of so many heads are interleaved
 * in the file and are put back; 0 = the file's order is right already.
 */
export async function* rowChunks(file: GgufFile, tensor: GgufTensor, heads: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  if (tensor.dims.length === 1) {
    // A vector is one row; what is interleaved are its numbers.
    const bytes = await file.readTensor(tensor.name);
    yield heads === 0 ? bytes : restoreRows(bytes, tensor.bytes / tensor.elements, heads);
    return;
  }
  const rows = tensor.elements / tensor.dims[0]!;
  const rowBytes = tensor.bytes / rows;
  const unit = heads === 0 ? 1 : rows / heads;
  const step = Math.max(unit, Math.floor(CHUNK_BYTES / rowBytes / unit) * unit);
  for (let from = 0; from < rows; from += step) {
    signal?.throwIfAborted();
    const to = Math.min(rows, from + step);
    const bytes = await file.readTensor(tensor.name, { rows: [from, to] });
    yield heads === 0 ? bytes : restoreRows(bytes, rowBytes, (to - from) / unit);
  }
}

function restoreRows(bytes: Uint8Array, rowBytes: number, heads: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  rowOrder(bytes.length / rowBytes, heads).forEach((mlxRow, place) => {
    out.set(bytes.subarray(place * rowBytes, (place + 1) * rowBytes), mlxRow * rowBytes);
  });
  return out;
}
