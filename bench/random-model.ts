import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type GraphTensors, graphTensors, modelGraph } from '../src/ember/index.ts';
import { type FloatDtype, numberToBf16, numberToF16, type TensorSource, writeShardedCheckpoint } from '../src/formats/index.ts';

export interface RandomModelOptions {
  /** config.json without its quantization block. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly bits: 4 | 8;
  readonly group: 32 | 64 | 128;
  readonly scales: FloatDtype;
  readonly seed: number;
}

/** The shape of a Llama of one billion parameters (docs/spec/engines.md B1). */
const ONE_BILLION: RandomModelOptions = {
  config: {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: 2048,
    num_hidden_layers: 16,
    intermediate_size: 8192,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: 64,
    vocab_size: 128256,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    hidden_act: 'silu',
    tie_word_embeddings: true,
    torch_dtype: 'bfloat16',
  },
  bits: 4,
  group: 64,
  scales: 'BF16',
  seed: 1,
};

/** Writes an MLX checkpoint of random weights, scaled so that activations stay of one size. Equal options give equal bytes. */
export async function makeRandomModel(directory: string, options: Partial<RandomModelOptions> = {}): Promise<void> {
  const { config, bits, group, scales, seed } = { ...ONE_BILLION, ...options };
  const graph = modelGraph(config);
  const random = createRandom(seed);
  const tensors: TensorSource[] = [];
  const norm = (name: string, length: number) =>
    tensors.push({ name, dtype: scales, shape: [length], data: encode(scales, length, () => 0.8 + 0.4 * random.unit()) });
  const linear = ({ path, inputs, outputs: own, within }: GraphTensors['linears'][number]) => {
    const outputs = within?.rows ?? own;
    const groups = outputs * (inputs / group);
    // Codes are uniform: their standard deviation is 2^bits / √12.
    const step = Math.sqrt(12 / inputs) / 2 ** bits;
    const steps = Float32Array.from({ length: groups }, () => step * (0.7 + 0.6 * random.unit()));
    const words = (outputs * inputs * bits) / 32;
    tensors.push({ name: `${path}.weight`, dtype: 'U32', shape: [outputs, (inputs * bits) / 32], data: () => random.words(words) });
    tensors.push({ name: `${path}.scales`, dtype: scales, shape: [outputs, inputs / group], data: encode(scales, groups, (i) => steps[i]!) });
    tensors.push({
      name: `${path}.biases`,
      dtype: scales,
      shape: [outputs, inputs / group],
      data: encode(scales, groups, (i) => -steps[i]! * ((2 ** bits - 1) / 2)),
    });
  };
  const { linears, norms } = graphTensors(graph);
  for (const { path, size } of norms) norm(`${path}.weight`, size);
  for (const part of new Map(linears.map((one) => [one.path, one])).values()) linear(part);
  await mkdir(directory, { recursive: true });
  await writeShardedCheckpoint(directory, tensors);
  const quantization = { group_size: group, bits, mode: 'affine' };
  await writeFile(join(directory, 'config.json'), JSON.stringify({ ...config, quantization, quantization_config: quantization }, null, 2));
}

function encode(dtype: FloatDtype, count: number, value: (index: number) => number): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(Float32Array.from({ length: count }, (_, i) => value(i)).buffer);
  const toBits = dtype === 'F16' ? numberToF16 : numberToBf16;
  const halves = new Uint16Array(count);
  for (let i = 0; i < count; i++) halves[i] = toBits(value(i));
  return new Uint8Array(halves.buffer);
}

/** xorshift32: fast enough for half a gigabyte of codes. */
function createRandom(seed: number) {
  let state = (seed * 2654435761) | 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return {
    unit: () => next() / 2 ** 32,
    *words(count: number): Iterable<Uint8Array> {
      for (let left = count; left > 0; ) {
        const piece = new Uint32Array(Math.min(left, 1 << 20));
        for (let i = 0; i < piece.length; i++) piece[i] = next();
        left -= piece.length;
        yield new Uint8Array(piece.buffer);
      }
    },
  };
}
