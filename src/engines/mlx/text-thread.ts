import { parentPort, workerData } from 'node:worker_threads';
import type { ErrorCode } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { RenderWork } from '../model-text/render-work.ts';
import type { FromWorker } from '../protocol/messages.ts';
import type { ToWorker } from '../protocol/to-worker.ts';
import type { PromptSegment } from '../text/index.ts';
import type { FromMlxWorker, ToMlxWorker } from './messages.ts';
import { createTextService } from './text-service.ts';

/** What goes into the thread, and what comes out of it. */
export type TextThreadInput =
  | { readonly from: 'session'; readonly message: ToWorker }
  | { readonly from: 'python'; readonly message: FromMlxWorker }
  | { readonly from: 'helper'; readonly work: number; readonly segments: readonly PromptSegment[] }
  | { readonly from: 'helper'; readonly work: number; readonly code: ErrorCode; readonly problem: string };
export type TextThreadOutput =
  | { readonly to: 'session'; readonly message: FromWorker }
  | { readonly to: 'python'; readonly message: ToMlxWorker }
  | { readonly to: 'helper'; readonly work: number; readonly input: RenderWork };

export interface TextThreadData {
  readonly directory: string;
  readonly adaptersDirectory: string | null;
  /** Templates are rendered by helpers, asked for through the parent. */
  readonly helped: boolean;
}

/** The program of the thread that holds a model's tokenizer and template, away from the daemon's own loop. */
const port = parentPort!;
const out = (message: TextThreadOutput): void => port.postMessage(message);
const { directory, adaptersDirectory, helped } = workerData as TextThreadData;
const rendering = new Map<number, PromiseWithResolvers<readonly PromptSegment[]>>();
let works = 0;
const render = (input: RenderWork): Promise<readonly PromptSegment[]> => {
  const work = works++;
  const answer = Promise.withResolvers<readonly PromptSegment[]>();
  rendering.set(work, answer);
  out({ to: 'helper', work, input });
  return answer.promise;
};
const service = createTextService({
  directory,
  adaptersDirectory,
  ...(helped ? { render } : {}),
  toSession: (message) => out({ to: 'session', message }),
  toPython: (message) => out({ to: 'python', message }),
});
port.on('message', (input: TextThreadInput) => {
  if (input.from === 'session') service.fromSession(input.message);
  else if (input.from === 'python') service.fromPython(input.message);
  else {
    const asker = rendering.get(input.work);
    rendering.delete(input.work);
    if ('segments' in input) asker?.resolve(input.segments);
    else asker?.reject(new HearthError(input.code, input.problem));
  }
});
