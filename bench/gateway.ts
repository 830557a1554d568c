// What hearth adds to a request: beside the server behind it, litellm's proxy and a plain reverse proxy, all in turns on one machine.
//   npm run bench:gateway [-- --rounds 3] [--seconds 3] [--write]
//   npm run bench:gateway -- --real [--rounds 3] [--write]      SmolLM2 and the 1B shape over HTTP beside the bare engine, SmolLM2 beside llama.cpp's own server too
// The package is built anew and measured as users have it; --package DIRECTORY takes one that was built before.
// The server behind answers its first token after 20 ms. --write replaces the tables of docs/benchmarks-gateway.md between their marks.
// litellm is looked for in .env-peers, nginx in PATH; what is missing is left out.

import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { builtPackage } from './built-package.ts';
import { measureHttpDecode } from './gateway/http-decode.ts';
import { type LoadResult, litellmProgram, load, nginxProgram, type Side, startHearth, startLitellm, startMock, startNginx } from './gateway/sides.ts';
import { median, resultTable, type Verdict, verdictTable } from './measure.ts';
import { writeBetween } from './write-between.ts';

const benchmarks = join(import.meta.dirname, '../docs/benchmarks-gateway.md');
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    package: { type: 'string' },
    write: { type: 'boolean', default: false },
    only: { type: 'string' },
    'no-litellm': { type: 'boolean', default: false },
    real: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const packageDirectory = values.package ?? builtPackage();
if (values.real) {
  const { tables, verdicts, note } = await measureHttpDecode(packageDirectory, rounds);
  const results = tables.flatMap(({ title, rows }) => resultTable(title, rows));
  const lines = [`${machineLine()}; medians of ${rounds} rounds.`, '', ...verdictTable(verdicts), ...results, note];
  console.log(lines.join('\n'));
  if (values.write) writeBetween(benchmarks, 'gateway-real', lines);
  process.exit(0);
}
const seconds = Number(values.seconds);
const FIRST_MS = 20;
const TOKENS = 16;
/** P1 of docs/spec/serving.md §9 is said of 4 CPUs, which clients, mock and gateway share: fewer get the same share of the rate each. */
const FULL_RATE = 500;
const rate = Math.min(FULL_RATE, (FULL_RATE * cpus().length) / 4);
const atRate = (perSecond: number) => `stream, ${perSecond}/s`;
const JSON_16 = 'JSON, 16 clients';
const JSON_1 = 'JSON, 1 client';
const LOADS: Readonly<Record<string, Omit<Parameters<typeof load>[1], 'seconds'>>> = {
  [JSON_16]: { clients: 16 },
  'stream, 16 clients': { clients: 16, stream: true },
  [JSON_1]: { clients: 1 },
  'stream, 1 client': { clients: 1, stream: true },
  [atRate(rate)]: { clients: 64, stream: true, rate },
  [atRate(FULL_RATE)]: { clients: 64, stream: true, rate: FULL_RATE },
};
const STARTS = 3;
type LoadName = string;

await using mock = await startMock(FIRST_MS, TOKENS);
const { hearth, readyMs } = await startRepeatedly();
await using _hearth = hearth;
const sides: Side[] = [mock, hearth];
if (nginxProgram() !== null) sides.push(await startNginx(mock));
if (litellmProgram() !== null && !values['no-litellm'])
  await startLitellm(mock).then(
    (side) => sides.push(side),
    (error: unknown) => console.error(`  ${(error as Error).message}; it is left out`),
  );

