import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

// The machine's read bandwidth as WebAssembly sees it: each thread adds up its own 512 MiB in 128-bit pieces.
const MIB = 512;
const SOURCE = `export function read(n: usize): i64 {
  let a = i64x2.splat(0), b = a, c = a, d = a;
  for (let p: usize = 0; p < n; p += 64) {
    a = i64x2.add(a, v128.load(p)); b = i64x2.add(b, v128.load(p, 16)); c = i64x2.add(c, v128.load(p, 32)); d = i64x2.add(d, v128.load(p, 48));
  }
  const s = i64x2.add(i64x2.add(a, b), i64x2.add(c, d));
  return i64x2.extract_lane(s, 0) + i64x2.extract_lane(s, 1);
}`;

if (!isMainThread && workerData?.bandwidth) {
  const memory = new WebAssembly.Memory({ initial: MIB * 16, maximum: MIB * 16, shared: true });
  new Uint8Array(memory.buffer).fill(1);
  const { read } = new WebAssembly.Instance(workerData.bandwidth, { env: { memory } }).exports as { read: (n: number) => bigint };
  parentPort!.on('message', () => {
    const start = performance.now();
    read(MIB * 2 ** 20);
    parentPort!.postMessage(performance.now() - start);
  });
  parentPort!.postMessage(0);
}

/** Returns a measurement in bytes per second over `threads` threads; each call takes about 0.1 s. */
export async function startBandwidth(threads: number): Promise<{ measure(): Promise<number>; close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-bandwidth-'));
  writeFileSync(join(folder, 'read.ts'), SOURCE);
  const asc = join(import.meta.dirname, '../node_modules/assemblyscript/bin/asc.js');
  execFileSync(
    process.execPath,
    [
      asc,
      'read.ts',
      '-o',
      'read.wasm',
      '-O3',
      '--noAssert',
      '--runtime',
      'stub',
      '--enable',
      'simd,threads',
      '--importMemory',
      '--sharedMemory',
      '--initialMemory',
      '1',
      '--maximumMemory',
      '65536',
    ],
    { cwd: folder },
  );
  const module = new WebAssembly.Module(readFileSync(join(folder, 'read.wasm')));
  rmSync(folder, { recursive: true });
  const workers = await Promise.all(
    Array.from({ length: threads }, async () => {
      const worker = new Worker(new URL(import.meta.url), { workerData: { bandwidth: module } });
      await new Promise((ready) => worker.once('message', ready));
      return worker;
    }),
  );
  return {
    async measure() {
      const times = await Promise.all(workers.map((w) => measureOne(w)));
      return (threads * MIB * 2 ** 20) / (Math.max(...times) / 1000);
    },
    async close() {
      await Promise.all(workers.map((w) => w.terminate()));
    },
  };
}

function measureOne(worker: Worker): Promise<number> {
  return new Promise((done) => {
    worker.once('message', done);
    worker.postMessage(0);
  });
}
