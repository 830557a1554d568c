/** One line of the doctor (docs/spec/stack.md §9). */
export interface Finding {
  /** `home-modes`, `sandbox`: stable, for scripts. */
  readonly id: string;
  readonly severity: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** The way out; null where nothing is to be done. */
  readonly fix: string | null;
}

export const ok = (id: string, message: string): Finding => ({ id, severity: 'ok', message, fix: null });
export const warn = (id: string, message: string, fix: string): Finding => ({ id, severity: 'warn', message, fix });
export const fail = (id: string, message: string, fix: string): Finding => ({ id, severity: 'fail', message, fix });
