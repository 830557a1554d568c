import type { Context } from '../context.ts';
import { formatSize } from './size.ts';

const REDRAW_MS = 200;

/** Shows on a terminal how many bytes were read so far, while the work runs; nothing where it takes no time, or where nobody looks. */
export async function withByteCount<T>(context: Context, verb: string, work: (onBytes: (bytes: number) => void) => Promise<T>): Promise<T> {
  const { stderr } = context.output;
  const shown = context.terminal.stderr && !context.common.quiet && !context.common.json;
  let done = 0;
  let drawnAt = performance.now();
  let drawn = false;
  try {
    return await work((bytes) => {
      done += bytes;
      if (!shown || performance.now() - drawnAt < REDRAW_MS) return;
      drawnAt = performance.now();
      drawn = true;
      stderr.write(`\r\x1b[K${verb} ${formatSize(done)}`);
    });
  } finally {
    if (drawn) stderr.write('\r\x1b[K');
  }
}
