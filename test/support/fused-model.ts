import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fuseRows, type LowRankAdapter } from '../../src/formats/adapters/index.ts';
import { type Checkpoint, dequantise, openCheckpoint, toWords } from '../../src/formats/mlx/index.ts';
import { decodeFloats, encodeFloats, type FloatDtype, type TensorSource, writeShardedCheckpoint } from '../../src/formats/safetensors/index.ts';

/**
 * Writes a checkpoint into which an adapter is fused: its modules become plain float32, everything else, the tokenizer too, stays as it is.
 * `scale` multiplies the adapter's own.
 */
export async function writeFusedModel(base: string, adapter: LowRankAdapter, directory: string, scale = 1): Promise<void> {
  mkdirSync(directory, { recursive: true });
  for (const name of readdirSync(base)) if (/\.(json|jinja|model)$/.test(name) && !name.includes('index')) cpSync(join(base, name), join(directory, name));
  await using checkpoint = await openCheckpoint(base);
  const tensors: TensorSource[] = [];
  for (const { name, dtype, shape } of checkpoint.tensors.values()) {
    const path = name.slice(0, name.lastIndexOf('.'));
    const module = adapter.modules.get(path);
    if (module && /\.(scales|biases)$/.test(name)) continue;
    if (!module || name.endsWith('.bias')) {
      tensors.push({ name, dtype, shape, data: await checkpoint.readTensor(name) });
      continue;
    }
    const fused = fuseRows({ ...module, scale: module.scale * scale }, await weightsOf(checkpoint, path), 0);
    const { experts, outputs, inputs, kind } = module;
    const values = encodeFloats('F32', Float32Array.from(fused));
    tensors.push({ name, dtype: 'F32', shape: [...(kind === 'experts' ? [experts] : []), outputs, inputs], data: values });
  }
  await writeShardedCheckpoint(directory, tensors);
  const { quantization, ...config } = checkpoint.config;
  const plain = Object.fromEntries([...adapter.modules.keys()].map((path) => [path, false]));
  const block = quantization === undefined ? {} : { quantization: { ...(quantization as object), ...plain } };
  writeFileSync(join(directory, 'config.json'), JSON.stringify({ ...config, quantization_config: undefined, ...block }));
}

async function weightsOf(checkpoint: Checkpoint, path: string): Promise<ArrayLike<number>> {
  const floats = async (name: string): Promise<Float32Array> =>
    decodeFloats(checkpoint.tensors.get(name)!.dtype as FloatDtype, await checkpoint.readTensor(name));
  const quantization = checkpoint.quantizationOf(path);
  if (quantization === null) return floats(`${path}.weight`);
  const words = toWords(await checkpoint.readTensor(`${path}.weight`));
  return dequantise(quantization, { words, scales: await floats(`${path}.scales`), biases: await floats(`${path}.biases`) });
}
