import { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { createJsonLineReader, encodeJsonLine, programUrl } from '../../core/index.ts';
import type { FromWorker } from './messages.ts';
import { readToWorker, type ToWorker } from './to-worker.ts';

/** The worker's end of the channel. */
export interface ParentChannel {
  send(message: FromWorker): void;
  /** From now on the end of the parent is seen also while this thread is busy; before, only between its turns. */
  watchParent(): void;
}

/**
 * Opens descriptor 3. A message that does not parse ends this process: the parent is hearth itself, so it
 * means that the two builds differ or that something else writes into the channel.
 */
export function openParentChannel(onMessage: (message: ToWorker) => void): ParentChannel {
  const socket = new Socket({ fd: 3, readable: true, writable: true });
  const end = (): void => {
    process.kill(process.pid, 'SIGKILL');
  };
  socket.on('error', end);
  socket.on('end', end);
  const reader = createJsonLineReader((message) => onMessage(readToWorker(message)));
  socket.on('data', (bytes) => {
    try {
      reader.push(bytes);
    } catch (error) {
      process.stderr.write(`refused a message: ${(error as Error).message}\n`, end);
    }
  });
  return {
    send: (message) => {
      socket.write(encodeJsonLine(message));
    },
    watchParent: () => new Worker(programUrl(import.meta.url, './parent-watch'), { execArgv: [] }).unref(),
  };
}
