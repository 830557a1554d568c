// What the store costs: cold starts and lists against MLX Knife, memory of each verb, then what bench/store/*.ts measure: pull, hash, convert.
//   npm run bench:store [-- --package DIRECTORY] [--megabytes 2048] [--mebibytes 1024] [--write]
// --package: a compiled one; without it the sources are compiled anew. --megabytes: weights that are converted; --mebibytes: file
// that is pulled. --write replaces the tables of docs/benchmarks-store.md between their marks.
// MLX Knife is looked for in .env-peers/mlx-knife (bench/mlx-knife.ts says how to install it); without it ratios are left out.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheModel } from '../test/support/temp-store.ts';
import { builtPackage } from './built-package.ts';
import { figure, interleave, median, type Row, type Verdict, verdictTable } from './measure.ts';
import { measureConversions } from './store/convert.ts';
import { makeLargeModels } from './store/large-models.ts';
import { measurePull } from './store/pull.ts';
import { writeBetween } from './write-between.ts';

const { values } = parseArgs({
  options: {
    package: { type: 'string' },
    megabytes: { type: 'string', default: '2048' },
    mebibytes: { type: 'string', default: '1024' },
    write: { type: 'boolean', default: false },
  },
});

const root = join(import.meta.dirname, '..');
const directory = mkdtempSync(join(tmpdir(), 'hearth_test_bench_store_'));
const mlxk = join(root, '.env-peers/mlx-knife/bin/mlxk');
const withPeer = existsSync(mlxk);

interface Ran {
  readonly seconds: number;
  readonly peakBytes: number;
}

/** One process from its start to its end; its peak memory as the kernel counted it. */
function run(file: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    execFile(
      '/usr/bin/env',
      ['time', '-f', '%M', file, ...args],
      { env: { PATH: process.env['PATH'] ?? '', ...env }, maxBuffer: 1 << 26 },
      (error, _, stderr) => {
        if (error !== null) reject(new Error(`${file} ${args.join(' ')}: ${stderr.slice(-500)}`));
        else resolve({ seconds: (performance.now() - startedAt) / 1000, peakBytes: Number(stderr.trim().split('\n').at(-1)) * 1024 });
      },
    );
  });
}

const rows: Row[] = [];
const verdicts: Verdict[] = [];
const failures: string[] = [];
const startedAt = performance.now();

/** What is found is printed at once: a run that is stopped tells what it had. */
function found(verdict: Verdict): void {
  verdicts.push(verdict);
  console.error(`  ${verdict.what}: ${figure(verdict.value)} ${verdict.unit ?? '×'}`);
}

