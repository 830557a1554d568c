// Times ember's kernels on 1 and 2 threads, each thread with its own memory as the ranks have it. Weights come from DRAM.
//   node bench/kernels.ts [filter]               about a minute; names that hold the filter only
//   node bench/kernels.ts [filter] OTHER.wasm    beside another build of the kernels, in short turns: medians, and the median of the turns' ratios
import { readFileSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import {
  ACTIVATION,
  type Activation,
  type Kernels,
  KV_TYPE,
  type KvTypeCode,
  PAGE_TOKENS,
  PLAIN_TYPE,
  SCALE_TYPE,
  type ScaleType,
} from '../src/ember/kernel-interface.ts';
import { kernelModule, loadKernels } from '../src/ember/load-kernels.ts';
import { median } from './measure.ts';

const MEGABYTE = 2 ** 20;
const WEIGHTS = 384 * MEGABYTE;
const SECONDS = 0.35;
const X = 64 * 1024;
const PREPARED = X + 16 * MEGABYTE;
const Y = PREPARED + 16 * MEGABYTE;
const W = Y + 32 * MEGABYTE;
/** A byte that is a normal scale in both formats of one byte. */
const SMALL_SCALE = 0x74;

interface Job {
  readonly name: string;
  /** Multiply-adds (or values, for small kernels) of one call, and bytes of weights or cache that it reads. */
  readonly work: number;
  readonly bytes: number;
  readonly unit: 'G multiply-adds/s' | 'G values/s';
  readonly run: (kernels: Kernels, turn: number) => void;
}

const nameOf = (table: Record<string, number>, value: number): string => Object.keys(table).find((key) => table[key] === value)!;

function matrix(activation: Activation, bits: number, group: number, scaleType: ScaleType, tokens: number, k = 2048, rows = 2048): Job {
  const codes = (rows * k * bits) / 8;
  const smallFloats = scaleType === SCALE_TYPE.e8m0 || scaleType === SCALE_TYPE.e4m3;
  const scaleBytes = ((rows * k) / group) * (scaleType === SCALE_TYPE.f32 ? 4 : smallFloats ? 1 : 2);
  const size = codes + (smallFloats ? 1 : 2) * scaleBytes;
  const count = Math.floor(WEIGHTS / size);
  let preparedBy: Kernels | null = null;
  return {
    name: `${nameOf(ACTIVATION, activation)} × ${bits}-bit g${group} ${nameOf(SCALE_TYPE, scaleType)}, ${rows} × ${k}, ${tokens} token${tokens > 1 ? 's' : ''}`,
    work: rows * k * tokens,
    bytes: size,
    unit: 'G multiply-adds/s',
    run: (kernels, turn) => {
      if (preparedBy !== kernels) {
        kernels.prepare(activation, bits, group, X, tokens, k, PREPARED);
        // scales of a usual size, so that no product is infinite or subnormal
        const all = new Uint8Array(memory.buffer);
        for (let i = 0; smallFloats && i < count; i++) all.fill(SMALL_SCALE, W + i * size + codes, W + (i + 1) * size);
      }
      preparedBy = kernels;
      const w = W + (turn % count) * size;
      kernels.matmul(activation, bits, group, scaleType, w, w + codes, w + codes + scaleBytes, PREPARED, Y, rows, 0, rows, k, tokens);
    },
  };
}

function plain(tokens: number): Job {
  const [k, rows] = [2048, 2048];
  const size = k * rows * 2;
  return {
    name: `plain bf16, ${rows} × ${k}, ${tokens} tokens`,
    work: rows * k * tokens,
    bytes: size,
    unit: 'G multiply-adds/s',
    run: (kernels, turn) => kernels.matmulPlain(PLAIN_TYPE.bf16, W + (turn % Math.floor(WEIGHTS / size)) * size, X, Y, rows, 0, rows, k, tokens),
  };
}

function attention(tokens: number, depth: number, qHeads: number, kvHeads: number, headDim: number, kvType: KvTypeCode = KV_TYPE.bf16): Job {
  const pageStride = kernels.pageBytes(kvType, kvHeads, headDim, 0);
  const pages = Y + 24 * MEGABYTE;
  const headToKv = pages + 65536;
  const q = X;
  const cells = Array.from({ length: tokens }, (_, t) => depth + t + 1).reduce((a, b) => a + b);
  const cacheBytes = (depth / PAGE_TOKENS) * pageStride;
  const count = Math.floor(WEIGHTS / cacheBytes);
  let ready = false;
  return {
    name: `attend, ${tokens} token${tokens > 1 ? 's' : ''} at depth ${depth}, ${qHeads}/${kvHeads} heads of ${headDim}, ${nameOf(KV_TYPE, kvType)}`,
    work: cells * qHeads * headDim * 2,
    bytes: cacheBytes,
    unit: 'G multiply-adds/s',
    run: (kernels, turn) => {
      if (!ready) {
        const u32 = new Uint32Array(memory.buffer);
        for (let i = 0; i < 16384; i++) u32[pages / 4 + i] = i;
        for (let h = 0; h < qHeads; h++) u32[headToKv / 4 + h] = Math.floor((h * kvHeads) / qHeads);
        ready = true;
      }
      const base = W + (turn % count) * cacheBytes;
      const stride = qHeads * headDim;
      kernels.attend(kvType, q, stride, PREPARED, stride, base, pageStride, pages, depth, tokens, qHeads, headToKv, kvHeads, headDim, 0.125, 0, 0, 0, 0, 0, Y);
    },
  };
}

function small(name: string, work: number, run: (kernels: Kernels) => void): Job {
  return { name, work, bytes: 0, unit: 'G values/s', run };
}

function jobs(): Job[] {
  const { int8, int16, f32 } = ACTIVATION;
  const { bf16, f16, e8m0, e4m3 } = SCALE_TYPE;
  return [
    ...[1, 2, 3, 4, 8, 64].map((tokens) => matrix(int8, 4, 64, bf16, tokens)),
    ...[1, 2, 4, 8, 64].map((tokens) => matrix(int16, 4, 64, bf16, tokens)),
    ...[1, 8, 64].map((tokens) => matrix(int8, 4, 32, f16, tokens)),
    ...[1, 64].map((tokens) => matrix(int8, 4, 32, f16, tokens, 576, 1536)),
    ...[1, 8].map((tokens) => matrix(int16, 4, 32, f16, tokens)),
    ...[1, 8].map((tokens) => matrix(int16, 8, 32, f16, tokens)),
    ...[1, 8].map((tokens) => matrix(int8, 8, 64, bf16, tokens)),
    ...[2, 3, 5, 6].flatMap((bits) => [1, 8].map((tokens) => matrix(int8, bits, 64, bf16, tokens))),
    ...[1, 8].flatMap((tokens) => [matrix(int8, 4, 32, e8m0, tokens), matrix(int8, 4, 16, e4m3, tokens), matrix(int8, 8, 32, e8m0, tokens)]),
    ...[1, 8].map((tokens) => matrix(f32, 4, 64, bf16, tokens)),
    plain(1),
    plain(8),
    attention(1, 4096, 32, 8, 64),
    attention(1, 4096, 9, 3, 64),
    attention(1, 4096, 8, 8, 64),
    attention(1, 4096, 16, 4, 64),
    attention(1, 4096, 16, 4, 64, KV_TYPE.int8),
    attention(1, 4096, 16, 4, 64, KV_TYPE.f32),
    attention(64, 1024, 32, 8, 64),
    small('prepare int8, 64 × 2048', 64 * 2048, (kernels) => kernels.prepare(int8, 4, 64, X, 64, 2048, PREPARED)),
    small('prepare int16, 64 × 2048', 64 * 2048, (kernels) => kernels.prepare(int16, 4, 64, X, 64, 2048, PREPARED)),
    small('rmsNorm, 2048', 2048, (kernels) => kernels.rmsNorm(X, X + 65536, Y, 1, 2048, 1e-5)),
    small('siluMultiply, 8192', 8192, (kernels) => kernels.siluMultiply(X, X + 65536, Y, 8192)),
    small('rope, 32 heads of 64', 2048, (kernels) => kernels.rope(X, 1, 32, 64, 64, 0, X + 65536, X + 69632, 0)),
    small('storeKv, 8 heads of 64', 2 * 512, (kernels) => kernels.storeKv(KV_TYPE.bf16, X, X, 512, Y, 8 * 8192, W, 0, 1, 8, 64)),
    small('maxAndSum, 49152 logits', 49_152, (kernels) => kernels.maxAndSum(X, 49_152, 1, Y)),
    small('topN, 40 of 49152 logits', 49_152, (kernels) => void kernels.topN(X, 49_152, 0, 40, Y, Y + 4096)),
  ];
}

const memory = new WebAssembly.Memory({ initial: Math.ceil((W + WEIGHTS + MEGABYTE) / 65536), maximum: 65536, shared: true });

/** Every 16-bit half is a small normal number as F16, as BF16 and as the upper half of an F32; the codes are random enough. */
function fillMemory(): void {
  const words = new Uint32Array(memory.buffer);
  for (let i = 0; i < words.length; i++) words[i] = ((Math.random() * 2 ** 32) & 0x83ff83ff) | 0x24002400;
  const x = new Float32Array(memory.buffer, X, (PREPARED - X) / 4);
  for (let i = 0; i < x.length; i++) x[i] = Math.random() * 2 - 1;
  words.fill(0, W / 4, W / 4 + 1);
}

/** Calls per second of this thread's processor time (so that other work on the machine disturbs less), after enough calls for the optimising compiler. */
function measure(kernels: Kernels, job: Job): number {
  const warmUntil = performance.now() + 150;
  for (let turn = 0; performance.now() < warmUntil; turn++) job.run(kernels, turn);
  return turn(kernels, job, SECONDS);
}

function turn(kernels: Kernels, job: Job, length: number): number {
  const seconds = (): number => (process.threadCpuUsage().user + process.threadCpuUsage().system) / 1e6;
  job.run(kernels, 0);
  const start = seconds();
  let calls = 0;
  let now = start;
  while (now - start < length) {
    for (let i = 0; i < (job.bytes > 0 ? 1 : 200); i++) job.run(kernels, calls++);
    now = seconds();
  }
  return calls / (now - start);
}

const TURNS = 41;

/**
 * Medians of both builds' rates, taken in turn, and of their ratios turn by turn: the speed of a shared machine changes by half within a second, and
 * two turns that follow each other see the same one.
 */
function compare(own: Kernels, other: Kernels, job: Job): { own: number; other: number; ratio: number } {
  for (const build of [own, other]) measure(build, job);
  const turns = Array.from({ length: TURNS }, () => [turn(own, job, 0.005), turn(other, job, 0.005)] as const);
  return { own: median(turns.map(([a]) => a)), other: median(turns.map(([, b]) => b)), ratio: median(turns.map(([a, b]) => a / b)) };
}

const words = process.argv.slice(2);
const otherFile = words.find((word) => word.endsWith('.wasm'));
const filter = isMainThread ? (words.find((word) => word !== otherFile) ?? '') : workerData.filter;
const kernels = loadKernels(memory, isMainThread ? kernelModule() : workerData.module);
fillMemory();
const list = jobs().filter((job) => job.name.includes(filter));
if (!isMainThread) {
  parentPort!.on('message', (index: number) => parentPort!.postMessage(measure(kernels, list[index]!)));
  parentPort!.postMessage(0);
} else if (otherFile) {
  const other = loadKernels(memory, new WebAssembly.Module(readFileSync(otherFile)));
  for (const job of list) {
    const result = compare(kernels, other, job);
    const show = (rate: number): string => ((rate * job.work) / 1e9).toFixed(1).padStart(6);
    console.log(`${job.name.padEnd(58)} ${show(result.own)} ${show(result.other)}  ${job.unit}, ${result.ratio.toFixed(2)} ×`);
  }
} else {
  const worker = new Worker(new URL(import.meta.url), { workerData: { filter, module: kernelModule() } });
  const answer = (): Promise<number> => new Promise((resolve) => worker.once('message', resolve));
  await answer();
  for (const [index, job] of list.entries()) {
    const one = measure(kernels, job);
    worker.postMessage(index);
    const two = measure(kernels, job) + (await answer());
    const show = (rate: number): string =>
      `${((rate * job.work) / 1e9).toFixed(1).padStart(6)}${job.bytes > 0 ? ` (${((rate * job.bytes) / 1e9).toFixed(1).padStart(4)} GB/s)` : '            '}`;
    console.log(`${job.name.padEnd(58)} ${show(one)} ${show(two)}  ${job.unit}`);
  }
  await worker.terminate();
}
