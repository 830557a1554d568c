import { dirname } from 'node:path';
import { isHearthError, type Logger, makePrivateDirectory, readManagedFile, writeManagedFile } from '../../core/index.ts';
import type { Alert, AlertState, Silence } from './alert-book.ts';
import { RULES } from './signal.ts';

/** Alerts and silences, so that a daemon that starts anew still knows what was told and acknowledged. */
export interface AlertFile {
  read(): AlertState | null;
  /** Written soon, the last state only; a failure is logged. */
  save(state: AlertState): void;
  flush(): Promise<void>;
}

export function createAlertFile(path: string, logger: Logger): AlertFile {
  let wanted: AlertState | null = null;
  let writing: Promise<void> | null = null;

  async function write(): Promise<void> {
    while (wanted !== null) {
      const state = wanted;
      wanted = null;
      try {
        await makePrivateDirectory(dirname(path));
        await writeManagedFile(path, `${JSON.stringify(state)}\n`);
      } catch (error) {
        logger.error('Alerts could not be saved.', { error });
      }
    }
    writing = null;
  }

  return {
    read() {
      try {
        const text = readManagedFile(path);
        return text === null ? null : stateOf(JSON.parse(text));
      } catch (error) {
        logger.error('Saved alerts cannot be read; all of them are in the security log.', { error: isHearthError(error) ? error : String(error) });
        return null;
      }
    },
    save(state) {
      wanted = state;
      writing ??= write();
    },
    async flush() {
      await writing;
    },
  };
}

function stateOf(value: unknown): AlertState | null {
  const { v, alerts, silences } = (value ?? {}) as Partial<Record<keyof AlertState, unknown>>;
  if (v !== 1 || !Array.isArray(alerts) || !Array.isArray(silences)) return null;
  const known = (each: { readonly id?: unknown; readonly rule?: unknown } | null): boolean =>
    typeof each?.id === 'string' && typeof each?.rule === 'string' && Object.hasOwn(RULES, each.rule);
  return { v: 1, alerts: (alerts as Alert[]).filter(known), silences: (silences as Silence[]).filter(known) };
}
