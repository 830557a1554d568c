import { once } from 'node:events';
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { createLowRank, type LowRank } from '../adapters/low-rank.ts';
import { bindKernels } from '../bind-kernels.ts';
import type { Kernels } from '../kernel-interface.ts';
import { readPieces } from '../load/read-pieces.ts';
import { COMMAND, WORD } from './exchange.ts';
import { createForward } from './rank-forward.ts';
import type { NeighbourMemory, RankQuestion, RankReport, RankRequest, RankStart } from './rank-start.ts';
import { createSharedWork, type SharedWork } from './shared-work.ts';

/**
 * The program of one rank's thread: waits for its part of a model, fills its memory, then waits for commands. It never returns to its event loop
 * while the model is loaded: commands come by an atomic word, rare requests through a port that is read at the command `messages`. It imports
 * nothing of other modules, so that a thread costs little: it reports why it failed, and the control thread makes the error.
 */
const PAGE_BYTES = 65_536;
const MOST_PAGES = 65_535;
/** Progress is told this far apart, at least: each report is a message to the control thread, and one to the parent. */
const REPORT = { bytes: 4 * 1024 * 1024, milliseconds: 50 } as const;
const [start] = (await once(parentPort!, 'message')) as [RankStart];
const control = new Int32Array(start.exchange.control);
const report = (message: RankReport, transfer: ArrayBuffer[] = []): void => parentPort!.postMessage(message, transfer);

try {
  const pages = Math.ceil(start.plan.memoryBytes / PAGE_BYTES);
  // Adapters come later and make it grow; the room for that is only reserved.
  const memory = new WebAssembly.Memory({ initial: pages, maximum: MOST_PAGES, shared: true });
  const { buffer } = memory;
  const bind = await kernelsOver(start.kernels);
  const kernels = bind(memory);
  load(new Uint8Array(buffer), kernels);
  const work = createSharedWork({ rank: start.plan.rank, kernels }, start.exchange);
  report({ kind: 'loaded', memory });
  const lowRank = createLowRank(kernels, memory);
  serve(createForward(start, kernels, buffer, lowRank, work), createAnswers(new Uint8Array(buffer), lowRank, work, bind));
} catch (error) {
  Atomics.store(control, WORD.failed, 1);
  Atomics.notify(control, WORD.arrived);
  report({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
}

async function kernelsOver(module: WebAssembly.Module | null): Promise<(memory: WebAssembly.Memory) => Kernels> {
  if (module === null) {
    const { createReferenceKernels } = await import('../reference/reference-kernels.ts');
    return (memory) => createReferenceKernels(memory.buffer);
  }
  return (memory) => bindKernels(memory, module);
}

function load(bytes: Uint8Array, kernels: Kernels): void {
  let unreported = 0;
  let reportedAt = 0;
  readPieces(start.plan.reads, { bytes, kernels, staging: start.plan.buffers.staging }, (count) => {
    unreported += count;
    const now = performance.now();
    if (unreported < REPORT.bytes || now - reportedAt < REPORT.milliseconds) return;
    report({ kind: 'progress', bytes: unreported });
    unreported = 0;
    reportedAt = now;
  });
  report({ kind: 'progress', bytes: unreported });
}

function serve(forward: () => void, answer: (question: RankQuestion) => Uint8Array<ArrayBuffer>): void {
  for (let seen = 0; ; ) {
    Atomics.wait(control, WORD.command, seen);
    const command = Atomics.load(control, WORD.command);
    if (command === seen) continue;
    seen = command;
    const kind = Atomics.load(control, WORD.kind);
    if (kind === COMMAND.step) forward();
    else answerRequests(answer);
    if (Atomics.add(control, WORD.finished, 1) + 1 === start.ranks) {
      Atomics.store(control, WORD.finished, 0);
      Atomics.store(control, WORD.completed, seen);
      Atomics.notify(control, WORD.completed);
    }
  }
}

function answerRequests(answer: (question: RankQuestion) => Uint8Array<ArrayBuffer>): void {
  for (let received = receiveMessageOnPort(start.port); received !== undefined; received = receiveMessageOnPort(start.port)) {
    const { request, question } = received.message as RankRequest;
    try {
      const bytes = answer(question);
      report({ kind: 'bytes', request, bytes }, [bytes.buffer]);
    } catch (error) {
      report({ kind: 'refused', request, message: error instanceof Error ? error.message : String(error) });
    }
  }
}

/** What a rank does between steps. */
function createAnswers(
  bytes: Uint8Array,
  lowRank: LowRank,
  work: SharedWork,
  bind: (memory: WebAssembly.Memory) => Kernels,
): (question: RankQuestion) => Uint8Array<ArrayBuffer> {
  const neighbour = ({ rank, memory, room }: NeighbourMemory) => {
    const kernels = bind(memory);
    kernels.useRoom(room);
    return { rank, kernels };
  };
  return (question) => {
    if (question.kind === 'peek') {
      const copy = new Uint8Array(question.bytes);
      copy.set(bytes.subarray(question.offset, question.offset + question.bytes));
      return copy;
    }
    if (question.kind === 'adapter-measure') return new Uint8Array(lowRank.measure(question.slot, question.placement, question.first, question.rows).buffer);
    if (question.kind === 'neighbours') work.join(question.neighbours.map(neighbour));
    else if (question.kind === 'adapter-load') lowRank.load(question.slot, question.adapter, question.block);
    else if (question.kind === 'adapter-norms') lowRank.setNorms(question.slot, question.placement, question.norms);
    else lowRank.drop(question.slot);
    return new Uint8Array();
  };
}
