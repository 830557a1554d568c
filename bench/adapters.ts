// Adapters beside the base (docs/spec/engines.md B7).
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { graphTensors, loadEmber, modelGraph, type StepSequence } from '../src/ember/index.ts';
import { type AdapterModule, type LowRankAdapter, readAdapter, readModelConfig, sortedModules, writeMlxAdapter } from '../src/formats/index.ts';
import { median, type Verdict } from './measure.ts';
import type { BenchmarkModel } from './models.ts';

const STREAMS = 8;
const STREAM_TOKENS = 256;
const RANK = 8;
/** As mlx-lm trains by default: every linear module of the last 16 blocks. */
const LAYERS = 16;

const pagesOf = (stream: number) => Uint32Array.from({ length: STREAM_TOKENS / 32 }, (_, i) => (stream * STREAM_TOKENS) / 32 + i);
const sequence = (stream: number, position: number, tokens: readonly number[], slot: number | null): StepSequence => ({
  pages: [pagesOf(stream)],
  position,
  tokens,
  output: 'last',
  temperature: 1,
  adjustments: [],
  candidates: 1,
  ...(slot === null ? {} : { adapter: { slot, scale: 1 } }),
});
const streams = Array.from({ length: STREAMS }, (_, i) => i);

/** Throughput of 8 sequences with 8 adapters beside that without, and the load of an adapter of 50 MB. */
export async function measureAdapters(model: BenchmarkModel, threads: number, rounds: number): Promise<Verdict[]> {
  const graph = modelGraph(await readModelConfig(model.directory));
  const firstLayer = graph.layers.length - LAYERS;
  const linears = graphTensors(graph).linears.filter(({ path }) => Number(/\.layers\.(\d+)\./.exec(path)?.[1] ?? -1) >= Math.max(0, firstLayer));
  const randomAdapter = (rank: number): LowRankAdapter => {
    const modules = linears.map(({ path, inputs, outputs: own, within }): AdapterModule => {
      const outputs = within?.rows ?? own;
      const numbers = (count: number) => Float32Array.from({ length: count }, () => (Math.random() - 0.5) / 50);
      return { path, kind: 'linear', rank, scale: 2, inputs, outputs, experts: 1, a: numbers(rank * inputs), b: numbers(outputs * rank), m: null };
    });
    return { kind: 'lora', format: 'mlx-lm', modules: sortedModules(modules), selection: null, baseModel: null, fileBytes: 0 };
  };
  const contextTokens = (STREAMS + 1) * STREAM_TOKENS;
  await using ember = await loadEmber({ directory: model.directory, ranks: threads, activations: 'mixed', contextTokens, batchTokens: 256 });

  const decode = async (slotOf: (stream: number) => number | null): Promise<number> => {
    let last = (await ember.step(streams.map((i) => sequence(i, 0, [100 + i, 101, 102, 103], slotOf(i))))).map((output) => output!.ids[0]!);
    const steps = 16;
    const begin = performance.now();
    for (let n = 0; n < steps; n++) last = (await ember.step(streams.map((i) => sequence(i, 4 + n, [last[i]!], slotOf(i))))).map((output) => output!.ids[0]!);
    return (steps * STREAMS * 1000) / (performance.now() - begin);
  };
  for (const slot of streams) await ember.loadAdapter(slot, randomAdapter(RANK));
  const ratios: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const without = await decode(() => null);
    const each = await decode((stream) => stream);
    if (round > 0) ratios.push(each / without);
  }

  const bytesPerRank = linears.reduce((sum, { inputs, outputs, within }) => sum + 4 * (inputs + (within?.rows ?? outputs)), 0);
  const folder = await mkdtemp(join(tmpdir(), 'hearth-bench-adapter-'));
  try {
    await writeMlxAdapter(folder, randomAdapter(Math.max(1, Math.round(50e6 / bytesPerRank))));
    const times: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const begin = performance.now();
      await ember.loadAdapter(100, await readAdapter(folder));
      if (round > 0) times.push(performance.now() - begin);
      await ember.dropAdapter(100);
    }
    const short = model.id === 'smollm2' ? 'SmolLM2' : '1B';
    const over = `rank ${RANK}, last ${LAYERS} of ${graph.layers.length} layers`;
    return [
      { id: 'B7', what: `${short}: 8 sequences with 8 adapters ÷ without (${over})`, value: median(ratios), bar: 0.8 },
      { id: 'B7', what: `${short}: load of an adapter of 50 MB`, value: median(times), bar: 500, below: true, unit: 'ms' },
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
