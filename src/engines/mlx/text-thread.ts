import { parentPort, workerData } from 'node:worker_threads';
import type { FromWorker } from '../protocol/messages.ts';
import type { ToWorker } from '../protocol/to-worker.ts';
import type { FromMlxWorker, ToMlxWorker } from './messages.ts';
import { createTextService } from './text-service.ts';

/** What goes into the thread, and what comes out of it. */
export type TextThreadInput = { readonly from: 'session'; readonly message: ToWorker } | { readonly from: 'python'; readonly message: FromMlxWorker };
export type TextThreadOutput = { readonly to: 'session'; readonly message: FromWorker } | { readonly to: 'python'; readonly message: ToMlxWorker };

/** The program of the thread that holds a model's tokenizer and template, away from the daemon's own loop. */
const port = parentPort!;
const out = (message: TextThreadOutput): void => port.postMessage(message);
const { directory, adaptersDirectory } = workerData as { readonly directory: string; readonly adaptersDirectory: string | null };
const service = createTextService({
  directory,
  adaptersDirectory,
  toSession: (message) => out({ to: 'session', message }),
  toPython: (message) => out({ to: 'python', message }),
});
port.on('message', (input: TextThreadInput) => {
  if (input.from === 'session') service.fromSession(input.message);
  else service.fromPython(input.message);
});