const results = new Map<string, LoadResult[]>();
const lagsMs: number[] = [];
const key = (name: LoadName, side: Side) => `${name} | ${side.name}`;
/** What a side that ended in the middle said last. */
const failures: string[] = [];
try {
  for (const side of sides) console.error(`  ${side.name}: ready after ${Math.round(readyOf(side))} ms`);
  // Warm: what is compiled on use is compiled.
  for (const place of sides.keys()) for (const stream of [false, true]) await measure(place, { clients: 16, seconds: 2, stream });
  for (let round = 0; round < rounds; round += 1)
    for (const [name, options] of Object.entries(LOADS)) {
      if (values.only !== undefined && !name.startsWith(values.only)) continue;
      for (const [place, side] of sides.entries()) {
        // A side that cannot keep up with the rate only queues: its figure says nothing.
        if (options.rate !== undefined && side.name === 'litellm') continue;
        const watched = side === hearth && options.rate === rate;
        if (watched) await hearth.ask();
        const result = await measure(place, { ...options, seconds, tokens: TOKENS });
        if (result === null) continue;
        if (watched) lagsMs.push((await hearth.ask())['lagP99Ms']!);
        results.set(key(name, side), [...(results.get(key(name, side)) ?? []), result]);
        console.error(
          `  ${name}, ${side.name}: ${result.perSecond.toFixed(0)}/s, first ${result.first.p50.toFixed(1)} ms (p99 ${result.first.p99.toFixed(1)}), ${result.cpuMsPerRequest.toFixed(2)} ms of CPU each${result.errors > 0 ? `, ${result.errors} errors: ${result.lastError}` : ''}`,
        );
      }
    }
  report();
} finally {
  for (const side of sides.slice(2)) await side[Symbol.asyncDispose]();
}

/** The load of one side. litellm, where it ended meanwhile, is started again, once for each load; null: it failed again. Any other side ends the run. */
async function measure(place: number, options: Parameters<typeof load>[1]): Promise<LoadResult | null> {
  for (let again = false; ; again = true) {
    const side = sides[place]!;
    const result = side.ended() === null ? await load(side, options) : null;
    if (result !== null && result.requests > 0) return result;
    const reason = `${side.name} ${side.ended() ?? `answered nothing: ${result?.lastError}`}`;
    console.error(`  ${reason}`);
    if (side.name !== 'litellm') throw new Error(reason);
    failures.push(reason);
    if (again) return null;
    await side[Symbol.asyncDispose]();
    const fresh = await startLitellm(mock).catch(() => null);
    if (fresh === null) return null;
    sides[place] = fresh;
  }
}

/** The last of several daemons, and the median of their starts; the first one fills the cache of compiled code. */
async function startRepeatedly(): Promise<{ readonly hearth: Side; readonly readyMs: number }> {
  const measured: number[] = [];
  for (let start = 0; ; start += 1) {
    const side = await startHearth(packageDirectory, mock);
    if (start > 0) measured.push(side.readyMs);
    if (start === STARTS) return { hearth: side, readyMs: median(measured) };
    await side[Symbol.asyncDispose]();
  }
}

function readyOf(side: Side): number {
  return side === hearth ? readyMs : side.readyMs;
}

function of(name: LoadName, side: Side | undefined, value: (result: LoadResult) => number): number {
  const list = side === undefined ? [] : (results.get(key(name, side)) ?? []);
  return list.length === 0 ? Number.NaN : median(list.map(value));
}

/** Of each round by itself: the machine changes between two rounds more than within one. */
function ratioOf(name: LoadName, side: Side, to: Side | undefined, value: (result: LoadResult) => number): number {
  const [own, other] = [side, to].map((each) => (each === undefined ? [] : (results.get(key(name, each)) ?? [])).map(value)) as [number[], number[]];
  return other.length === 0 ? Number.NaN : median(other.map((each, round) => own[round]! / each));
}

