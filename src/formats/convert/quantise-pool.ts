import { Worker } from 'node:worker_threads';
import { programUrl } from '../../core/index.ts';
import { type QuantisedPiece, type QuantisePiece, quantisePiece } from './quantise-piece.ts';

/** Threads that quantise pieces; with none, the caller's own thread does it. */
export interface QuantisePool extends AsyncDisposable {
  /** How many pieces are worth giving at once. */
  readonly width: number;
  /** The bytes of the piece are taken over. */
  run(piece: QuantisePiece): Promise<QuantisedPiece>;
}

interface Lane {
  readonly worker: Worker;
  readonly waiting: PromiseWithResolvers<QuantisedPiece>[];
}

export function createQuantisePool(threads: number): QuantisePool {
  if (threads < 1) return { width: 1, run: async (piece) => quantisePiece(piece), [Symbol.asyncDispose]: async () => {} };
  const lanes = Array.from({ length: threads }, startLane);
  return {
    // One piece at work and one that waits, so that no thread is idle while files are read and written.
    width: 2 * threads,
    run(piece) {
      const lane = lanes.reduce((least, other) => (other.waiting.length < least.waiting.length ? other : least));
      const answer = Promise.withResolvers<QuantisedPiece>();
      lane.waiting.push(answer);
      const { buffer, byteLength } = piece.bytes;
      lane.worker.postMessage(piece, buffer.byteLength === byteLength ? [buffer as ArrayBuffer] : []);
      return answer.promise;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(lanes.map(({ worker }) => worker.terminate()));
    },
  };
}

function startLane(): Lane {
  const worker = new Worker(programUrl(import.meta.url, './quantise-thread'), {
    execArgv: [],
    // Its buffers are no part of its heap.
    resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 },
  });
  const waiting: PromiseWithResolvers<QuantisedPiece>[] = [];
  const fail = (error: unknown) => {
    for (const { reject } of waiting.splice(0)) reject(error);
  };
  worker.on('message', (made: QuantisedPiece) => waiting.shift()?.resolve(made));
  worker.on('error', fail);
  worker.on('exit', () => fail(new Error('a thread that quantises has ended')));
  return { worker, waiting };
}

/** The results of `run` in the order of the pieces, with up to `ahead` of them under way. */
export async function* inOrder<A, B>(pieces: AsyncIterable<A>, ahead: number, run: (piece: A) => Promise<B>): AsyncGenerator<B> {
  const running: Promise<B>[] = [];
  for await (const piece of pieces) {
    const result = run(piece);
    // Told by the one who waits for it; until then it is nobody's unhandled rejection.
    result.catch(() => {});
    running.push(result);
    if (running.length >= ahead) yield await running.shift()!;
  }
  for (const result of running) yield await result;
}
