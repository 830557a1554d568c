import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ggufBoolean, ggufNumber, openGguf } from '../gguf/index.ts';
import { openCheckpoint } from '../mlx/index.ts';
import { exportGguf, importGguf } from './index.ts';

const root = await mkdtemp(join(tmpdir(), 'hearth-bert-'));
afterAll(() => rm(root, { recursive: true }));
const golden = join(import.meta.dirname, '../../../test/reference/embeddings/bert-f32-cls');

test('[formats F24] every tensor of a tiny bert has a name in GGUF, and the encoder comes back with its numbers, settings and pooling', async () => {
  const [file, imported] = [join(root, 'bert.gguf'), join(root, 'bert')];
  const report = await exportGguf(golden, file);
  expect(report.dropped).toEqual((await tensorNames(golden)).filter((name) => name.startsWith('pooler.')));
  await using gguf = await openGguf(file);
  expect([...gguf.header.tensors.keys()]).toEqual(expect.arrayContaining(['token_embd_norm.bias', 'token_types.weight', 'blk.1.layer_output_norm.weight']));
  expect([ggufBoolean(gguf.header, 'bert.attention.causal'), ggufNumber(gguf.header, 'bert.pooling_type')]).toEqual([false, 2]);
  await importGguf(file, imported, { verify: 'full' });
  await using before = await openCheckpoint(golden);
  await using after = await openCheckpoint(imported);
  expect([...after.tensors.keys()].toSorted()).toEqual((await tensorNames(golden)).filter((name) => !name.startsWith('pooler.')).toSorted());
  for (const name of after.tensors.keys()) expect(Buffer.compare(await after.readTensor(name), await before.readTensor(name))).toBe(0);
  for (const key of [
    'hidden_size',
    'num_attention_heads',
    'layer_norm_eps',
    'type_vocab_size',
    'max_position_embeddings',
    'vocab_size',
    'model_type',
    'hidden_act',
  ])
    expect({ key, value: after.config[key] }).toEqual({ key, value: before.config[key] });
  const pooling = JSON.parse(await readFile(join(imported, '1_Pooling', 'config.json'), 'utf8')) as Record<string, unknown>;
  expect(pooling).toMatchObject({ pooling_mode_cls_token: true, pooling_mode_mean_tokens: false, word_embedding_dimension: 48 });
});

test('a pooling that GGUF does not have is refused', async () => {
  const source = join(root, 'odd');
  await cp(golden, source, { recursive: true });
  await writeFile(join(source, '1_Pooling', 'config.json'), JSON.stringify({ pooling_mode_max_tokens: true }));
  await expect(exportGguf(source, join(root, 'odd.gguf'))).rejects.toMatchObject({ code: 'convert_config_key' });
});

async function tensorNames(directory: string): Promise<string[]> {
  await using checkpoint = await openCheckpoint(directory);
  return [...checkpoint.tensors.keys()];
}
