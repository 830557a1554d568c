import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadEmber } from './load-ember.ts';

const VOCABULARY = 4_400_000;
const HIDDEN = 1024;
const GROUPS = HIDDEN / 64;
const folder = mkdtempSync(join(tmpdir(), 'hearth-large-'));
const options = { directory: folder, activations: 'mixed', contextTokens: 64, batchTokens: 4 } as const;
/** Ids on both ranks, on both sides of 2 GiB in a rank's memory. */
const [FIRST, SECOND, THIRD] = [4_390_000, 5, 2_150_000];

/**
 * A file with holes: one layer of zeros, so that the logits are the products of embedding rows. Rows are constant per group, by their biases:
 * FIRST asks for SECOND, SECOND for THIRD.
 */
function writeLargeModel(): void {
  const layer = 'model.layers.0';
  const tensors: [name: string, dtype: 'U32' | 'F32' | 'BF16', shape: number[]][] = [];
  const linear = (path: string, rows: number) => {
    tensors.push([`${path}.weight`, 'U32', [rows, HIDDEN / 4]], [`${path}.scales`, 'BF16', [rows, GROUPS]], [`${path}.biases`, 'BF16', [rows, GROUPS]]);
  };
  linear('model.embed_tokens', VOCABULARY);
  for (const name of ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'])
    linear(`${layer}.${name}`, HIDDEN);
  for (const name of [`${layer}.input_layernorm`, `${layer}.post_attention_layernorm`, 'model.norm']) tensors.push([`${name}.weight`, 'F32', [HIDDEN]]);
  const header: Record<string, object> = {};
  const offsets: Record<string, number> = {};
  let end = 0;
  for (const [name, dtype, shape] of tensors) {
    const bytes = shape.reduce((a, b) => a * b) * (dtype === 'BF16' ? 2 : 4);
    header[name] = { dtype, shape, data_offsets: [end, end + bytes] };
    offsets[name] = end;
    end += bytes;
  }
  const json = Buffer.from(JSON.stringify(header));
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(join(folder, 'model.safetensors'), 'wx');
  writeSync(file, Buffer.concat([start, json]));
  ftruncateSync(file, 8 + json.length + end);
  const put = (name: string, at: number, bytes: Uint8Array) => writeSync(file, bytes, 0, bytes.length, 8 + json.length + offsets[name]! + at);
  for (const [name, dtype] of tensors) if (dtype === 'F32') put(name, 0, new Uint8Array(new Float32Array(HIDDEN).fill(1).buffer));
  const bf16 = (value: number) => new Uint32Array(new Float32Array([value]).buffer)[0]! >>> 16;
  const row = (id: number, values: number[]) =>
    put('model.embed_tokens.biases', id * GROUPS * 2, new Uint8Array(Uint16Array.from({ length: GROUPS }, (_, i) => bf16(values[i] ?? 0)).buffer));
  row(FIRST, [1, 0]);
  row(SECOND, [3, 5]);
  row(THIRD, [0, 10]);
  closeSync(file);
  const config = {
    model_type: 'llama',
    hidden_size: HIDDEN,
    num_hidden_layers: 1,
    intermediate_size: HIDDEN,
    num_attention_heads: 8,
    vocab_size: VOCABULARY,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    quantization: { group_size: 64, bits: 8 },
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
}

const ROOM = 12 * 2 ** 30;

describe.skipIf(freemem() < ROOM)('a model of 4.6 GiB (skipped below 12 GiB of free memory)', () => {
  beforeAll(writeLargeModel);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('[engines E13] is refused on one rank before a load, with the numbers', async () => {
    await expect(loadEmber({ ...options, ranks: 1 })).rejects.toMatchObject({
      code: 'model_load_failed',
      message: expect.stringMatching(/1 compute threads the model needs 4\.\d+ GiB in one of them, and each has 4\.00 GiB/),
    });
  });

  it('[engines E13] loads on two ranks and generates', { timeout: 300_000 }, async () => {
    await using ember = await loadEmber({ ...options, ranks: 2 });
    expect(ember.memory.weightsBytes).toBeGreaterThan(2 ** 32);
    const made = [FIRST];
    for (let position = 0; position < 3; position++) {
      const [output] = await ember.step([
        { pages: [Uint32Array.of(0)], position, tokens: made.slice(-1), output: 'last', temperature: 0, adjustments: [], candidates: 2 },
      ]);
      made.push(output!.ids[0]!);
    }
    expect(made).toEqual([FIRST, SECOND, THIRD, THIRD]);
  });
});
