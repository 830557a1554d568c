import type { Checkpoint } from '../mlx/index.ts';
import type { ShardedTensorEntry, TensorSource } from '../safetensors/index.ts';

/** A tensor that is read when its turn comes, in pieces of whole rows of its first dimension. */
export interface TensorStream extends TensorSource {
  readonly data: () => AsyncIterable<Uint8Array>;
}

/** Small enough that the work on a piece does not hold up the event loop. */
const PIECE_BYTES = 2 * 1024 * 1024;

/** A tensor of a checkpoint, as it is. */
export function streamOf(checkpoint: Checkpoint, entry: ShardedTensorEntry, signal?: AbortSignal): TensorStream {
  const { name, dtype, shape, bytes } = entry;
  const rows = shape[0] ?? 1;
  async function* data(): AsyncGenerator<Uint8Array> {
    if (shape.length === 0 || rows === 0) return yield await checkpoint.readTensor(name);
    const step = Math.max(1, Math.floor(PIECE_BYTES / (bytes / rows)));
    for (let from = 0; from < rows; from += step) {
      signal?.throwIfAborted();
      yield await checkpoint.readTensor(name, { rows: [from, Math.min(rows, from + step)] });
    }
  }
  return { name, dtype, shape, data };
}

/** Several tensors of one shape as one, along a new first dimension. */
export function stack(name: string, parts: readonly TensorStream[]): TensorStream {
  const { dtype, shape } = parts[0]!;
  async function* data(): AsyncGenerator<Uint8Array> {
    for (const part of parts) yield* part.data();
  }
  return { name, dtype, shape: [parts.length, ...shape], data };
}

/** Of each unit of `unitBytes`, the pieces of `pieceBytes` that `take` chooses by their place in the unit. */
export function pick(source: TensorStream, target: Omit<TensorStream, 'data'>, cut: Cut): TensorStream {
  const { unitBytes, pieceBytes, take } = cut;
  async function* data(): AsyncGenerator<Uint8Array> {
    for await (const bytes of source.data()) {
      const out: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += unitBytes)
        for (let piece = 0; piece * pieceBytes < unitBytes; piece++)
          if (take(piece)) out.push(bytes.subarray(at + piece * pieceBytes, at + (piece + 1) * pieceBytes));
      yield Buffer.concat(out);
    }
  }
  return { ...target, data };
}

interface Cut {
  readonly unitBytes: number;
  readonly pieceBytes: number;
  readonly take: (piece: number) => boolean;
}
