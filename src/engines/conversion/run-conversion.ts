import { Worker } from 'node:worker_threads';
import { HearthError, programUrl } from '../../core/index.ts';
import type { ConversionNews, ConversionWork } from './conversion-thread.ts';

/** Converts in a thread of its own. Throws what `importGguf` and `rewriteCheckpoint` throw. */
export async function runConversion(work: ConversionWork, onProgress: (doneBytes: number, totalBytes: number) => void, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const worker = new Worker(programUrl(import.meta.url, './conversion-thread'), { workerData: work, execArgv: [] });
  const cancel = (): void => worker.postMessage('cancel');
  worker.on('message', (news: ConversionNews) => {
    if (news.kind === 'progress') onProgress(news.doneBytes, news.totalBytes);
    else if (news.kind === 'done') resolve();
    else reject(new HearthError(news.code, news.message, { details: news.details }));
  });
  worker.on('error', reject);
  worker.on('exit', (code) => reject(new HearthError('internal_error', `The thread that converts ${work.source} ended with code ${code}.`)));
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    await promise;
  } finally {
    signal.removeEventListener('abort', cancel);
    await worker.terminate();
  }
}
