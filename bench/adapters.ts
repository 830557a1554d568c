// Adapters beside the base (docs/spec/engines.md B7): decode of 8 sequences with 8 adapters ÷ without any, and the load of a 50 MB adapter.
//   node bench/adapters.ts smollm2|1b|DIR [--ranks 2] [--rank 8] [--layers 16] [--decode 16] [--rounds 5] [--dora]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { graphTensors, loadEmber, modelGraph, type StepSequence } from '../src/ember/index.ts';
import { type AdapterModule, type LowRankAdapter, readAdapter, readModelConfig, sortedModules, writeMlxAdapter } from '../src/formats/index.ts';
import { median } from './measure.ts';
import { benchmarkModels } from './models.ts';

const number = (value: string) => ({ type: 'string' as const, default: value });
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ranks: number('2'),
    rank: number('8'),
    layers: number('16'),
    decode: number('16'),
    rounds: number('5'),
    dora: { type: 'boolean', default: false },
  },
});
const name = positionals[0] ?? '1b';
const directory = name === '1b' || name === 'smollm2' ? (await benchmarkModels(name))[0]!.directory : name;
const STREAMS = 8;
const STREAM_TOKENS = 256;

const graph = modelGraph(await readModelConfig(directory));
/** As mlx-lm trains by default: every linear module of the last 16 blocks. */
const firstLayer = graph.layers.length - Number(values.layers);
const linears = graphTensors(graph).linears.filter(({ path }) => Number(/\.layers\.(\d+)\./.exec(path)?.[1] ?? -1) >= Math.max(0, firstLayer));

function randomAdapter(rank: number, dora: boolean): LowRankAdapter {
  const modules = linears.map(({ path, inputs, outputs: own, within }): AdapterModule => {
    const outputs = within?.rows ?? own;
    const numbers = (count: number) => Float32Array.from({ length: count }, () => (Math.random() - 0.5) / 50);
    const m = dora ? new Float32Array(outputs).fill(1) : null;
    return { path, kind: 'linear', rank, scale: 2, inputs, outputs, experts: 1, a: numbers(rank * inputs), b: numbers(outputs * rank), m };
  });
  return { kind: dora ? 'dora' : 'lora', format: 'mlx-lm', modules: sortedModules(modules), selection: null, baseModel: null, fileBytes: 0 };
}

const bytesPerRank = linears.reduce((sum, { inputs, outputs, within }) => sum + 4 * (inputs + (within?.rows ?? outputs)), 0);
const rank = Number(values.rank);
await using ember = await loadEmber({
  directory,
  ranks: Number(values.ranks),
  activations: 'mixed',
  contextTokens: (STREAMS + 1) * STREAM_TOKENS,
  batchTokens: 256,
});
const pagesOf = (stream: number) => Uint32Array.from({ length: STREAM_TOKENS / 32 }, (_, i) => (stream * STREAM_TOKENS) / 32 + i);
const sequence = (stream: number, position: number, tokens: readonly number[], slot: number | null): StepSequence => ({
  pages: pagesOf(stream),
  position,
  tokens,
  output: 'last',
  temperature: 1,
  adjustments: [],
  candidates: 1,
  ...(slot === null ? {} : { adapter: { slot, scale: 1 } }),
});
const streams = Array.from({ length: STREAMS }, (_, i) => i);

/** Tokens per second of all streams; `slotOf`: the adapter of a stream. */
async function decode(slotOf: (stream: number) => number | null): Promise<number> {
  let last = (await ember.step(streams.map((i) => sequence(i, 0, [100 + i, 101, 102, 103], slotOf(i))))).map((output) => output!.ids[0]!);
  const steps = Number(values.decode);
  const begin = performance.now();
  for (let n = 0; n < steps; n++) last = (await ember.step(streams.map((i) => sequence(i, 4 + n, [last[i]!], slotOf(i))))).map((output) => output!.ids[0]!);
  return (steps * STREAMS * 1000) / (performance.now() - begin);
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
for (const slot of streams) await ember.loadAdapter(slot, randomAdapter(rank, values.dora));
console.log(
  `${name}: ${STREAMS} adapters of rank ${rank} over ${linears.length} modules, ${mib(bytesPerRank * rank)} a file, ${mib(ember.adapterBytes / STREAMS)} in memory`,
);
const sides: Record<string, { slotOf: (stream: number) => number | null; results: number[] }> = {
  'without adapters': { slotOf: () => null, results: [] },
  'one adapter': { slotOf: () => 0, results: [] },
  '8 adapters': { slotOf: (stream) => stream, results: [] },
};
for (let round = 0; round <= Number(values.rounds); round++)
  for (const { slotOf, results } of Object.values(sides)) {
    const rate = await decode(slotOf);
    if (round > 0) results.push(rate);
  }
const [base] = Object.values(sides);
for (const [side, { results }] of Object.entries(sides)) {
  const ratios = results.map((rate, i) => rate / base!.results[i]!);
  console.log(`  decode of ${STREAMS} streams, ${side}: ${median(results).toFixed(1)} tokens/s, ÷ without ${median(ratios).toFixed(2)}`);
}

const folder = await mkdtemp(join(tmpdir(), 'hearth-bench-adapter-'));
try {
  const wide = Math.max(1, Math.round(50e6 / bytesPerRank));
  await writeMlxAdapter(folder, randomAdapter(wide, values.dora));
  const times: number[] = [];
  for (let round = 0; round <= Number(values.rounds); round++) {
    const begin = performance.now();
    await ember.loadAdapter(100, await readAdapter(folder));
    if (round > 0) times.push(performance.now() - begin);
    await ember.dropAdapter(100);
  }
  console.log(
    `  load of an adapter of ${mib(bytesPerRank * wide)} (rank ${wide}): ${median(times).toFixed(0)} ms (${times.map((ms) => ms.toFixed(0)).join(', ')})`,
  );

  // A stream that runs meanwhile: its longest step.
  let longest = 0;
  let alone = 0;
  let position = 4;
  await ember.step([sequence(0, 0, [100, 101, 102, 103], null)]);
  const step = async (): Promise<number> => {
    const begin = performance.now();
    await ember.step([sequence(0, position++, [100], null)]);
    return performance.now() - begin;
  };
  for (let i = 0; i < 10; i++) alone = Math.max(alone, await step());
  let loading = true;
  const load = ember.loadAdapter(100, await readAdapter(folder)).finally(() => {
    loading = false;
  });
  while (loading && position < STREAM_TOKENS) longest = Math.max(longest, await step());
  await load;
  console.log(`  longest step of a running stream: ${alone.toFixed(0)} ms alone, ${longest.toFixed(0)} ms beside the load`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
