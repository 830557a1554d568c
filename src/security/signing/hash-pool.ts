import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { programUrl } from '../../core/index.ts';
import { type HashResult, type HashWork, hashFileNow } from './hash-work.ts';

export interface HashOptions {
  readonly signal?: AbortSignal;
  /** Threads that hash at once; as many as the processor has, at most 8, unless said. */
  readonly threads?: number;
  /** Called now and then with the bytes that were hashed since the last call. */
  readonly onProgress?: (bytes: number) => void;
}

/** A thread costs some 30 ms to start: below this a pool is slower than none. */
const ALONE_BYTES = 32 * 1024 * 1024;
const PROGRESS_MS = 100;

/** Hashes files in worker threads, the longest first; results in the order given. Throws only for an abort or a thread that died. */
export async function hashAll(work: readonly HashWork[], options: HashOptions = {}): Promise<HashResult[]> {
  options.signal?.throwIfAborted();
  const total = work.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (total <= ALONE_BYTES) return await hashHere(work, options);
  return await hashInThreads(work, options);
}

async function hashHere(work: readonly HashWork[], { signal, onProgress }: HashOptions): Promise<HashResult[]> {
  const results: HashResult[] = [];
  for (const one of work) {
    results.push(hashFileNow(one, () => false));
    onProgress?.(one.sizeBytes);
    // A turn of the loop between files, so that others are served and an abort is seen.
    await new Promise<void>((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  }
  return results;
}

async function hashInThreads(work: readonly HashWork[], options: HashOptions): Promise<HashResult[]> {
  const { signal, onProgress } = options;
  const doneBytes = new BigInt64Array(new SharedArrayBuffer(8));
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const queue = work.map((_, index) => index).sort((a, b) => work[b]!.sizeBytes - work[a]!.sizeBytes);
  const results = new Array<HashResult>(work.length);
  const tell = (): void => {
    const bytes = Number(Atomics.exchange(doneBytes, 0, 0n));
    if (bytes > 0) onProgress?.(bytes);
  };
  const timer = onProgress === undefined ? null : setInterval(tell, PROGRESS_MS);
  const count = Math.max(1, Math.min(options.threads ?? Math.min(8, availableParallelism()), work.length));
  const threads = Array.from(
    { length: count },
    () => new Worker(programUrl(import.meta.url, './hash-thread'), { workerData: { doneBytes, stop }, execArgv: [] }),
  );
  const onAbort = (): void => {
    Atomics.store(stop, 0, 1);
    for (const thread of threads) void thread.terminate();
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.all(
      threads.map(
        (thread) =>
          new Promise<void>((resolve, reject) => {
            let at = -1;
            const next = (): void => {
              const index = queue.shift();
              if (index === undefined) {
                resolve();
                return;
              }
              at = index;
              thread.postMessage(work[index]);
            };
            thread.on('message', (result: HashResult) => {
              results[at] = result;
              next();
            });
            thread.on('error', reject);
            thread.on('exit', () => reject(signal?.aborted ? signal.reason : new Error('A hashing thread ended.')));
            next();
          }),
      ),
    );
  } finally {
    signal?.removeEventListener('abort', onAbort);
    if (timer !== null) clearInterval(timer);
    Atomics.store(stop, 0, 1);
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
  signal?.throwIfAborted();
  tell();
  return results;
}
