import { join } from 'node:path';
import { writeFileAtomic } from '../../core/index.ts';
import { elementCount, tensorBytes } from './dtype.ts';
import { type TensorSource, writeSafetensors } from './write.ts';

export interface ShardOptions {
  /** Tensor bytes per file; a larger tensor has a file of its own. Default 5 GiB. */
  readonly maxShardBytes?: number;
  /** Numbers of the model, where codes stand for several; by default the elements of the tensors. */
  readonly totalParameters?: number;
}

const METADATA = { format: 'mlx' };
const INDEX_FILE = 'model.safetensors.index.json';

/**
 * Writes the weights of a model: `model.safetensors`, or shards `model-0000i-of-0000n.safetensors`, and always
 * `model.safetensors.index.json`. Tensors go to the shards in the given order.
 */
export async function writeShardedCheckpoint(directory: string, tensors: readonly TensorSource[], options: ShardOptions = {}): Promise<void> {
  const shards = splitIntoShards(tensors, options.maxShardBytes ?? 5 * 2 ** 30);
  const weightMap: [name: string, file: string][] = [];
  for (const [i, shard] of shards.entries()) {
    const file = shards.length === 1 ? 'model.safetensors' : `model-${fiveDigits(i + 1)}-of-${fiveDigits(shards.length)}.safetensors`;
    await writeSafetensors(join(directory, file), shard, METADATA);
    for (const tensor of shard) weightMap.push([tensor.name, file]);
  }
  weightMap.sort(([a], [b]) => (a < b ? -1 : 1));
  const total = (count: (tensor: TensorSource) => number) => tensors.reduce((sum, tensor) => sum + count(tensor), 0);
  const metadata = {
    total_size: total((t) => tensorBytes(t.dtype, t.shape)),
    total_parameters: options.totalParameters ?? total((t) => elementCount(t.shape)),
  };
  const map = weightMap.map(([name, file]) => `    ${JSON.stringify(name)}: ${JSON.stringify(file)}`).join(',\n');
  const text = `{\n  "metadata": ${JSON.stringify(metadata)},\n  "weight_map": {\n${map}\n  }\n}\n`;
  await writeFileAtomic(join(directory, INDEX_FILE), text, 0o644);
}

function splitIntoShards(tensors: readonly TensorSource[], maxShardBytes: number): TensorSource[][] {
  const shards: TensorSource[][] = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor.dtype, tensor.shape);
    if (filled + bytes > maxShardBytes && filled > 0) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(tensor);
    filled += bytes;
  }
  return shards;
}

const fiveDigits = (n: number): string => String(n).padStart(5, '0');
