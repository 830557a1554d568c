// A made llama model of any size, and GGUF files of it with blocks of any type: what conversions are measured with.
import { randomFillSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type GgufKey,
  type GgufTensorSource,
  type GgufTypeName,
  ggufArray,
  ggufRowBytes,
  ggufTypeByName,
  openGguf,
  type TensorSource,
  writeGguf,
  writeShardedCheckpoint,
} from '../../src/formats/index.ts';
import { keepFinite } from '../../test/support/gguf-bytes.ts';
import { repeatedTensor } from '../../test/support/llama-checkpoint.ts';

const [HIDDEN, INNER, VOCABULARY] = [2048, 8192, 32_000];

/** BF16 numbers near a normal distribution: sums of four bytes, some megabytes of them again and again. */
function makeNumbers(): Uint8Array {
  const random = randomFillSync(new Uint8Array(2 ** 24));
  const numbers = new Float32Array(2 ** 22);
  for (let i = 0; i < numbers.length; i++) numbers[i] = (random[4 * i]! + random[4 * i + 1]! + random[4 * i + 2]! + random[4 * i + 3]! - 510) * 2 ** -14;
  const bits = new Uint32Array(numbers.buffer);
  return new Uint8Array(Uint16Array.from(bits, (word) => word >>> 16).buffer);
}

function tensorsOf(megabytes: number): TensorSource[] {
  const numbers = makeNumbers();
  const tensor = (name: string, shape: readonly number[]): TensorSource => repeatedTensor(name, shape, numbers);
  const layers = Math.max(1, Math.round((megabytes * 1e6 - VOCABULARY * HIDDEN * 2) / (2 * (2.5 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER))));
  const list = [tensor('model.embed_tokens.weight', [VOCABULARY, HIDDEN]), tensor('model.norm.weight', [HIDDEN])];
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`;
    const matrices: readonly [string, readonly number[]][] = [
      ['self_attn.q_proj', [HIDDEN, HIDDEN]],
      ['self_attn.k_proj', [HIDDEN / 4, HIDDEN]],
      ['self_attn.v_proj', [HIDDEN / 4, HIDDEN]],
      ['self_attn.o_proj', [HIDDEN, HIDDEN]],
      ['mlp.gate_proj', [INNER, HIDDEN]],
      ['mlp.up_proj', [INNER, HIDDEN]],
      ['mlp.down_proj', [HIDDEN, INNER]],
      ['input_layernorm', [HIDDEN]],
      ['post_attention_layernorm', [HIDDEN]],
    ];
    for (const [name, shape] of matrices) list.push(tensor(`${at}.${name}.weight`, shape));
  }
  return list;
}

/** BF16 weights of about so many megabytes, with their config. */
export async function makeModel(directory: string, megabytes: number): Promise<void> {
  await mkdir(directory);
  const tensors = tensorsOf(megabytes);
  const config = {
    model_type: 'llama',
    hidden_size: HIDDEN,
    intermediate_size: INNER,
    num_hidden_layers: (tensors.length - 2) / 9,
    num_attention_heads: 16,
    num_key_value_heads: 4,
    vocab_size: VOCABULARY,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: true,
    max_position_embeddings: 2048,
    torch_dtype: 'bfloat16',
  };
  await writeFile(join(directory, 'config.json'), JSON.stringify(config));
  await writeShardedCheckpoint(directory, tensors);
}

/** The model of a GGUF file with random blocks of another type as its matrices. */
export async function retyped(source: string, target: string, type: GgufTypeName): Promise<void> {
  await using file = await openGguf(source);
  const keys = [...file.header.keys].map(
    ([key, value]): GgufKey => (value.type === 'array' ? { key, type: value.element, value: ggufArray(value) } : { key, type: value.type, value: value.value }),
  );
  const block = ggufTypeByName(type);
  const blocks = randomFillSync(new Uint8Array(block.bytes * 2 ** 17));
  keepFinite(type, blocks);
  const again = function* (length: number) {
    for (let left = length; left > 0; left -= blocks.length) yield blocks.subarray(0, Math.min(left, blocks.length));
  };
  const tensors: GgufTensorSource[] = [];
  for (const { name, type: own, dims } of file.header.tensors.values())
    if (dims.length < 2) tensors.push({ name, type: own, dims, data: await file.readTensor(name) });
    else tensors.push({ name, type, dims, data: () => again(ggufRowBytes(block, dims[0]!) * dims[1]!) });
  await writeGguf(target, keys, tensors);
}
