import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { HearthError } from '../../core/index.ts';
import { COMMAND, WORD } from './exchange.ts';
import type { NeighbourMemory, RankQuestion, RankReport, RankRequest, RankStart } from './rank-start.ts';
import { createRankThreads, type RankThreads } from './rank-threads.ts';

export interface RankGroup extends AsyncDisposable {
  /** Runs one step that lies in the exchange on all ranks. Commands run one at a time: the caller queues them. */
  step(): Promise<void>;
  /** How many ranks compute at a time; 0 = all. Between steps only. */
  limit(ranks: number): void;
  /** A copy of part of a rank's memory. */
  peek(rank: number, offset: number, bytes: number): Promise<Uint8Array>;
  /** Puts questions to ranks in one command; answers in their order. Rejects with the first refusal when all are answered. */
  ask(questions: readonly AskedRank[]): Promise<readonly Uint8Array[]>;
}

export interface AskedRank {
  readonly rank: number;
  readonly question: RankQuestion;
  readonly transfer?: readonly ArrayBuffer[];
}

export interface RankGroupOptions {
  readonly starts: readonly Omit<RankStart, 'port'>[];
  readonly onProgress: (bytes: number) => void;
  readonly signal: AbortSignal | undefined;
  /** Threads that run already. */
  readonly threads?: RankThreads | undefined;
}

/** Starts one thread per rank and waits until all have read their weights. On any failure all are ended and the first reason is thrown. */
export async function startRanks(options: RankGroupOptions): Promise<RankGroup> {
  const { starts } = options;
  const control = new Int32Array(starts[0]!.exchange.control);
  const peeks = new Map<number, PromiseWithResolvers<Uint8Array>>();
  const ports: MessagePort[] = [];
  const ready = Promise.withResolvers<void>();
  let failure: HearthError | null = null;
  let loaded = 0;
  const fail = (error: HearthError): void => {
    if (failure !== null) return;
    failure = error;
    Atomics.store(control, WORD.failed, 1);
    // Ranks that wait for the failed one look up, and whoever waits for a command learns the reason.
    Atomics.notify(control, WORD.arrived);
    Atomics.notify(control, WORD.completed);
    ready.reject(error);
    for (const peek of peeks.values()) peek.reject(error);
  };

  const memories: WebAssembly.Memory[] = [];
  const threads = options.threads ?? createRankThreads(0);
  const workers = starts.map((start) => {
    const { port1, port2 } = new MessageChannel();
    ports.push(port1);
    port1.unref();
    const worker = threads.take();
    worker.on('message', (message: RankReport) => {
      if (message.kind === 'progress') options.onProgress(message.bytes);
      else if (message.kind === 'loaded') {
        memories[start.plan.rank] = message.memory;
        loaded++;
        if (loaded === starts.length) ready.resolve();
      } else if (message.kind === 'bytes') {
        peeks.get(message.request)?.resolve(message.bytes);
        peeks.delete(message.request);
      } else if (message.kind === 'refused') {
        peeks.get(message.request)?.reject(new Error(message.message));
        peeks.delete(message.request);
      } else fail(new HearthError(loaded < starts.length ? 'model_load_failed' : 'engine_crashed', message.message));
    });
    worker.on('error', (error) => fail(new HearthError('engine_crashed', `A compute thread failed: ${error.message}`, { cause: error })));
    worker.on('exit', (code) => fail(new HearthError('engine_crashed', `A compute thread ended with code ${code}.`)));
    worker.postMessage({ ...start, port: port2 } satisfies RankStart, [port2]);
    return worker;
  });
  const endAll = async (): Promise<void> => {
    for (const worker of workers) worker.removeAllListeners('exit');
    for (const port of ports) port.close();
    await Promise.all(workers.map((worker) => worker.terminate()));
  };
  // Tells that the ranks are at work, before their first bytes.
  options.onProgress(0);
  const abort = () => fail(new HearthError('cancelled', 'The load was cancelled.'));
  options.signal?.addEventListener('abort', abort, { once: true });
  if (options.signal?.aborted) abort();
  try {
    await ready.promise;
  } catch (error) {
    await endAll();
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', abort);
  }

  let issued = 0;
  async function command(kind: number): Promise<void> {
    if (failure !== null) throw failure;
    Atomics.store(control, WORD.kind, kind);
    const before = issued;
    issued = (issued + 1) | 0;
    Atomics.store(control, WORD.command, issued);
    Atomics.notify(control, WORD.command);
    // Whoever saw the command before complete without waiting is woken by its late notice, in the middle of this one: only the word counts.
    while (Atomics.load(control, WORD.completed) !== issued) {
      const completion = Atomics.waitAsync(control, WORD.completed, before);
      if (completion.async) await completion.value;
      if (failure !== null) throw failure;
    }
    if (failure !== null) throw failure;
  }

  let requests = 0;
  async function ask(questions: readonly AskedRank[]): Promise<readonly Uint8Array[]> {
    if (failure !== null) throw failure;
    const answers = questions.map(({ rank, question, transfer }) => {
      const request = requests++;
      const answer = Promise.withResolvers<Uint8Array>();
      peeks.set(request, answer);
      ports[rank]!.postMessage({ request, question } satisfies RankRequest, transfer ?? []);
      return answer.promise;
    });
    const [settled] = await Promise.all([Promise.allSettled(answers), command(COMMAND.messages)]);
    return settled.map((answer) => {
      if (answer.status === 'rejected') throw answer.reason;
      return answer.value;
    });
  }

  /** Each rank learns the memories of the others, where it helps when it waits. */
  async function introduce(): Promise<void> {
    const seenBy = (rank: number): NeighbourMemory[] =>
      starts
        .filter(({ plan }) => plan.rank !== rank)
        .map(({ plan: { rank: other, buffers } }) => {
          const room = buffers.helperRooms + (rank < other ? rank : rank - 1) * buffers.helperRoomBytes;
          return { rank: other, memory: memories[other]!, room };
        });
    await ask(starts.map(({ plan: { rank } }) => ({ rank, question: { kind: 'neighbours', neighbours: seenBy(rank) } })));
  }
  try {
    if (starts.length > 1) await introduce();
  } catch (error) {
    await endAll();
    throw error;
  }

  return {
    step: () => command(COMMAND.step),
    limit(ranks) {
      Atomics.store(control, WORD.free, ranks);
      Atomics.store(control, WORD.limit, ranks);
    },
    async peek(rank, offset, bytes) {
      const [copy] = await ask([{ rank, question: { kind: 'peek', offset, bytes } }]);
      return copy!;
    },
    ask,
    async [Symbol.asyncDispose]() {
      fail(new HearthError('engine_crashed', 'The model was closed.'));
      await endAll();
    },
  };
}
