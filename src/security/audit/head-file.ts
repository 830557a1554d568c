import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { checkManagedFile } from '../../core/index.ts';
import type { HeadStatement } from './audit-key.ts';

/** Where the log ends, kept apart from it: a log that was cut shorter than this was cut by somebody. */
export interface LogHead {
  readonly statement: HeadStatement;
  readonly sig: string;
  /** Name of the file that the last line is in, and its size with that line. */
  readonly file: string;
  readonly sizeBytes: number;
  /** UTC day on which that file was begun: it ends with it. */
  readonly day: string;
  /** Lines since the last checkpoint, and when that was. */
  readonly sinceCheckpoint: number;
}

/** Each head fills the whole file, so that a shorter one leaves nothing of a longer one behind. */
const WIDTH = 1024;

/** null where there is none, or none that can be read. */
export function readHead(path: string): LogHead | null {
  if (!checkManagedFile(path)) return null;
  try {
    const head = JSON.parse(readFileSync(path, 'utf8')) as LogHead;
    const { seq, head: hash, first } = head.statement;
    const whole = Number.isSafeInteger(seq) && /^[0-9a-f]{64}$/.test(hash) && Number.isSafeInteger(first.seq) && typeof head.sig === 'string';
    return whole && Number.isSafeInteger(head.sizeBytes) && typeof head.file === 'string' ? head : null;
  } catch {
    return null;
  }
}

/** One write at the beginning: a process that is killed leaves the old head or the new one. */
export function openHeadFile(path: string) {
  checkManagedFile(path);
  const file = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  return {
    write(head: LogHead): void {
      writeSync(file, `${JSON.stringify(head).padEnd(WIDTH - 1)}\n`, 0);
    },
    close: () => closeSync(file),
  };
}
