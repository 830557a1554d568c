// Conversions of a made model: MB of input per second, and per second of processor time of the threads that convert, and the most memory.
//   node bench/store/convert.ts [MB of weights, 256] [words of the titles ...]
// Each job runs in a process of its own, so that its memory is its own; the start of that process is not counted.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportGguf, type GgufTypeName, importGguf, type QuantiseBits, rewriteCheckpoint } from '../../src/formats/index.ts';
import type { Verdict } from '../measure.ts';
import { makeModel, retyped } from './made-model.ts';

interface Job {
  readonly title: string;
  /** Threads beside the one that asks. */
  readonly threads: number;
  /** Relative to the directory of the benchmark. */
  readonly reads: string;
  readonly writes: string;
  readonly run: (reads: string, writes: string, threads: number) => Promise<unknown>;
  /** Makes what is read, where no job before has. */
  readonly prepare?: (root: string) => Promise<unknown>;
  /** The bar of 200 MB/s per thread (docs/spec/formats.md §8.3) is about codes of 4 bits. */
  readonly bar?: true;
}

const quantise = (bits: QuantiseBits, threads: number): Job => ({
  title: `quantise to ${bits} bits`,
  threads,
  reads: 'plain',
  writes: `codes-${bits}-${threads}`,
  run: (reads, writes) => rewriteCheckpoint(reads, writes, { quantize: bits, publish: true, threads }),
  ...(bits === 4 && threads === 0 ? { bar: true } : {}),
});

const toGguf = (bits: QuantiseBits | 16, verify: 'sample' | 'full' = 'sample'): Job => ({
  title: `to GGUF, from ${bits === 16 ? 'BF16' : `codes of ${bits} bits`}${verify === 'full' ? ', every row compared' : ''}`,
  threads: 0,
  reads: bits === 16 ? 'plain' : `codes-${bits}-0`,
  writes: `from-${bits}-${verify}.gguf`,
  run: (reads, writes) => exportGguf(reads, writes, { verify }),
  prepare: (root) => rewriteCheckpoint(join(root, 'plain'), join(root, `codes-${bits}-0`), { quantize: bits as QuantiseBits, publish: true }),
  ...(bits === 4 && verify === 'sample' ? { bar: true } : {}),
});

const toMlx = (type: GgufTypeName): Job => ({
  title: `to MLX, from ${type}`,
  threads: 0,
  reads: `made-${type}.gguf`,
  writes: `mlx-${type}`,
  run: (reads, writes) => importGguf(reads, writes),
  prepare: async (root) => {
    const frame = join(root, 'from-4-sample.gguf');
    if (!existsSync(frame)) {
      if (!existsSync(join(root, 'codes-4-0'))) await toGguf(4).prepare!(root);
      await exportGguf(join(root, 'codes-4-0'), frame, { verify: 'sample' });
    }
    await retyped(frame, join(root, `made-${type}.gguf`), type);
  },
  ...(type === 'Q4_1' ? { bar: true } : {}),
});

const BITS = [4, 2, 3, 6, 8] as const;
const TYPES = ['Q4_1', 'Q4_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q5_K', 'Q6_K', 'BF16'] as const;
const JOBS: readonly Job[] = [
  ...BITS.flatMap((bits) => [quantise(bits, 0), ...(bits === 4 ? [quantise(bits, 2)] : [])]),
  ...BITS.map((bits) => toGguf(bits)),
  toGguf(4, 'full'),
  toGguf(16),
  ...TYPES.map(toMlx),
];

export interface ConvertPart {
  /** Lines of Markdown. */
  readonly table: readonly string[];
  readonly verdicts: readonly Verdict[];
}

const MOST_MB = 250;
const BAR_MB_PER_SECOND = 200;

export async function measureConversions(megabytes: number, words: readonly string[] = [], onRow: (line: string) => void = () => {}): Promise<ConvertPart> {
  const root = await mkdtemp(join(process.env['HEARTH_BENCH_DIRECTORY'] ?? tmpdir(), 'hearth-bench-'));
  const table = ['| Conversion | Threads beside | Input | MB/s | MB per processor second | Peak memory |', '|---|---|---|---|---|---|'];
  const verdicts: Verdict[] = [];
  let peak = 0;
  try {
    await makeModel(join(root, 'plain'), megabytes);
    for (const [index, job] of JOBS.entries()) {
      if (words.length > 0 && !words.some((word) => job.title.includes(word))) continue;
      if (!existsSync(join(root, job.reads))) await job.prepare!(root);
      const child = spawnSync(process.execPath, [...process.execArgv, import.meta.filename, '--job', String(index), root], { encoding: 'utf8' });
      if (child.status !== 0) throw new Error(`${job.title}: ${child.stderr}`);
      const { bytes, seconds, cpu, peakMb } = JSON.parse(child.stdout) as Measured;
      const perProcessor = bytes / 1e6 / cpu;
      const rates = [(bytes / 1e6 / seconds).toFixed(0), perProcessor.toFixed(0), `${peakMb.toFixed(0)} MB`];
      table.push(`| ${job.title} | ${job.threads} | ${(bytes / 1e6).toFixed(0)} MB | ${rates.join(' | ')} |`);
      onRow(table.at(-1)!);
      if (job.bar) verdicts.push({ id: 'F38', what: `${job.title}, MB per processor second`, value: perProcessor, bar: BAR_MB_PER_SECOND, unit: 'MB/s' });
      peak = Math.max(peak, peakMb);
      // Only codes are read again.
      if (!/^codes-.-0$|^from-4-sample/.test(job.writes)) await rm(join(root, job.writes), { recursive: true });
      if (job.reads.startsWith('made-')) await rm(join(root, job.reads));
    }
  } finally {
    await rm(root, { recursive: true, force: true });
  }
  verdicts.push({ id: 'memory', what: 'most memory of a conversion', value: peak, bar: MOST_MB, below: true, unit: 'MB' });
  return { table, verdicts };
}

interface Measured {
  readonly bytes: number;
  readonly seconds: number;
  readonly cpu: number;
  readonly peakMb: number;
}

async function runJob({ reads, writes, threads, run }: Job, root: string): Promise<Measured> {
  const [started, before] = [performance.now(), process.cpuUsage()];
  await run(join(root, reads), join(root, writes), threads);
  const { user, system } = process.cpuUsage(before);
  return {
    bytes: await sizeOf(join(root, reads)),
    seconds: (performance.now() - started) / 1000,
    cpu: (user + system) / 1e6,
    peakMb: (process.resourceUsage().maxRSS * 1024) / 1e6,
  };
}

async function sizeOf(path: string): Promise<number> {
  const info = await stat(path);
  if (!info.isDirectory()) return info.size;
  let sum = 0;
  for (const file of await readdir(path)) if (file.endsWith('.safetensors')) sum += (await stat(join(path, file))).size;
  return sum;
}

if (process.argv[2] === '--job') process.stdout.write(JSON.stringify(await runJob(JOBS[Number(process.argv[3])]!, process.argv[4]!)));
else if (import.meta.main) {
  const { table } = await measureConversions(Number(process.argv[2] ?? 256), process.argv.slice(3), (line) => console.error(line));
  console.log(table.join('\n'));
}
