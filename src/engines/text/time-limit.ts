import { createContext, Script } from 'node:vm';
import { HearthError } from '../../core/index.ts';

const call = new Script('work()');
const context = createContext({ work: undefined as (() => unknown) | undefined });

/** Runs synchronous work and ends it when it takes too long: a template can loop for ever. Throws template_limit. */
export function withTimeLimit<T>(work: () => T, timeoutMs: number): T {
  context['work'] = work;
  try {
    return call.runInContext(context, { timeout: timeoutMs }) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      throw new HearthError('template_limit', `The chat template of this model took longer than ${timeoutMs / 1_000} s.`, { cause: error });
    throw error;
  } finally {
    context['work'] = undefined;
  }
}
