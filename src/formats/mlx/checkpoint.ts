import { resolve } from 'node:path';
import { openShards, type ReadOptions, type ShardedTensorEntry } from '../safetensors/index.ts';
import { checkQuantization, quantizationOf } from './check-quantization.ts';
import { readModelConfig } from './config.ts';
import { type Quantization, type QuantizationPlan, readQuantization } from './quantization.ts';

export interface Checkpoint extends AsyncDisposable {
  /** Absolute. */
  readonly directory: string;
  /** config.json as it is. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, ShardedTensorEntry>;
  /** Of the whole checkpoint; null = all tensors are plain. */
  readonly quantization: QuantizationPlan | null;
  /** Of the module `modulePath` (tensor name without its leaf); null = plain. */
  quantizationOf(modulePath: string): Quantization | null;
  /** Raw little-endian bytes, see SafetensorsFile. */
  readTensor(name: string, options?: ReadOptions): Promise<Uint8Array>;
  close(): Promise<void>;
}

/**
 * Opens a model directory: config.json, safetensors files and their index. All headers are parsed and checked before it returns, tensor
 * data is read on demand. Throws `mlx_*` and `st_*` codes.
 */
export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  const absolute = resolve(directory);
  const config = await readModelConfig(absolute);
  const plan = readQuantization(config);
  const shards = await openShards(absolute);
  try {
    checkQuantization(plan, shards.tensors);
  } catch (error) {
    await shards.close();
    throw error;
  }
  return {
    directory: absolute,
    config,
    tensors: shards.tensors,
    quantization: plan,
    quantizationOf: (path) => quantizationOf(plan, shards.tensors, path),
    readTensor: shards.readTensor,
    close: shards.close,
    [Symbol.asyncDispose]: shards.close,
  };
}
