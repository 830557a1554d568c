// Conversions of a made model: MB of input per second of processor time of the threads that convert, and the most memory that was used.
//   node bench/store/convert.ts [MB of weights, 256] [job ...]
// Each job runs in a process of its own, so that its memory is its own.
import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportGguf, importGguf, type RewriteOptions, rewriteCheckpoint, type TensorSource, writeShardedCheckpoint } from '../../src/formats/index.ts';

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
  const tensor = (name: string, shape: readonly number[]): TensorSource => ({
    name,
    dtype: 'BF16',
    shape,
    data: function* () {
      for (let left = shape.reduce((product, dimension) => product * dimension, 2); left > 0; left -= numbers.length)
        yield numbers.subarray(0, Math.min(left, numbers.length));
    },
  });
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

async function makeModel(directory: string, megabytes: number): Promise<void> {
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

const quantise = (quantize: NonNullable<RewriteOptions['quantize']>) => (root: string, threads: number) =>
  rewriteCheckpoint(join(root, 'plain'), join(root, `out-${quantize}`), { quantize, publish: true, threads });

/** Each gives what it reads, relative to the working directory of the benchmark. */
const JOBS: Readonly<Record<string, { readonly reads: string; readonly run: (root: string, threads: number) => Promise<unknown> }>> = {
  'quantise-4': { reads: 'plain', run: quantise(4) },
  'quantise-8': { reads: 'plain', run: quantise(8) },
  'quantise-3': { reads: 'plain', run: quantise(3) },
  'to-gguf': { reads: 'codes', run: (root) => exportGguf(join(root, 'codes'), join(root, 'out.gguf')) },
  'to-gguf-compared': { reads: 'codes', run: (root) => exportGguf(join(root, 'codes'), join(root, 'out.gguf'), { verify: 'full' }) },
  'to-mlx': { reads: 'made.gguf', run: (root) => importGguf(join(root, 'made.gguf'), join(root, 'out-mlx'), { verify: 'none' }) },
};

async function runJob(name: string, root: string, threads: number): Promise<void> {
  const started = performance.now();
  await JOBS[name]!.run(root, threads);
  const { user, system } = process.cpuUsage();
  const bytes = await sizeOf(join(root, JOBS[name]!.reads));
  const facts = { bytes, seconds: (performance.now() - started) / 1000, cpu: (user + system) / 1e6, peakMb: process.resourceUsage().maxRSS / 1024 };
  process.stdout.write(`${JSON.stringify(facts)}\n`);
}

async function sizeOf(path: string): Promise<number> {
  const { stat, readdir } = await import('node:fs/promises');
  const info = await stat(path);
  if (!info.isDirectory()) return info.size;
  let sum = 0;
  for (const file of await readdir(path)) if (file.endsWith('.safetensors')) sum += (await stat(join(path, file))).size;
  return sum;
}

async function main(): Promise<void> {
  const [megabytes = '256', ...chosen] = process.argv.slice(2);
  const root = await mkdtemp(join(process.env['HEARTH_BENCH_DIRECTORY'] ?? tmpdir(), 'hearth-bench-'));
  try {
    await makeModel(join(root, 'plain'), Number(megabytes));
    await rewriteCheckpoint(join(root, 'plain'), join(root, 'codes'), { quantize: 4, publish: true });
    await exportGguf(join(root, 'codes'), join(root, 'made.gguf'));
    process.stdout.write('| Conversion | Threads | Input | MB/s | MB per processor second | Peak memory |\n|---|---|---|---|---|---|\n');
    for (const name of chosen.length > 0 ? chosen : Object.keys(JOBS))
      for (const threads of name.startsWith('quantise') ? [0, 2] : [0]) {
        for (const out of ['out-4', 'out-8', 'out-3', 'out.gguf', 'out-mlx']) if (existsSync(join(root, out))) await rm(join(root, out), { recursive: true });
        const child = spawnSync(process.execPath, [...process.execArgv, import.meta.filename, '--job', name, root, String(threads)], { encoding: 'utf8' });
        if (child.status !== 0) throw new Error(child.stderr);
        const { bytes, seconds, cpu, peakMb } = JSON.parse(child.stdout) as Record<'bytes' | 'seconds' | 'cpu' | 'peakMb', number>;
        const rates = [(bytes / 1e6 / seconds).toFixed(0), (bytes / 1e6 / cpu).toFixed(0), `${peakMb.toFixed(0)} MB`];
        process.stdout.write(`| ${name} | ${threads} | ${(bytes / 1e6).toFixed(0)} MB | ${rates.join(' | ')} |\n`);
      }
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

if (process.argv[2] === '--job') await runJob(process.argv[3]!, process.argv[4]!, Number(process.argv[5]));
else await main();
