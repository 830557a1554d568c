import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { repeatedTensor } from '../../../test/support/llama-checkpoint.ts';
import { type TensorSource, writeShardedCheckpoint } from '../safetensors/index.ts';

const root = await mkdtemp(join(tmpdir(), 'hearth-limits-'));
afterAll(() => rm(root, { recursive: true }));

const MODULE = new URL('./index.ts', import.meta.url).href;
/** Runs a conversion in a process of its own and gives the most memory that the process had, in MB. */
const PROGRAM = `
  const { exportGguf, importGguf, rewriteCheckpoint } = await import(${JSON.stringify(MODULE)});
  const [job, source, target, threads] = process.argv.slice(1);
  if (job === 'quantise') await rewriteCheckpoint(source, target, { quantize: 4, publish: true, threads: Number(threads) });
  if (job === 'export') await exportGguf(source, target, { verify: 'sample' });
  if (job === 'import') await importGguf(source, target, { verify: 'sample' });
  console.log(JSON.stringify({ peak: process.resourceUsage().maxRSS / 1024 }));
`;

async function peakOf(job: string, source: string, target: string, threads = 0): Promise<{ readonly peak: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', PROGRAM, job, source, target, String(threads)]);
  return JSON.parse(stdout) as { peak: number };
}

const numbers = new Uint8Array(Uint16Array.from({ length: 2 ** 20 }, (_, i) => 0x3c00 + ((i * 40_503) & 0x83ff)).buffer);
const tensor = (name: string, shape: readonly number[]): TensorSource => repeatedTensor(name, shape, numbers);

test('a model of 600 MB with one matrix of 400 MB is quantised in less than 250 MB of memory, exported and imported in as little memory', async () => {
  const source = join(root, 'plain');
  const [hidden, inner, vocabulary] = [1024, 4096, 200_000];
  const config = {
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: inner,
    num_hidden_layers: 6,
    num_attention_heads: 16,
    num_key_value_heads: 16,
    vocab_size: vocabulary,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: true,
    max_position_embeddings: 2048,
    torch_dtype: 'bfloat16',
  };
  const layer = (i: number): TensorSource[] => [
    ...['q', 'k', 'v', 'o'].map((part) => tensor(`model.layers.${i}.self_attn.${part}_proj.weight`, [hidden, hidden])),
    ...['gate', 'up'].map((part) => tensor(`model.layers.${i}.mlp.${part}_proj.weight`, [inner, hidden])),
    tensor(`model.layers.${i}.mlp.down_proj.weight`, [hidden, inner]),
    ...['input', 'post_attention'].map((part) => tensor(`model.layers.${i}.${part}_layernorm.weight`, [hidden])),
  ];
  await mkdir(source);
  await writeFile(join(source, 'config.json'), JSON.stringify(config));
  await writeShardedCheckpoint(source, [
    tensor('model.embed_tokens.weight', [vocabulary, hidden]),
    tensor('model.norm.weight', [hidden]),
    ...Array.from({ length: 6 }, (_, i) => layer(i)).flat(),
  ]);
  expect((await stat(join(source, 'model.safetensors'))).size).toBeGreaterThan(5e8);
  const peaks = {
    alone: await peakOf('quantise', source, join(root, 'codes')),
    threads: await peakOf('quantise', source, join(root, 'codes2'), 2),
    exported: await peakOf('export', join(root, 'codes'), join(root, 'made.gguf')),
    imported: await peakOf('import', join(root, 'made.gguf'), join(root, 'back')),
  };
  for (const [job, { peak }] of Object.entries(peaks)) expect([job, Math.round(peak), peak < 250]).toEqual([job, expect.any(Number), true]);
}, 300_000);
