import type { GgufFile, GgufTensor } from '../gguf/index.ts';
import { rowOrder } from './names.ts';
import { release } from './release.ts';

const CHUNK_BYTES = 2 * 1024 * 1024;

/**
 * The encoded rows of a tensor in pieces of some megabytes, in MLX order. `heads`: rows of so many heads are interleaved
 * in the file and are put back; 0 = the file's order is right already. What is yielded is good until the next is asked for.
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
  const largest = Math.min(step, rows) * rowBytes;
  const read = new Uint8Array(largest);
  const restored = new Uint8Array(heads === 0 ? 0 : largest);
  try {
    for (let from = 0; from < rows; from += step) {
      signal?.throwIfAborted();
      const to = Math.min(rows, from + step);
      const bytes = await file.readTensor(tensor.name, { rows: [from, to], into: read.subarray(0, (to - from) * rowBytes) });
      yield heads === 0 ? bytes : restoreRows(bytes, rowBytes, (to - from) / unit, restored.subarray(0, bytes.length));
    }
  } finally {
    release(read);
    release(restored);
  }
}

function restoreRows(bytes: Uint8Array, rowBytes: number, heads: number, out = new Uint8Array(bytes.length)): Uint8Array {
  rowOrder(bytes.length / rowBytes, heads).forEach((mlxRow, place) => {
    out.set(bytes.subarray(place * rowBytes, (place + 1) * rowBytes), mlxRow * rowBytes);
  });
  return out;
}
