import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AdapterModule, type BaseModule, type LowRankAdapter, sortedModules } from '../../src/formats/adapters/index.ts';
import { type Dtype, encodeFloats, type TensorSource, writeSafetensors } from '../../src/formats/safetensors/index.ts';
import { createRandom } from './llama-checkpoint.ts';

/** Small random adapters, and files of them in the forms that hearth reads but does not write. */

export interface TinyAdapterOptions {
  readonly seed?: number;
  readonly rank?: number;
  readonly scale?: number;
  readonly dora?: boolean;
  /** Size of the numbers of A and B. */
  readonly spread?: number;
}

/** Numbers between −spread and spread that are the same in every run. */
export function randomNumbers(count: number, seed: number, spread: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => (random() / 2 ** 31 - 1) * spread);
}

/** An adapter that changes every given module of a base. */
export function makeTinyAdapter(base: Iterable<BaseModule>, options: TinyAdapterOptions = {}): LowRankAdapter {
  const { seed = 1, rank = 4, scale = 2, dora = false, spread = 0.25 } = options;
  const modules = [...base].map(({ path, kind, inputs, outputs, experts }, i): AdapterModule => {
    const numbers = (count: number, salt: number): Float32Array => randomNumbers(count, seed * 1000 + i * 10 + salt, spread);
    const m = dora ? numbers(outputs, 3).map((x) => 1 + x) : null;
    return { path, kind, inputs, outputs, experts, rank, scale, a: numbers(experts * rank * inputs, 1), b: numbers(experts * outputs * rank, 2), m };
  });
  return { kind: dora ? 'dora' : 'lora', format: 'mlx-lm', modules: sortedModules(modules), selection: null, baseModel: null, fileBytes: 0 };
}

export interface RawTensor {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
  readonly dtype?: Dtype;
}

/** A directory with adapter_config.json and one file of tensors, as given. */
export async function writeRawAdapter(directory: string, config: unknown, file: string, tensors: Readonly<Record<string, RawTensor>>): Promise<void> {
  mkdirSync(directory, { recursive: true });
  if (config !== undefined) writeFileSync(join(directory, 'adapter_config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  const sources = Object.entries(tensors).map(([name, { shape, values, dtype = 'F32' }]): TensorSource => {
    const float = dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
    return { name, dtype, shape, data: float ? encodeFloats(dtype, Float32Array.from(values)) : Uint8Array.from(values) };
  });
  await writeSafetensors(join(directory, file), sources);
}