function report(): void {
  const litellm = sides.find((side) => side.name === 'litellm');
  const added = (name: LoadName, side: Side | undefined) => of(name, side, (r) => r.end.p50) - of(name, mock, (r) => r.end.p50);
  const ttft = `TTFT of streams through hearth ÷ direct at ${rate}/s on ${cpus().length} CPUs`;
  const verdicts: Verdict[] = [
    { id: 'P1', what: `${ttft}, p50`, value: ratioOf(atRate(rate), hearth, mock, (r) => r.first.p50), bar: 1.05, below: true },
    { id: 'P1', what: `${ttft}, p99`, value: ratioOf(atRate(rate), hearth, mock, (r) => r.first.p99), bar: 1.25, below: true },
    { id: 'P3', what: 'event-loop lag at that load, p99 ÷ 20 ms', value: lagsMs.length === 0 ? Number.NaN : median(lagsMs) / FIRST_MS, bar: 1, below: true },
    { id: '–', what: 'requests per second ÷ litellm, 16 clients', value: ratioOf(JSON_16, hearth, litellm, (r) => r.perSecond), bar: 6 },
    {
      id: '–',
      what: 'requests for one second of the processor ÷ litellm, 16 clients',
      value: ratioOf(JSON_16, hearth, litellm, (r) => 1 / r.cpuMsPerRequest),
      bar: 6,
    },
    {
      id: '–',
      what: 'median that hearth adds for one client ÷ what litellm adds',
      value: added(JSON_1, hearth) / added(JSON_1, litellm),
      bar: 0.15,
      below: true,
    },
    { id: '–', what: 'ready after its start', value: readyMs, bar: 1000, below: true, unit: 'ms' },
    { id: '–', what: 'resident memory after the load', value: hearth.residentMib(), bar: 120, below: true, unit: 'MiB' },
  ];
  const nginx = sides.find((side) => side.name === 'nginx');
  const beside = ratioOf(JSON_16, hearth, nginx, (r) => r.perSecond);
  const lines = [
    `${machineLine()}; medians of ${rounds} rounds of ${seconds} s; ratios are medians over the rounds.`,
    '',
    '| Load | Side | Requests/s | First token p50 / p99, ms | Whole answer p50 / p99, ms | CPU of the side, ms each |',
    '|---|---|---|---|---|---|',
    ...Object.keys(LOADS).flatMap((name) =>
      sides
        .filter((side) => results.has(key(name, side)))
        .map(
          (side, i) =>
            `| ${i === 0 ? name : ''} | ${side.name} | ${of(name, side, (r) => r.perSecond).toFixed(0)} | ${of(name, side, (r) => r.first.p50).toFixed(1)} / ${of(name, side, (r) => r.first.p99).toFixed(1)} | ${of(name, side, (r) => r.end.p50).toFixed(1)} / ${of(name, side, (r) => r.end.p99).toFixed(1)} | ${of(name, side, (r) => r.cpuMsPerRequest).toFixed(2)} |`,
        ),
    ),
    '',
    '| Side | Ready after, ms | Resident after the load, MiB |',
    '|---|---|---|',
    ...sides.map((side) => `| ${side.name} | ${readyOf(side).toFixed(0)} | ${Number.isNaN(side.residentMib()) ? '–' : side.residentMib().toFixed(0)} |`),
    '',
    ...verdictTable(verdicts.filter((verdict) => !Number.isNaN(verdict.value))),
    ...failures.map((reason) => `In the middle of the run ${reason.replaceAll(/\s+/g, ' ')}; it was started again, and what it did not answer is left out.`),
    ...(Number.isNaN(beside)
      ? []
      : [
          `Beside nginx, which passes bytes on and looks at nothing: ${beside.toFixed(2)} × its requests per second with 16 clients; a request takes ${(1 / ratioOf(JSON_16, hearth, nginx, (r) => 1 / r.cpuMsPerRequest)).toFixed(0)} times as much of the processor, and one client waits ${added(JSON_1, hearth).toFixed(1)} ms longer than without a gateway, through nginx ${added(JSON_1, nginx).toFixed(1)} ms.`,
        ]),
  ];
  console.log(lines.join('\n'));
  if (values.write) writeBetween(benchmarks, 'gateway', lines);
}

function machineLine(): string {
  return `Measured on ${cpus()[0]?.model.trim()}, ${cpus().length} virtual CPUs, load average ${loadavg()[0]!.toFixed(1)} at the end, Node ${process.version}`;
}
