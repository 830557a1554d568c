// Reads changed files, settings, templates and requests: nothing may throw but HearthError, none may take a second or fill the memory.
//   node bench/fuzz.ts [--inputs 200000] [--minutes M] [--seed 1] [--target gguf,safetensors] [--json]
// Inputs are shared among the targets. Each target runs in a process of its own, whose memory is told. Figures: docs/fuzzing.md.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { type FuzzResult, runTarget } from './fuzz/run-target.ts';
import { TARGETS } from './fuzz/targets.ts';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '200000' },
    minutes: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string' },
    json: { type: 'boolean', default: false },
    /** Set for the process of one target. */
    child: { type: 'boolean', default: false },
  },
});
const names = values.target?.split(',') ?? TARGETS.map(({ name }) => name);
const chosen = TARGETS.filter(({ name }) => names.includes(name));
const unknown = names.filter((name) => !TARGETS.some((target) => target.name === name));
if (unknown.length > 0) throw new TypeError(`No target is named ${unknown.join(', ')}; there are ${TARGETS.map(({ name }) => name).join(', ')}.`);

interface Measured extends FuzzResult {
  readonly seconds: number;
  readonly peakMb: number;
}

if (values.child) {
  const start = performance.now();
  const result = runTarget(chosen[0]!, { seed: Number(values.seed), inputs: Number(values.inputs), maxMs: Number(values.minutes) * 60_000 });
  const measured: Measured = { ...result, seconds: (performance.now() - start) / 1_000, peakMb: process.resourceUsage().maxRSS / 1_024 };
  console.log(JSON.stringify(measured));
} else {
  const share = String(Math.ceil(Number(values.inputs) / chosen.length));
  const minutes = String(Number(values.minutes) / chosen.length);
  if (!values.json)
    console.log(
      `seed ${values.seed}\n\n| reader | inputs | accepted | different answers | slowest | peak memory | inputs a second | faults |\n|---|---:|---:|---:|---:|---:|---:|---:|`,
    );
  const results = chosen.map(({ name }): Measured => {
    const measured = measureApart(name, ['--inputs', share, '--minutes', minutes, '--seed', values.seed]);
    // At once: a run may take hours, and somebody may end it.
    if (!values.json) console.log(rowOf(measured));
    return measured;
  });
  if (values.json) console.log(JSON.stringify(results));
  else
    for (const { target, failures } of results)
      for (const { input, why, bytes } of failures.slice(0, 5)) console.log(`\n${target}, input ${input}: ${why}\n${bytes.slice(0, 2_000)}`);
  process.exitCode = results.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

/** One target in a process of its own. Heap: what a process of a quarter of a gigabyte may hold of it. */
function measureApart(target: string, options: readonly string[]): Measured {
  const args = ['--max-old-space-size=160', '--max-semi-space-size=8', import.meta.filename, '--child', '--target', target, ...options];
  const { stdout, status, signal, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status === 0) return JSON.parse(stdout) as Measured;
  const why = `the process ended with ${signal ?? status}: ${stderr.slice(-2_000)}`;
  return { target, inputs: 0, said: {}, slowestMs: 0, failures: [{ input: -1, why, bytes: '' }], seconds: 0, peakMb: 0 };
}

function rowOf({ target, inputs, said, slowestMs, peakMb, seconds, failures }: Measured): string {
  const number = (value: number): string => value.toLocaleString('en');
  const rate = seconds === 0 ? 0 : Math.round(inputs / seconds);
  return `| ${target} | ${number(inputs)} | ${number(said['ok'] ?? 0)} | ${Object.keys(said).length} | ${slowestMs.toFixed(1)} ms | ${Math.round(peakMb)} MB | ${number(rate)} | ${failures.length} |`;
}
