import { HearthError } from '../core/index.ts';
import type { Context } from './context.ts';
import { createProgress } from './render/progress.ts';

/** Events of a long verb that makes a workspace. */
type MakingEvent<D> =
  | { readonly kind: 'progress'; readonly step: string; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly kind: 'notice'; readonly message: string }
  | { readonly kind: 'result'; readonly data: D };

const STEPS: Readonly<Record<string, string>> = { download: 'Downloading', copy: 'Copying', convert: 'Converting', verify: 'Comparing' };

/** Reads the events to the result, with a bar per step on stderr. */
export async function followWork<D>(context: Context, events: AsyncIterable<MakingEvent<D>>, quiet: boolean): Promise<D> {
  const start = () =>
    createProgress({
      stderr: context.output.stderr,
      bar: context.terminal.stderr,
      columns: context.terminal.columns,
      quiet: quiet || context.common.quiet,
      now: () => performance.now(),
    });
  let progress = start();
  let step = '';
  let result: { readonly data: D } | null = null;
  try {
    for await (const event of events) {
      if (event.kind === 'result') result = event;
      else if (event.kind === 'notice') {
        progress.end();
        if (!quiet) context.output.notice(event.message);
      } else {
        if (event.step !== step) {
          progress.end();
          progress = start();
          step = event.step;
        }
        progress.update(event.doneBytes, event.totalBytes, STEPS[event.step] ?? event.step);
      }
    }
  } finally {
    progress.end();
  }
  if (result === null) throw new HearthError('execution_error', 'The work ended without a result.');
  return result.data;
}
