// What the process around ember must keep: short gaps, quick cancels, a free event loop, a quick load, little memory, prefixes used again.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type GenerateRequest, GREEDY_SAMPLING } from '../src/contract/index.ts';
import type { ModelFacts } from '../src/core/index.ts';
import type { EngineSession } from '../src/engines/index.ts';
import { checkpointFacts, compiledEngine, never, startEngineSession } from './engine-session.ts';
import { median, type Verdict } from './measure.ts';
import type { BenchmarkModel } from './models.ts';

let seed = 11;
const randomTokens = (count: number): number[] =>
  Array.from({ length: count }, () => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return 100 + (seed % 20_000);
  });

const request = (tokens: readonly number[], maxTokens: number, more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  requestId: 'bench',
  tokens,
  maxTokens,
  stop: [],
  choices: 1,
  // A token with a text of its own: events without text are not sent, and random weights like tokens that the tokenizer does not have.
  sampling: { ...GREEDY_SAMPLING, logitBias: { 1000: 100 } },
  ...more,
});

/** Milliseconds to the first token, and between tokens. */
async function timed(session: EngineSession, asked: GenerateRequest, signal = never): Promise<{ firstMs: number; gaps: number[] }> {
  const startedAt = performance.now();
  let last = 0;
  let firstMs = Number.NaN;
  const gaps: number[] = [];
  for await (const event of session.generate(asked, signal)) {
    if (event.kind !== 'text-delta') continue;
    const now = performance.now();
    if (last === 0) firstMs = now - startedAt;
    else gaps.push(now - last);
    last = now;
  }
  return { firstMs, gaps };
}

/** Reads all weight files once, in pieces, as a load would. */
async function readSeconds(directory: string, files: readonly string[]): Promise<number> {
  const piece = new Uint8Array(8 * 2 ** 20);
  const startedAt = performance.now();
  for (const file of files) {
    await using handle = await open(join(directory, file));
    while ((await handle.read(piece, 0, piece.length)).bytesRead > 0);
  }
  return (performance.now() - startedAt) / 1000;
}

/**
 * Takes memory, writes to each of its pages and gives it back, in a process of its own. A virtual machine's host hands out memory that has not been
 * used for a while at a fraction of the rate of memory that another process has just left; a load is to be measured without that.
 */
const backMemory = (bytes: number): void =>
  void execFileSync(process.execPath, [
    '-e',
    `const held = []; for (let left = ${Math.ceil(bytes)}; left > 0; left -= 2 ** 26) { const part = new Uint8Array(2 ** 26); for (let i = 0; i < part.length; i += 4096) part[i] = 1; held.push(part); }`,
  ]);

const LOADS = 3;

/** Loads by the compiled package, each beside a reading of its files: seconds, and the bar of B8. */
async function measureLoads(facts: ModelFacts, options: Readonly<Record<string, unknown>>): Promise<{ readonly seconds: number; readonly bar: number }> {
  const engine = await compiledEngine();
  const seconds: number[] = [];
  const readings: number[] = [];
  for (let i = 0; i < LOADS; i++) {
    backMemory(1.3 * facts.weightBytes);
    readings.push(await readSeconds(facts.directory, facts.weightFiles));
    const startedAt = performance.now();
    await using _ = await startEngineSession(facts, options, engine);
    seconds.push((performance.now() - startedAt) / 1000);
  }
  const list = (values: readonly number[]): string => values.map((value) => value.toFixed(2)).join(', ');
  console.error(
    `  loads by the compiled package: ${list(seconds)} s, reading the files: ${list(readings)} s; before each, as much memory was written to and given back by another process`,
  );
  return { seconds: median(seconds), bar: 1.5 * median(readings) + 0.5 };
}

const residentBytes = (pid: number): number => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;

