// Ember beside llama.cpp and mlx-lm on the same weights, on this machine, in one run: rounds are interleaved, medians with spread, ratios.
//   npm run bench:peers [-- --model smollm2|1b] [--rounds 5] [--only speed|process|adapters] [--no-mlx] [--write]
// --write replaces the tables of docs/benchmarks.md between their marks.

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureAdapters } from './adapters.ts';
import { startRunner } from './ember-runner.ts';
import { measureEngineProcess } from './engine-process.ts';
import { interleave, median, type Row, ratio, resultTable, type Verdict, verdictTable } from './measure.ts';
import { type BenchmarkModel, benchmarkModels } from './models.ts';
import { ensurePeers, type Peer, startPeer } from './peers/peer-process.ts';
import { startBandwidth } from './read-bandwidth.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    only: { type: 'string' },
    write: { type: 'boolean', default: false },
    'no-mlx': { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
/** Where one round takes long. */
const fewRounds = Math.min(rounds, 3);
const threads = Number(values.threads);
const wants = (part: string) => values.only === undefined || values.only === part;

const Q41 = 'llama.cpp Q4_1';
const Q40 = 'llama.cpp Q4_0';
const seconds = async (peer: Peer, command: Record<string, unknown>, of = 'seconds') => Number((await peer.ask(command))[of]);

async function measureSpeed(model: BenchmarkModel, bandwidth: number): Promise<{ rows: Row[]; verdicts: Verdict[]; note: string }> {
  const context = 4096 + 512;
  await using mixed = await startRunner(model.directory, { ranks: threads, activations: 'mixed', contextTokens: context });
  const n = model.decodeTokens;
  const decode = async () => n / (await mixed.decode(n));
  const rows: Record<string, Row> = {};
  {
    using q41 = await startPeer('llama', [model.q41, String(threads), String(context), '1']);
    using q40 = await startPeer('llama', [model.q40, String(threads), String(context), '1']);
    const sides = (ember: () => Promise<number>, peer: (peer: Peer) => Promise<number>) => ({ ember, [Q41]: () => peer(q41), [Q40]: () => peer(q40) });
    rows['decode'] = await interleave(
      'decode, 1 stream',
      sides(decode, async (peer) => n / (await seconds(peer, { decode: n, depth: 4 }))),
      { rounds },
    );
    rows['prefill512'] = await interleave(
      'prefill of 512',
      sides(
        async () => 512 / (await mixed.prefill(512)),
        async (peer) => 512 / (await seconds(peer, { prefill: 512 })),
      ),
      { rounds: fewRounds },
    );
    rows['prefill2048'] = await interleave(
      'prefill of 2,048',
      { ember: async () => 2048 / (await mixed.prefill(2048)), [Q41]: async () => 2048 / (await seconds(q41, { prefill: 2048 })) },
      { rounds: 2, warmUps: 0 },
    );
    rows['depth4096'] = await interleave(
      'decode at depth 4,096',
      { ember: async () => n / (await mixed.decode(n, { depth: 4096 })), [Q41]: async () => n / (await seconds(q41, { decode: n, depth: 4096 })) },
      { rounds: fewRounds },
    );
  }
  {
    using streams = await startPeer('llama', [model.q41, String(threads), '4096', '8']);
    rows['streams8'] = await interleave(
      'decode, 8 streams, total',
      {
        ember: async () => (8 * n) / (await mixed.decode(n, { streams: 8 })),
        [Q41]: async () => (8 * n) / (await seconds(streams, { streams: 8, decode: n }, 'decode')),
      },
      { rounds: fewRounds },
    );
  }
  {
    using streams = await startPeer('llama', [model.q41, String(threads), '4096', '2']);
    rows['streams2'] = await interleave(
      'decode, 2 streams, total',
      {
        ember: async () => (2 * n) / (await mixed.decode(n, { streams: 2 })),
        [Q41]: async () => (2 * n) / (await seconds(streams, { streams: 2, decode: n }, 'decode')),
        'ember, 1 stream': decode,
      },
      { rounds: fewRounds },
    );
  }
  if (!values['no-mlx']) {
    using mlx = await startPeer('mlx', [model.directory]);
    rows['mlx'] = await interleave(
      'decode, 1 stream, short',
      { ember: decode, 'mlx-lm (CPU)': async () => model.mlxTokens / (await seconds(mlx, { decode: model.mlxTokens })) },
      { rounds: 2 },
    );
  }
  for (const activations of ['int8', 'int16'] as const) {
    await using other = await startRunner(model.directory, { ranks: threads, activations, contextTokens: 2560 });
    rows[`decode ${activations}`] = await interleave(
      `decode, 1 stream, ${activations} path`,
      { [`ember ${activations}`]: async () => n / (await other.decode(n)), ember: decode },
      { rounds: fewRounds },
    );
    rows[`prefill ${activations}`] = await interleave(
      `prefill of 512, ${activations} path`,
      { [`ember ${activations}`]: async () => 512 / (await other.prefill(512)), ember: async () => 512 / (await mixed.prefill(512)) },
      { rounds: 2 },
    );
  }
  const { weightsBytes } = mixed.ember.memory;
  const read = median(rows['decode']!.results['ember']!) * weightsBytes;
  const note = `Weights ${(weightsBytes / 1e6).toFixed(0)} MB, loaded in ${mixed.loadSeconds.toFixed(2)} s. Decode reads ${(read / 1e9).toFixed(1)} GB/s of ${(bandwidth / 1e9).toFixed(1)} GB/s that the machine reads with ${threads} threads.`;
  return { rows: Object.values(rows), verdicts: judge(model, rows, read / bandwidth), note };
}

/** The requirements of docs/spec/engines.md §7 that speak of ratios to peers. */
function judge(model: BenchmarkModel, rows: Readonly<Record<string, Row>>, ofBandwidth: number): Verdict[] {
  const of = (row: string, side: string) => ratio(rows[row]!, side);
  const mlx: Verdict[] = rows['mlx'] ? [{ id: 'B8', what: `${model.id}: decode ÷ mlx-lm on the CPU`, value: of('mlx', 'mlx-lm (CPU)'), bar: 20 }] : [];
  if (model.id === 'smollm2') return [{ id: 'B1', what: 'SmolLM2: decode ÷ Q4_1', value: of('decode', Q41), bar: 1.3 }, ...mlx];
  return [
    { id: 'B1', what: '1B: decode ÷ Q4_1', value: of('decode', Q41), bar: 1.6, aim: 2 },
    { id: 'B1', what: '1B: decode ÷ Q4_0', value: of('decode', Q40), bar: 0.7, aim: 0.9 },
    { id: 'B1', what: '1B: prefill of 512 ÷ Q4_1', value: of('prefill512', Q41), bar: 1.3, aim: 1.6 },
    { id: 'B1', what: '1B: prefill of 512 ÷ Q4_0', value: of('prefill512', Q40), bar: 0.6, aim: 0.8 },
    { id: 'B1', what: '1B: decode at depth 4,096 ÷ Q4_1', value: of('depth4096', Q41), bar: 1.4, aim: 1.9 },
    { id: 'B1', what: '1B: prefill of 2,048 ÷ Q4_1', value: of('prefill2048', Q41), bar: 1.2, aim: 1.4 },
    { id: 'B2', what: '1B: 8 streams ÷ Q4_1 at 8 streams', value: of('streams8', Q41), bar: 2, aim: 2.5 },
    { id: 'B2', what: '1B: 2 streams ÷ Q4_1 at 2 streams', value: of('streams2', Q41), bar: 1.5 },
    { id: 'B2', what: '1B: decode bytes per second ÷ read bandwidth', value: ofBandwidth, bar: 0.55, aim: 0.7 },
    ...mlx,
  ];
}

ensurePeers();
const models = await benchmarkModels(values.model);
const details: string[] = [];
const verdicts: Verdict[] = [];
for (const model of models) {
  console.error(model.title);
  if (wants('speed')) {
    const bandwidth = await startBandwidth(threads);
    const readings = [await bandwidth.measure(), await bandwidth.measure(), await bandwidth.measure()];
    await bandwidth.close();
    const { rows, verdicts: own, note } = await measureSpeed(model, Math.max(...readings));
    verdicts.push(...own);
    details.push(...resultTable(model.title, rows), note, '');
  }
  if (wants('adapters')) verdicts.push(...(await measureAdapters(model, threads, fewRounds)));
  if (wants('process')) verdicts.push(...(await measureEngineProcess(model, threads)));
}
const head = `Machine: ${cpus()[0]?.model ?? 'unknown'}, ${threads} threads of ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB. Node ${process.version}. ${new Date().toISOString().slice(0, 10)}. Medians of ${rounds} interleaved rounds (2 or 3 where a round is long), after a round that is not counted.`;
const text = [head, '', '### Requirements', '', ...verdictTable(verdicts), ...details].join('\n');
console.log(text);
if (values.write) {
  const file = join(import.meta.dirname, '../docs/benchmarks.md');
  const old = readFileSync(file, 'utf8');
  const begin = '<!-- peers: begin -->';
  writeFileSync(file, `${old.slice(0, old.indexOf(begin) + begin.length)}\n${text}\n${old.slice(old.indexOf('<!-- peers: end -->'))}`);
}
