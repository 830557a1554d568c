import { parentPort, workerData } from 'node:worker_threads';
import { type HashWork, hashFileNow } from './hash-work.ts';

/** The program of one hashing thread: a job at a time, its bytes counted in shared memory. */
const { doneBytes, stop } = workerData as { readonly doneBytes: BigInt64Array; readonly stop: Int32Array };

parentPort!.on('message', (work: HashWork) => {
  const result = hashFileNow(work, (bytes) => {
    Atomics.add(doneBytes, 0, BigInt(bytes));
    return Atomics.load(stop, 0) !== 0;
  });
  parentPort!.postMessage(result);
});
