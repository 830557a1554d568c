import type { Context, Script } from 'node:vm';
import type { ErrorCode } from '../contract/errors.ts';
import { HearthError } from './hearth-error.ts';

let made: { readonly call: Script; readonly context: Context } | undefined;

/** Made when it is first needed: most commands never need it. */
function place(): { readonly call: Script; readonly context: Context } {
  const vm = process.getBuiltinModule('node:vm');
  made ??= { call: new vm.Script('work()'), context: vm.createContext({ work: undefined }) };
  return made;
}

/** Runs synchronous work and ends it when it takes too long: a template can loop for ever. Throws `code`, whose message begins with `subject`. */
export function withTimeLimit<T>(work: () => T, timeoutMs: number, { code, subject }: { readonly code: ErrorCode; readonly subject: string }): T {
  const { call, context } = place();
  context['work'] = work;
  try {
    return call.runInContext(context, { timeout: timeoutMs }) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      throw new HearthError(code, `${subject} took longer than ${timeoutMs / 1_000} s.`, { cause: error });
    throw error;
  } finally {
    context['work'] = undefined;
  }
}