/** A part that fails leaves the tables of the others. */
async function attempt<T>(part: string, measure: () => Promise<T>): Promise<T | null> {
  console.error(`${part} (${((performance.now() - startedAt) / 60_000).toFixed(1)} min since the start)`);
  try {
    return await measure();
  } catch (error) {
    failures.push(`Not measured: ${part}. ${(error as Error).message.split('\n')[0]}`);
    console.error(error);
    return null;
  }
}
async function measureCommands(): Promise<void> {
  const packed = values.package ?? builtPackage();
  const bin = join(packed, 'bin/hearth.js');
  const places = (name: string) => ({ HOME: directory, HF_HOME: join(directory, name), HEARTH_HOME: join(directory, 'home', name) });
  const hearth = (args: readonly string[], name: string) => run(process.execPath, [bin, ...args], places(name));
  const seconds = async (ran: Promise<Ran>) => (await ran).seconds;
  const against = async (what: string, ours: readonly string[], theirs: readonly string[], name: string, rounds: number) => {
    const sides = {
      hearth: () => seconds(hearth(ours, name)),
      ...(withPeer ? { mlxk: () => seconds(run(mlxk, theirs, places(name))) } : {}),
      node: () => seconds(run(process.execPath, ['-e', '0'], places(name))),
    };
    const row = await interleave(what, sides, { rounds, unit: 's', more: false });
    rows.push(row);
    const ratio = withPeer ? median(row.results['hearth']!) / median(row.results['mlxk']!) : Number.NaN;
    found({ id: 'start', what: `${what}: hearth ÷ mlxk`, value: ratio, bar: 1.5, below: true });
  };

  await mkdir(join(directory, 'empty/hub'), { recursive: true });
  await against('version, cold start', ['version'], ['--version'], 'empty', 11);
  await against('list of an empty cache', ['list'], ['list'], 'empty', 11);

  // 75 models with tokenizers of 20 MB; half have their template in the tokenizer, where it is searched for.
  const config = { model_type: 'llama', hidden_size: 64, num_attention_heads: 4, num_hidden_layers: 2, intermediate_size: 128, vocab_size: 128 };
  const filler = `{"model":{"vocab":{${Array.from({ length: 1_000_000 }, (_, i) => `"token${i}":${i}`).join(',')}}}`;
  for (let i = 0; i < 75; i++) {
    const tail = i % 2 === 0 ? '}' : ',"chat_template":"{{ messages }}"}';
    await cacheModel(join(directory, 'many/hub'), `mlx-community/model-${String(i).padStart(2, '0')}`, {
      'config.json': JSON.stringify({ ...config, quantization: { bits: 4, group_size: 64 } }),
      'model.safetensors': 'weights',
      'tokenizer.json': `${filler.slice(0, 20_000_000 - tail.length - i)}${tail}`,
      'tokenizer_config.json': i % 2 === 0 ? '{"chat_template":"{{ messages }}"}' : '{"a":1}',
    });
  }
  // What was written in the last two seconds is judged again: let it settle.
  await new Promise((resolve) => setTimeout(resolve, 2500));
  const first = await hearth(['list', '--json'], 'many');
  found({ id: 'K17', what: '75 models, first list', value: first.seconds, bar: 1.5, below: true, unit: 's' });
  const later = await interleave(
    '75 models, later lists',
    { hearth: () => seconds(hearth(['list', '--json'], 'many')) },
    { rounds: 5, unit: 's', more: false },
  );
  rows.push(later);
  found({ id: 'K17', what: '75 models, later lists', value: median(later.results['hearth']!), bar: 1.5, below: true, unit: 's' });
  for (const args of [['version'], ['list'], ['show', 'model-00'], ['show', 'model-01', '--files', '--config'], ['health'], ['health', 'model-00', '--deep']]) {
    const { peakBytes } = await hearth(args, 'many');
    found({ id: 'memory', what: `peak of ${args.join(' ')}`, value: peakBytes / 1e6, bar: 250, below: true, unit: 'MB' });
  }
  for (const [kind, path] of Object.entries(await makeLargeModels(directory)))
    for (const args of [['show'], ['show', '--files', '--config'], ['health'], ['health', '--deep']]) {
      const { peakBytes } = await hearth([args[0]!, path, ...args.slice(1)], 'empty');
      found({ id: 'memory', what: `peak of ${args.join(' ')}, ${kind} of 4 GiB`, value: peakBytes / 1e6, bar: 250, below: true, unit: 'MB' });
    }
}

await attempt('starts, lists, memory', measureCommands).finally(() => rmSync(directory, { recursive: true, force: true }));
const pull = await attempt('pull and hash', () => measurePull({ mebibytes: Number(values.mebibytes) }));
const convert = await attempt('conversions', () => measureConversions(Number(values.megabytes), [], (line) => console.error(line)));
const measured = (list: readonly Row[]): string[] => [
  '| Measured | Side | median (min – max) |',
  '|---|---|---|',
  ...list.flatMap(({ what, unit, results }) =>
    Object.entries(results).map(
      ([side, taken]) => `| ${what}, ${unit} | ${side} | ${figure(median(taken))} (${figure(Math.min(...taken))} – ${figure(Math.max(...taken))}) |`,
    ),
  ),
  '',
];
const known = [...verdicts, ...(pull?.verdicts ?? []), ...(convert?.verdicts ?? [])].filter(({ value }) => !Number.isNaN(value));
const lines = [
  `${cpus()[0]?.model.trim()}, ${cpus().length} virtual CPUs, load average ${loadavg()[0]!.toFixed(1)} at the end, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}.`,
  '',
  ...verdictTable(known),
  ...measured([...rows, ...(pull?.rows ?? [])]),
  ...(convert?.table ?? []),
  ...failures,
];
console.log(lines.join('\n'));
if (failures.length > 0) process.exitCode = 1;
if (values.write) writeBetween(join(root, 'docs/benchmarks-store.md'), 'store', lines);
