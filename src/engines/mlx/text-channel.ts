import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type HelperPool, programUrl, toHearthError } from '../../core/index.ts';
import type { ProcessChannel } from '../../supervisor/index.ts';
import { type RenderWork, renderJob } from '../model-text/render-work.ts';
import type { FromWorker } from '../protocol/messages.ts';
import type { ToWorker } from '../protocol/to-worker.ts';
import type { PromptSegment } from '../text/index.ts';
import { fromMlxWorker, type ToMlxWorker } from './messages.ts';
import type { TextThreadData, TextThreadInput, TextThreadOutput } from './text-thread.ts';

export interface TextChannelOptions {
  /** Where the view directories are; the worker says which one it was given. */
  readonly viewRoot: string;
  readonly adaptersDirectory: string | null;
  /** Where templates are rendered; absent: in the thread. */
  readonly helpers?: HelperPool;
}

/** Heap of a text thread: a vocabulary of 256,000 tokens and its grammars take a quarter of it. */
const HEAP_MB = 2_048;

/**
 * A channel that speaks as ember's worker does, over one to a Python worker that knows tokens only: a thread of this process stands between
 * them. Health, statistics and the end of it pass by the thread, so that a long text keeps nobody waiting.
 */
export function openTextChannel(python: ProcessChannel, { viewRoot, adaptersDirectory, helpers }: TextChannelOptions): ProcessChannel {
  let listener: ((message: unknown) => void) | undefined;
  let thread: Worker | undefined;
  const early: TextThreadInput[] = [];

  const toThread = (input: TextThreadInput): void => {
    if (thread === undefined) early.push(input);
    else thread.postMessage(input);
  };
  /** What is too long for a message is told to its asker. */
  const pass = (message: ToMlxWorker): void => {
    try {
      python.send(message);
    } catch (error) {
      const { code, message: text } = toHearthError(error);
      const to = 'sequence' in message ? { sequence: message.sequence } : 'id' in message ? { id: message.id } : {};
      listener?.({ kind: 'error', ...to, code, message: text } satisfies FromWorker);
    }
  };
  const render = async (work: number, input: RenderWork): Promise<TextThreadInput> => {
    try {
      return { from: 'helper', work, segments: (await helpers!.run(renderJob(input))) as readonly PromptSegment[] };
    } catch (error) {
      const { code, message } = toHearthError(error);
      return { from: 'helper', work, code, problem: message };
    }
  };
  const start = (directory: string): void => {
    thread = new Worker(programUrl(import.meta.url, './text-thread'), {
      workerData: { directory, adaptersDirectory, helped: helpers !== undefined } satisfies TextThreadData,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    thread.on('message', (output: TextThreadOutput) => {
      if (output.to === 'session') listener?.(output.message);
      else if (output.to === 'python') pass(output.message);
      else void render(output.work, output.input).then(toThread);
    });
    thread.on('error', (error) => python.refuse(`the thread of its text failed: ${error.message}`));
    for (const input of early.splice(0)) thread.postMessage(input);
  };
  const receive = (raw: unknown): void => {
    const parsed = fromMlxWorker.safeParse(raw);
    if (!parsed.success) {
      python.refuse(`it sent a message that is not in the protocol (${parsed.error.issues[0]?.message ?? 'unknown'})`);
      return;
    }
    const message = parsed.data;
    if (message.kind === 'hello') {
      const { view, version, build, device } = message;
      // The name of a view is a digest: the worker cannot lead the thread to another place.
      if (!/^[0-9a-f]{32}$/.test(view)) python.refuse('it was given no view directory');
      else if (thread === undefined) start(join(viewRoot, view));
      listener?.({ kind: 'hello', version, build, device });
    } else if (message.kind === 'reply' || message.kind === 'load-progress') listener?.(message);
    else toThread({ from: 'python', message });
  };
  void python.exited.then(() => thread?.terminate());
  return {
    exited: python.exited,
    refuse: (reason) => python.refuse(reason),
    send(message) {
      const { kind } = message as ToWorker;
      if (kind === 'health' || kind === 'stats' || kind === 'stop') python.send(message);
      else toThread({ from: 'session', message: message as ToWorker });
    },
    onMessage(next) {
      const first = listener === undefined;
      listener = next;
      if (first) python.onMessage(receive);
    },
  };
}
