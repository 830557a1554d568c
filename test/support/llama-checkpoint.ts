import { cp, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packCodes, type Quantization } from '../../src/formats/mlx/index.ts';
import { encodeFloats, type FloatDtype, type TensorSource, writeShardedCheckpoint } from '../../src/formats/safetensors/index.ts';

/** Small llama checkpoints with chosen numbers, for tests of conversion. */
export const TOKENIZER = join(import.meta.dirname, '../reference/tokenizer/byte-level-smollm');
export const TEMPLATE = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' }}{% endfor %}";

export const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  attention_bias: false,
  head_dim: 64,
  hidden_act: 'silu',
  hidden_size: 256,
  intermediate_size: 512,
  max_position_embeddings: 2048,
  mlp_bias: false,
  num_attention_heads: 4,
  num_hidden_layers: 1,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 100_000,
  tie_word_embeddings: true,
  vocab_size: 928,
};

export const MATRICES: Readonly<Record<string, readonly [rows: number, columns: number]>> = {
  'model.embed_tokens': [928, 256],
  'model.layers.0.self_attn.q_proj': [256, 256],
  'model.layers.0.self_attn.k_proj': [128, 256],
  'model.layers.0.self_attn.v_proj': [128, 256],
  'model.layers.0.self_attn.o_proj': [256, 256],
  'model.layers.0.mlp.gate_proj': [512, 256],
  'model.layers.0.mlp.up_proj': [512, 256],
  'model.layers.0.mlp.down_proj': [256, 512],
};
export const NORMS = ['model.norm', 'model.layers.0.input_layernorm', 'model.layers.0.post_attention_layernorm'];

/** Numbers from 0 to 2^32 − 1 that are the same in every run. */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return ((state >>> 16) | (Math.imul(state, 0x9e3779b1) & 0xffff_0000)) >>> 0;
  };
}

export interface LayerNumbers {
  readonly codes: Uint8Array;
  readonly scales: Float32Array | Uint8Array;
  readonly biases?: Float32Array;
}

export interface FixtureOptions {
  readonly quantization: Quantization;
  readonly dtype: FloatDtype;
  /** Changes the random numbers of a layer; scales and biases are then rounded to `dtype`. */
  readonly edit?: (numbers: LayerNumbers, module: string) => void;
}

/** Random scales near 2^−6 and biases near −2^−3. */
function randomLayer(quantization: Quantization, count: number, random: () => number): LayerNumbers {
  const codes = Uint8Array.from({ length: count }, () => random() & (2 ** quantization.bits - 1));
  const groups = count / quantization.group;
  if (quantization.mode !== 'affine') {
    // E8M0 near 1; E4M3 below its NaN. An fp8 code of 0x7F is no number that can be converted.
    if (quantization.bits === 8) for (let i = 0; i < count; i += 1) if ((codes[i]! & 0x7f) === 0x7f) codes[i] = 0;
    return { codes, scales: Uint8Array.from({ length: groups }, () => (quantization.mode === 'nvfp4' ? random() % 0x7f : 117 + (random() % 20))) };
  }
  const spread = () => 1 + (random() % 1000) / 1000;
  return { codes, scales: Float32Array.from({ length: groups }, () => spread() / 64), biases: Float32Array.from({ length: groups }, () => -spread() / 8) };
}

/** Writes a checkpoint and gives its folder, which has a tokenizer and a chat template too. */
export async function makeCheckpoint(options: FixtureOptions): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hearth-convert-'));
  const random = createRandom(99);
  const { quantization, dtype } = options;
  const tensors: TensorSource[] = NORMS.map((module) => ({
    name: `${module}.weight`,
    dtype: 'F32',
    shape: [256],
    data: encodeFloats(
      'F32',
      Float32Array.from({ length: 256 }, () => (random() % 1000) / 500),
    ),
  }));
  for (const [module, [rows, columns]] of Object.entries(MATRICES)) {
    const numbers = randomLayer(quantization, rows * columns, random);
    options.edit?.(numbers, module);
    const words = packCodes(quantization.bits, numbers.codes);
    const plain = (values: Float32Array | Uint8Array): Uint8Array => (values instanceof Uint8Array ? values : encodeFloats(dtype, values));
    const side = (leaf: string, values: Float32Array | Uint8Array): TensorSource => ({
      name: `${module}.${leaf}`,
      dtype: values instanceof Uint8Array ? 'U8' : dtype,
      shape: [rows, columns / quantization.group],
      data: plain(values),
    });
    tensors.push({ name: `${module}.weight`, dtype: 'U32', shape: [rows, (columns * quantization.bits) / 32], data: new Uint8Array(words.buffer) });
    tensors.push(side('scales', numbers.scales));
    if (numbers.biases !== undefined) tensors.push(side('biases', numbers.biases));
  }
  await writeShardedCheckpoint(folder, tensors);
  const block = { group_size: quantization.group, bits: quantization.bits, mode: quantization.mode };
  await writeFile(
    join(folder, 'config.json'),
    JSON.stringify({ ...CONFIG, quantization: block, quantization_config: block, bos_token_id: 1, eos_token_id: 2 }),
  );
  await cp(join(TOKENIZER, 'tokenizer.json'), join(folder, 'tokenizer.json'));
  await writeFile(
    join(folder, 'tokenizer_config.json'),
    JSON.stringify({ bos_token: '<|im_start|>', eos_token: '<|im_end|>', add_bos_token: false, chat_template: TEMPLATE }),
  );
  await writeFile(join(folder, 'generation_config.json'), JSON.stringify({ bos_token_id: 1, eos_token_id: 2 }));
  return folder;
}

/** A BF16 tensor of any size that takes little memory: the same bytes again and again. */
export const repeatedTensor = (name: string, shape: readonly number[], numbers: Uint8Array): TensorSource => ({
  name,
  dtype: 'BF16',
  shape,
  data: function* () {
    for (let left = shape.reduce((product, dimension) => product * dimension, 2); left > 0; left -= numbers.length)
      yield numbers.subarray(0, Math.min(left, numbers.length));
  },
});