/** B3, B4, B5, B8 and the shared prefix of one model, through the engine port and a real child process. */
export async function measureEngineProcess(model: BenchmarkModel, threads: number): Promise<Verdict[]> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const facts = await checkpointFacts(model.directory);
  const options = { contextTokens: 8192, parallelSequences: 8, threads };
  await readSeconds(model.directory, facts.weightFiles);
  // A model of a few megabytes loads in the time that a process takes to start.
  const loads = model.id === '1b' ? await measureLoads(facts, options) : null;
  await using child = await startEngineSession(facts, options);
  const { session, report, pid } = child;
  await timed(session, request(randomTokens(64), 8));

  const verdicts: Verdict[] = [];
  const short = model.id === 'smollm2' ? 'SmolLM2' : '1B';
  // B3: a stream decodes while a long prompt comes in. The bar is 500 ms, or two 8-token steps where those take longer.
  const stop = new AbortController();
  const running = timed(session, request(randomTokens(16), 4_000), stop.signal);
  await new Promise((done) => setTimeout(done, 500));
  await timed(session, request(randomTokens(2048), 1));
  stop.abort();
  const { gaps } = await running;
  const smallest = 2 * (await smallestStepMs(session));
  verdicts.push({
    id: 'B3',
    what: `${short}: longest gap of a stream while 2,048 tokens are prefilled`,
    value: Math.max(...gaps),
    bar: Math.max(500, smallest),
    below: true,
    unit: 'ms',
  });
  // B4: cancel in the middle of a long prefill; the counter of running sequences tells when it is gone.
  const cancel = new AbortController();
  const doomed = timed(session, request(randomTokens(4096), 1), cancel.signal).catch(() => null);
  await new Promise((done) => setTimeout(done, 1_500));
  const cancelledAt = performance.now();
  cancel.abort();
  while ((await session.stats()).running > 0 && performance.now() - cancelledAt < 10_000) await new Promise((done) => setTimeout(done, 5));
  verdicts.push({
    id: 'B4',
    what: `${short}: a cancelled prefill of 4,096 tokens is gone after`,
    value: performance.now() - cancelledAt,
    bar: 1_000,
    below: true,
    unit: 'ms',
  });
  await doomed;
  // A prefix of 2,000 tokens, seen before.
  const common = randomTokens(2_000);
  const cold = await timed(session, request([...common, ...randomTokens(20)], 2, { cacheSalt: 'bench' }));
  const warm: number[] = [];
  for (let i = 0; i < 3; i++) warm.push((await timed(session, request([...common, ...randomTokens(20)], 2, { cacheSalt: 'bench' }))).firstMs);
  verdicts.push({ id: '–', what: `${short}: first token with a shared prefix of 2,000 tokens, times sooner`, value: cold.firstMs / median(warm), bar: 5 });
  delay.disable();
  verdicts.push({
    id: 'B5',
    what: `${short}: event-loop delay of the parent, p99 over load, prefill and decode`,
    value: delay.percentile(99) / 1e6,
    bar: 20,
    below: true,
    unit: 'ms',
  });
  const { weightsBytes, kvBytes } = report.measured;
  if (loads !== null)
    verdicts.push({
      id: 'B8',
      what: `${short}: load by the compiled package, into memory that was just given back, ÷ (1.5 × reading its ${(facts.weightBytes / 1e6).toFixed(0)} MB + 0.5 s)`,
      value: loads.seconds / loads.bar,
      bar: 1,
      below: true,
    });
  verdicts.push({
    id: 'B8',
    what: `${short}: resident memory ÷ (1.15 × (weights + pool) + 150 MiB)`,
    value: residentBytes(pid) / (1.15 * (weightsBytes + kvBytes) + 150 * 2 ** 20),
    bar: 1,
    below: true,
  });
  return verdicts;
}

/** A step of 8 prompt tokens, the smallest that a prefill takes beside a decoding stream. */
async function smallestStepMs(session: EngineSession): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) times.push((await timed(session, request(randomTokens(8), 1))).firstMs);
  return median(times);
}
