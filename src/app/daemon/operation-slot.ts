import { HearthError } from '../../core/index.ts';

/** One change of the stack at a time: a second one is refused at once, naming the first (docs/spec/stack.md §1). */
export function createOperationSlot(nowMs: () => number = () => performance.now()): <T>(name: string, run: () => Promise<T>) => Promise<T> {
  let running: { readonly name: string; readonly since: number } | null = null;
  return async (name, run) => {
    if (running !== null) {
      const ageSeconds = Math.round((nowMs() - running.since) / 1000);
      throw new HearthError('operation_in_progress', `\`${running.name}\` has been running for ${ageSeconds} s.`, {
        details: { operation: running.name, ageSeconds },
      });
    }
    running = { name, since: nowMs() };
    try {
      return await run();
    } finally {
      running = null;
    }
  };
}
