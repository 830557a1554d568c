// Models whose files are large and whose weights take no disk: what `show` and `health` have to read of them is as much as in real ones.
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ARCHITECTURE, listKey, numberKey, rawFile, tensor, text, textKey, u32 } from '../../test/support/gguf-bytes.ts';

const [TENSORS, ROWS, COLUMNS] = [32_768, 64, 1024];
const TENSOR_BYTES = ROWS * COLUMNS * 2;
const VOCABULARY = 262_144;

/** 4 GiB in so many tensors as the experts of a large model have, with a tokenizer of 20 MB; and the same as GGUF with a vocabulary of 262,144 tokens. */
export async function makeLargeModels(directory: string): Promise<{ readonly mlx: string; readonly gguf: string }> {
  const [mlx, gguf] = [join(directory, 'large-mlx'), join(directory, 'large-gguf')];
  for (const path of [mlx, gguf]) await mkdir(path, { recursive: true });
  const config = { model_type: 'llama', hidden_size: COLUMNS, num_attention_heads: 16, num_hidden_layers: 2, intermediate_size: 128, vocab_size: ROWS };
  await writeFile(join(mlx, 'config.json'), JSON.stringify(config));
  await writeFile(join(mlx, 'tokenizer_config.json'), '{"chat_template":"{{ messages }}"}');
  const words = Array.from({ length: 800_000 }, (_, i) => `"token number ${i}":${i}`).join(',');
  await writeFile(join(mlx, 'tokenizer.json'), `{"model":{"vocab":{${words}}}}`);
  const entries = Array.from({ length: TENSORS }, (_, i) => {
    const offsets = [i * TENSOR_BYTES, (i + 1) * TENSOR_BYTES];
    return `"model.layers.${i >> 10}.mlp.experts.${i & 1023}.up_proj.weight":{"dtype":"F16","shape":[${ROWS},${COLUMNS}],"data_offsets":[${offsets}]}`;
  });
  const json = Buffer.from(`{${entries.join(',')}}`);
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  json.copy(header, 8);
  await sparse(join(mlx, 'model.safetensors'), header);

  const keys = [
    ARCHITECTURE,
    textKey('general.name', 'large'),
    numberKey('llama.block_count', 2),
    numberKey('llama.embedding_length', COLUMNS),
    numberKey('llama.context_length', 2048),
    textKey('tokenizer.ggml.model', 'gpt2'),
    listKey(
      'tokenizer.ggml.tokens',
      'string',
      Array.from({ length: VOCABULARY }, (_, i) => text(`token number ${i}`)),
    ),
    listKey('tokenizer.ggml.token_type', 'i32', Array<Buffer>(VOCABULARY).fill(u32(1))),
    listKey(
      'tokenizer.ggml.merges',
      'string',
      Array.from({ length: 2 * VOCABULARY }, (_, i) => text(`half ${i}`)),
    ),
  ];
  const tensors = Array.from({ length: TENSORS }, (_, i) => tensor(`blk.${i >> 10}.${i & 1023}.weight`, [COLUMNS, ROWS], 1, i * TENSOR_BYTES));
  await sparse(join(gguf, 'model.gguf'), rawFile({ keys, tensors, dataBytes: 0 }));
  return { mlx, gguf };
}

/** A file that begins with `header`; the weights are a hole. */
async function sparse(path: string, header: Uint8Array): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.write(header);
    await file.truncate(header.length + TENSORS * TENSOR_BYTES);
  } finally {
    await file.close();
  }
}
