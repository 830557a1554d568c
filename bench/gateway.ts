// What hearth adds to a request: beside the server behind it, litellm's proxy and a plain reverse proxy, all in turns on one machine.
//   npm run bench:gateway [-- --rounds 3] [--seconds 4] [--write]
//   npm run bench:gateway -- --real [--rounds 5] [--write]      SmolLM2 over HTTP beside the bare engine and llama.cpp's own server
// The server behind answers its first token after 20 ms. --write replaces the tables of docs/benchmarks-gateway.md between their marks.
// litellm is looked for in .env-peers, nginx in PATH; what is missing is left out.

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureHttpDecode } from './gateway/http-decode.ts';
import {
  type LoadResult,
  litellmProgram,
  load,
  nginxProgram,
  type Side,
  startHearth,
  startLitellm,
  startLocal,
  startMock,
  startNginx,
} from './gateway/sides.ts';
import { median, resultTable, type Verdict, verdictTable } from './measure.ts';

const benchmarks = join(import.meta.dirname, '../docs/benchmarks-gateway.md');
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    rate: { type: 'string', default: '500' },
    write: { type: 'boolean', default: false },
    only: { type: 'string' },
    'no-litellm': { type: 'boolean', default: false },
    real: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
if (values.real) {
  const { rows, verdicts, note } = await measureHttpDecode(rounds);
  const lines = [`${machineLine()}; medians of ${rounds} rounds.`, '', ...verdictTable(verdicts), ...resultTable('SmolLM2-135M, the same weights', rows), note];
  console.log(lines.join('\n'));
  if (values.write) writeBetween(benchmarks, 'gateway-real', lines);
  process.exit(0);
}
const seconds = Number(values.seconds);
const FIRST_MS = 20;
const TOKENS = 16;
const LOADS = {
  'JSON, 16 clients': { clients: 16 },
  'stream, 16 clients': { clients: 16, stream: true },
  'JSON, 1 client': { clients: 1 },
  'stream, 1 client': { clients: 1, stream: true },
  [`stream, ${values.rate}/s`]: { clients: 64, stream: true, rate: Number(values.rate) },
} as const;
type LoadName = string;

await using mock = await startMock(FIRST_MS, TOKENS);
const hearth = await startHearth(mock).catch(async (error: unknown) => {
  console.error(`  ${(error as Error).message}\n  hearth is measured around an engine of its own instead`);
  return await startLocal(FIRST_MS, TOKENS);
});
await using _hearth = hearth;
const sides: Side[] = [mock, hearth];
if (nginxProgram() !== null) sides.push(await startNginx(mock));
if (litellmProgram() !== null && !values['no-litellm'])
  await startLitellm(mock).then(
    (side) => sides.push(side),
    (error: unknown) => console.error(`  ${(error as Error).message}; it is left out`),
  );

const results = new Map<string, LoadResult[]>();
const key = (name: LoadName, side: Side) => `${name} | ${side.name}`;
try {
  for (const side of sides) console.error(`  ${side.name}: ready after ${Math.round(side.readyMs)} ms`);
  // Warm: what is compiled on use is compiled.
  for (const side of sides) await load(side, { clients: 8, seconds: 2, stream: true });
  for (let round = 0; round < rounds; round += 1)
    for (const [name, options] of Object.entries(LOADS)) {
      if (values.only !== undefined && !name.startsWith(values.only)) continue;
      for (const side of sides) {
        // A side that cannot keep up with the rate only queues: its figure says nothing.
        if ('rate' in options && side.name === 'litellm') continue;
        const result = await load(side, { ...options, seconds, tokens: TOKENS });
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

function of(name: LoadName, side: Side | undefined, value: (result: LoadResult) => number): number {
  const list = side === undefined ? [] : (results.get(key(name, side)) ?? []);
  return list.length === 0 ? Number.NaN : median(list.map(value));
}

function report(): void {
  const litellm = sides.find((side) => side.name === 'litellm');
  const open = `stream, ${values.rate}/s`;
  const json16 = 'JSON, 16 clients';
  const added = (name: LoadName, side: Side | undefined) => of(name, side, (r) => r.end.p50) - of(name, mock, (r) => r.end.p50);
  const verdicts: Verdict[] = [
    {
      id: 'P1',
      what: 'TTFT through hearth ÷ direct, p50',
      value: of(open, hearth, (r) => r.first.p50) / of(open, mock, (r) => r.first.p50),
      bar: 1.05,
      below: true,
    },
    {
      id: 'P1',
      what: 'TTFT through hearth ÷ direct, p99',
      value: of(open, hearth, (r) => r.first.p99) / of(open, mock, (r) => r.first.p99),
      bar: 1.25,
      below: true,
    },
    {
      id: '',
      what: 'requests per second ÷ litellm, 16 clients',
      value: of(json16, hearth, (r) => r.perSecond) / of(json16, litellm, (r) => r.perSecond),
      bar: 6,
    },
    {
      id: '',
      what: 'requests for one second of the processor ÷ litellm, 16 clients',
      value: of(json16, litellm, (r) => r.cpuMsPerRequest) / of(json16, hearth, (r) => r.cpuMsPerRequest),
      bar: 6,
    },
    {
      id: '',
      what: 'median that hearth adds for one client ÷ what litellm adds',
      value: added('JSON, 1 client', hearth) / added('JSON, 1 client', litellm),
      bar: 0.15,
      below: true,
    },
    { id: '', what: 'ready after its start', value: hearth.readyMs, bar: 1000, below: true, unit: 'ms' },
    { id: '', what: 'resident memory after the load', value: hearth.residentMib(), bar: 120, below: true, unit: 'MiB' },
  ];
  const lines = [
    `${machineLine()}; medians of ${rounds} rounds of ${seconds} s.`,
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
    ...sides.map((side) => `| ${side.name} | ${side.readyMs.toFixed(0)} | ${side.residentMib().toFixed(0)} |`),
    '',
    ...verdictTable(verdicts.filter((verdict) => !Number.isNaN(verdict.value))),
  ];
  console.log(lines.join('\n'));
  if (values.write) writeBetween(benchmarks, 'gateway', lines);
}

function machineLine(): string {
  return `Measured on ${cpus()[0]?.model.trim()}, ${cpus().length} virtual CPUs, load average ${loadavg()[0]!.toFixed(1)} at the end, Node ${process.version}`;
}

function writeBetween(path: string, mark: string, lines: readonly string[]): void {
  const text = readFileSync(path, 'utf8');
  const [open, close] = [`<!-- ${mark} -->`, `<!-- /${mark} -->`];
  const start = text.indexOf(open);
  const end = text.indexOf(close);
  if (start < 0 || end < start) throw new Error(`${path} has no marks ${open} … ${close}`);
  writeFileSync(path, `${text.slice(0, start + open.length)}\n${lines.join('\n')}\n${text.slice(end)}`);
}
