import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openGguf } from '../gguf/index.ts';
import { openCheckpoint } from '../mlx/index.ts';
import { loadTokenizer } from '../tokenizer/index.ts';
import { exportGguf, importGguf } from './index.ts';

const reference = join(import.meta.dirname, '../../../test/reference');
const readJson = async <T>(path: string): Promise<T> => JSON.parse(await readFile(join(reference, path), 'utf8')) as T;
/** SmolLM2-135M-Instruct.Q4_1.gguf, 98 MB. */
const model = process.env['HEARTH_TEST_SMOLLM2_GGUF'];
const title = model === undefined ? 'the real SmolLM2 file (skipped: HEARTH_TEST_SMOLLM2_GGUF does not name it)' : 'the real SmolLM2 file';

describe.skipIf(model === undefined)(title, () => {
  let folder: string;
  let directory: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hearth-smollm2-'));
    directory = join(folder, 'mlx');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const digest = async (path: string): Promise<string> => {
    const hash = createHash('sha256');
    await pipeline(createReadStream(path), hash);
    return hash.digest('hex');
  };

  test('is the file that the goldens were recorded from', async () => {
    expect(await digest(model!)).toBe((await readJson<{ model: string }>('smollm2-greedy.json')).model);
  });

  test('becomes an MLX checkpoint that parses strictly, with no number changed', async () => {
    const report = await importGguf(model!, directory);
    expect(report).toMatchObject({ verdict: 'exact', totals: { tensors: 272, elements: 134_515_008, inexactElements: 0 } });
    await using checkpoint = await openCheckpoint(directory);
    expect(checkpoint.quantizationOf('model.layers.29.mlp.down_proj')).toEqual({ mode: 'affine', bits: 4, group: 32 });
    expect(checkpoint.quantizationOf('model.embed_tokens')).toEqual({ mode: 'affine', bits: 8, group: 32 });
    expect(checkpoint.config).toMatchObject({
      model_type: 'llama',
      hidden_size: 576,
      num_hidden_layers: 30,
      rope_theta: 100_000,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
    });
  });

  test('gives llama.cpp’s ids for 40 texts, with control tokens and without', async () => {
    const golden = await readJson<{ special: number[][]; plain: number[][] }>('smollm2-tokens.json');
    const probes = await readJson<string[]>('tokenizer/probe-texts.json');
    const tokenizer = await loadTokenizer(directory);
    expect(tokenizer).toMatchObject({ bosId: 1, eosIds: [2], addBos: false });
    for (const [index, text] of probes.entries()) {
      expect(tokenizer.encode(text, { special: true })).toEqual(golden.special[index]);
      expect(tokenizer.encode(text, { special: false })).toEqual(golden.plain[index]);
    }
  });

  test('comes back from MLX as a GGUF file with the same bytes in every tensor', async () => {
    const path = join(folder, 'back.gguf');
    await exportGguf(directory, path);
    await using before = await openGguf(model!);
    await using after = await openGguf(path);
    expect(after.header.tensors.size).toBe(before.header.tensors.size);
    for (const tensor of before.header.tensors.values()) {
      expect(after.header.tensors.get(tensor.name)).toMatchObject({ type: tensor.type, dims: tensor.dims });
      expect(Buffer.compare(await after.readTensor(tensor.name), await before.readTensor(tensor.name))).toBe(0);
    }
  });
});
