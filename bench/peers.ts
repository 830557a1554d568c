// Ember beside llama.cpp and mlx-lm on the same weights, on this machine, in one run: rounds are interleaved, medians with spread, ratios.
//   npm run bench:peers [-- --model smollm2|1b] [--rounds 5] [--quick] [--write]
// --write replaces the table of docs/benchmarks.md between its marks.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startRunner } from './ember-runner.ts';
import { type BenchmarkModel, benchmarkModels } from './models.ts';
import { ensurePeers, type Peer, startPeer } from './peers/peer-process.ts';
import { startBandwidth } from './read-bandwidth.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    'no-mlx': { type: 'boolean', default: false },
  },
});
const rounds = values.quick ? 3 : Number(values.rounds);
const threads = Number(values.threads);

const median = (list: readonly number[]) => {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2;
};
const rate = (tokensPerSecond: number) => tokensPerSecond.toFixed(tokensPerSecond < 1 ? 3 : 1);
const seconds = async (peer: Peer, command: Record<string, unknown>) => Number((await peer.ask(command))['seconds']);

/** One thing measured on each side: name → a function that returns tokens per second. */
type Sides = Record<string, () => Promise<number>>;
interface Row {
  readonly what: string;
  readonly results: Record<string, number[]>;
}

async function interleave(what: string, sides: Sides, times = rounds, warmUps = 1): Promise<Row> {
  const results: Record<string, number[]> = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round < times + warmUps; round++) {
    for (const [name, measure] of Object.entries(sides)) {
      const value = await measure();
      if (round >= warmUps) results[name]!.push(value);
    }
  }
  console.error(
    `  ${what}: ${Object.entries(results)
      .map(([n, v]) => `${n} ${median(v).toFixed(1)}`)
      .join(', ')}`,
  );
  return { what, results };
}

async function measureModel(model: BenchmarkModel): Promise<{ rows: Row[]; weightsBytes: number; loadSeconds: number }> {
  console.error(model.title);
  await using mixed = await startRunner(model.directory, { ranks: threads, activations: 'mixed', contextTokens: 2560 });
  using q41 = await startPeer('llama', [model.q41, String(threads), '2560', '1']);
  using q40 = await startPeer('llama', [model.q40, String(threads), '2560', '1']);
  const n = model.decodeTokens;
  const rows: Row[] = [];
  rows.push(
    await interleave('decode, 1 stream', {
      ember: async () => n / (await mixed.decode(n)),
      'llama.cpp Q4_1': async () => n / (await seconds(q41, { decode: n, depth: 4 })),
      'llama.cpp Q4_0': async () => n / (await seconds(q40, { decode: n, depth: 4 })),
    }),
    await interleave('prefill of 512', {
      ember: async () => 512 / (await mixed.prefill(512)),
      'llama.cpp Q4_1': async () => 512 / (await seconds(q41, { prefill: 512 })),
      'llama.cpp Q4_0': async () => 512 / (await seconds(q40, { prefill: 512 })),
    }),
    await interleave(
      'decode at depth 2,048',
      {
        ember: async () => n / (await mixed.decode(n, { depth: 2048 })),
        'llama.cpp Q4_1': async () => n / (await seconds(q41, { decode: n, depth: 2048 })),
      },
      2,
      0, // its long prompts are warm-up enough
    ),
  );
  if (!values['no-mlx']) {
    using mlx = await startPeer('mlx', [model.directory]);
    rows.push(
      await interleave(
        'decode, 1 stream, short',
        {
          ember: async () => n / (await mixed.decode(n)),
          'mlx-lm': async () => model.mlxTokens / (await seconds(mlx, { decode: model.mlxTokens })),
        },
        2,
      ),
    );
  }
  for (const activations of ['int8', 'int16'] as const) {
    await using other = await startRunner(model.directory, { ranks: threads, activations, contextTokens: 2560 });
    rows.push(
      await interleave(
        `decode, 1 stream, ${activations} path`,
        { [`ember ${activations}`]: async () => n / (await other.decode(n)), ember: async () => n / (await mixed.decode(n)) },
        3,
      ),
    );
    rows.push(
      await interleave(
        `prefill of 512, ${activations} path`,
        { [`ember ${activations}`]: async () => 512 / (await other.prefill(512)), ember: async () => 512 / (await mixed.prefill(512)) },
        2,
      ),
    );
  }
  return { rows, weightsBytes: mixed.ember.memory.weightsBytes, loadSeconds: mixed.loadSeconds };
}

function table(title: string, rows: readonly Row[]): string[] {
  const lines = [`### ${title}`, '', '| Measured | Side | tokens/s, median (min – max) | ember ÷ side |', '|---|---|---|---|'];
  for (const row of rows) {
    const first = Object.keys(row.results)[0]!;
    for (const [name, list] of Object.entries(row.results)) {
      const ratio = name === first ? '' : `${(median(row.results[first]!) / median(list)).toFixed(2)} ×`;
      lines.push(
        `| ${name === first ? row.what : ''} | ${name} | ${rate(median(list))} (${rate(Math.min(...list))} – ${rate(Math.max(...list))}) | ${ratio} |`,
      );
    }
  }
  return [...lines, ''];
}

ensurePeers();
const models = await benchmarkModels(values.model);
const bandwidth = await startBandwidth(threads);
const output: string[] = [];
for (const model of models) {
  const before = await bandwidth.measure();
  const { rows, weightsBytes, loadSeconds } = await measureModel(model);
  const readable = Math.max(before, await bandwidth.measure(), await bandwidth.measure());
  const decode = median(rows[0]!.results['ember']!);
  output.push(...table(model.title, rows));
  output.push(
    `Weights ${(weightsBytes / 1e6).toFixed(0)} MB, loaded in ${loadSeconds.toFixed(2)} s. Decode reads ${((decode * weightsBytes) / 1e9).toFixed(1)} GB/s of ${(readable / 1e9).toFixed(1)} GB/s that the machine reads with ${threads} threads: ${((decode * weightsBytes) / readable).toFixed(2)}.`,
    '',
  );
}
await bandwidth.close();
const head = `Machine: ${cpus()[0]?.model ?? 'unknown'}, ${threads} threads of ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB. Node ${process.version}. ${new Date().toISOString().slice(0, 10)}. Medians of ${rounds} interleaved rounds (2 or 3 where a round is long), after a round that is not counted.`;
const text = [head, '', ...output].join('\n');
console.log(text);
if (values.write) {
  const file = join(import.meta.dirname, '../docs/benchmarks.md');
  const begin = '<!-- peers: begin -->';
  const end = '<!-- peers: end -->';
  const old = existsSync(file) ? readFileSync(file, 'utf8') : `# Benchmarks\n\n${begin}\n${end}\n`;
  const from = old.indexOf(begin);
  const to = old.indexOf(end);
  writeFileSync(file, `${old.slice(0, from + begin.length)}\n${text}\n${old.slice(to)}`);
}
