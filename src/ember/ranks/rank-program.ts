import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { Kernels } from '../kernel-interface.ts';
import { readPieces } from '../load/read-pieces.ts';
import { COMMAND, WORD } from './exchange.ts';
import { createForward } from './rank-forward.ts';
import type { RankReport, RankRequest, RankStart } from './rank-start.ts';

/**
 * The program of one rank's thread: fills its memory, then waits for commands. It never returns to its event loop while the model is loaded:
 * commands come by an atomic word, rare requests through a port that is read at the command `messages`. It imports nothing of other modules,
 * so that a thread costs little: it reports why it failed, and the control thread makes the error.
 */
const PAGE_BYTES = 65_536;
const start = workerData as RankStart;
const control = new Int32Array(start.exchange.control);
const report = (message: RankReport, transfer: ArrayBuffer[] = []): void => parentPort!.postMessage(message, transfer);

try {
  const pages = Math.ceil(start.plan.memoryBytes / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const { buffer } = memory;
  const kernels = await bindKernels(memory, start.kernels);
  load(new Uint8Array(buffer), kernels);
  report({ kind: 'loaded' });
  serve(createForward(start, kernels, buffer), new Uint8Array(buffer));
} catch (error) {
  Atomics.store(control, WORD.failed, 1);
  Atomics.notify(control, WORD.arrived);
  report({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
}

async function bindKernels(memory: WebAssembly.Memory, module: WebAssembly.Module | null): Promise<Kernels> {
  if (module !== null) return (await import('../load-kernels.ts')).loadKernels(memory, module);
  return (await import('../reference/reference-kernels.ts')).createReferenceKernels(memory.buffer);
}

function load(bytes: Uint8Array, kernels: Kernels): void {
  let unreported = 0;
  readPieces(start.plan.reads, { bytes, kernels, staging: start.plan.buffers.staging }, (count) => {
    unreported += count;
    if (unreported < 4 * 1024 * 1024) return;
    report({ kind: 'progress', bytes: unreported });
    unreported = 0;
  });
  report({ kind: 'progress', bytes: unreported });
}

function serve(forward: () => void, bytes: Uint8Array): void {
  for (let seen = 0; ; ) {
    Atomics.wait(control, WORD.command, seen);
    const command = Atomics.load(control, WORD.command);
    if (command === seen) continue;
    seen = command;
    const kind = Atomics.load(control, WORD.kind);
    if (kind === COMMAND.step) forward();
    else answerRequests(bytes);
    if (Atomics.add(control, WORD.finished, 1) + 1 === start.ranks) {
      Atomics.store(control, WORD.finished, 0);
      Atomics.store(control, WORD.completed, seen);
      Atomics.notify(control, WORD.completed);
    }
  }
}

function answerRequests(bytes: Uint8Array): void {
  for (let received = receiveMessageOnPort(start.port); received !== undefined; received = receiveMessageOnPort(start.port)) {
    const { request, offset, bytes: count } = received.message as RankRequest;
    const copy = new Uint8Array(count);
    copy.set(bytes.subarray(offset, offset + count));
    report({ kind: 'bytes', request, bytes: copy }, [copy.buffer]);
  }
}
