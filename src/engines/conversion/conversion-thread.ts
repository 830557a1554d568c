import { dirname } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type { ErrorCode } from '../../contract/index.ts';
import { systemError, toHearthError } from '../../core/index.ts';
import { importGguf, rewriteCheckpoint } from '../../formats/index.ts';

/** What is converted, and where to. */
export type ConversionWork =
  | { readonly kind: 'import'; readonly source: string; readonly destination: string }
  | { readonly kind: 'rewrite'; readonly source: string; readonly destination: string; readonly quantize?: 4 | 8 };

export type ConversionNews =
  | { readonly kind: 'progress'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string; readonly details: Record<string, unknown> };

/** The program of a conversion's thread: the daemon answers others meanwhile. Any message to it cancels. */
const work = workerData as ConversionWork;
const abort = new AbortController();
const port = parentPort!;
const tell = (news: ConversionNews): void => port.postMessage(news);
port.once('message', () => abort.abort());

try {
  const onProgress = ({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number }) => tell({ kind: 'progress', doneBytes, totalBytes });
  const options = { signal: abort.signal, onProgress };
  if (work.kind === 'import') await importGguf(work.source, work.destination, options);
  else await rewriteCheckpoint(work.source, work.destination, work.quantize === undefined ? options : { ...options, quantize: work.quantize });
  tell({ kind: 'done' });
} catch (error) {
  const { code, message, details } = systemError(error, dirname(work.destination)) ?? toHearthError(error);
  tell({ kind: 'failed', code, message, details: { ...details } });
}
