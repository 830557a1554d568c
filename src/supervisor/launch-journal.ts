import { renameSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { HearthError, isHearthError, type Logger, readManagedFile, silentLogger, writeManagedFile } from '../core/index.ts';
import { type ProcessTable, processTable } from './process-identity.ts';

/** One running child, as the journal of a daemon keeps it (docs/spec/security.md §9): the only record of process numbers. */
export interface LaunchRecord {
  readonly pid: number;
  readonly startTime: string;
  readonly bootId: string;
  /** Random; in the child's argument vector too. */
  readonly launchId: string;
}

export interface LaunchJournal {
  /** Writes the child down. Does nothing when it has ended already. */
  add(child: { readonly pid: number; readonly launchId: string }): Promise<void>;
  remove(launchId: string): Promise<void>;
}

export interface JournalOptions {
  /** `<home>/run/children.json`. */
  readonly path: string;
  readonly processes?: ProcessTable;
  readonly logger?: Logger;
}

/** The journal of this process's children, empty at first: what an earlier one left is swept before. A failed write is told, and stops no child. */
export function createLaunchJournal({ path, processes = processTable, logger = silentLogger }: JournalOptions): LaunchJournal {
  const records = new Map<string, LaunchRecord>();
  let writing: Promise<void> = Promise.resolve();
  const write = (): Promise<void> => {
    writing = writing
      .then(() => writeManagedFile(path, `${JSON.stringify({ version: 1, children: [...records.values()] })}\n`))
      .catch((error: unknown) => logger.warning('The journal of children could not be written.', { path, error }));
    return writing;
  };
  return {
    async add({ pid, launchId }) {
      const identity = processes.identify(pid);
      if (identity === null) return;
      records.set(launchId, { pid, startTime: identity.startTime, bootId: processes.bootId(), launchId });
      await write();
    },
    async remove(launchId) {
      if (records.delete(launchId)) await write();
    },
  };
}

export interface SweepOptions extends JournalOptions {
  /** Sends SIGKILL to a process group; injected, so that a test sees what would be signalled. */
  readonly endGroup?: (pid: number) => void;
}

export interface SweepReport {
  /** Process groups that were ended: left by a daemon that was killed. */
  readonly ended: readonly number[];
  /** Records that match no child of ours; nothing was signalled, and they are kept beside the journal. */
  readonly quarantined: readonly unknown[];
  /** Where a journal that could not be read was moved to. */
  readonly corrupt: string | null;
}

/**
 * Ends what an earlier daemon left: a process is signalled only when number, start time, boot and the random launch id in its arguments all
 * match (docs/spec/stack.md §1). The journal is empty afterwards. The caller holds the daemon's lock.
 */
export async function sweepLeftovers(options: SweepOptions): Promise<SweepReport> {
  const { path, processes = processTable, logger = silentLogger, endGroup = killGroup } = options;
  const records = readRecords(path, logger);
  if (records === 'none') return { ended: [], quarantined: [], corrupt: null };
  if (records === 'corrupt') {
    const corrupt = `${path}.corrupt-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`;
    renameSync(path, corrupt);
    logger.warning('The journal of children could not be read; it was put aside and nothing was ended.', { path: corrupt });
    return { ended: [], quarantined: [], corrupt };
  }
  const ended: number[] = [];
  const quarantined: unknown[] = [];
  const bootId = processes.bootId();
  for (const record of records) {
    const verdict = judge(record, processes, bootId);
    if (verdict === 'gone') continue;
    if (verdict === 'ours') {
      const { pid } = record as LaunchRecord;
      endGroup(pid);
      ended.push(pid);
      logger.warning('Ended an engine that an earlier daemon had left.', { pid });
    } else {
      quarantined.push(record);
      logger.warning('A record of the journal names no child of ours; nothing was signalled.', { reason: verdict });
    }
  }
  if (quarantined.length > 0)
    await writeManagedFile(join(dirname(path), `${basename(path, '.json')}.quarantine.json`), `${JSON.stringify({ version: 1, records: quarantined })}\n`);
  await writeManagedFile(path, `${JSON.stringify({ version: 1, children: [] })}\n`);
  return { ended, quarantined, corrupt: null };
}

/** Larger than any process number of Linux and macOS. */
const MAX_PID = 4_194_304;

/** `ours`, `gone`, or why the record must not lead to a signal. */
function judge(record: unknown, processes: ProcessTable, bootId: string): string {
  const { pid, startTime, bootId: boot, launchId } = (typeof record === 'object' && record !== null ? record : {}) as Record<string, unknown>;
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid)) return 'the process number is no whole number';
  if (pid <= 1 || pid > MAX_PID) return 'the process number is none of a child';
  if (pid === process.pid || pid === process.ppid) return 'the process number is our own';
  if (typeof startTime !== 'string' || startTime === '' || typeof boot !== 'string' || boot === '') return 'the record is not complete';
  if (typeof launchId !== 'string' || !/^[0-9a-f]{32}$/.test(launchId)) return 'the launch id is none';
  // After a restart of the machine every number belongs to somebody else.
  if (boot !== bootId) return 'gone';
  const identity = processes.identify(pid);
  if (identity === null) return 'gone';
  if (identity.startTime !== startTime) return 'another process has the number now';
  if (identity.uid !== (process.geteuid?.() ?? identity.uid)) return 'the process belongs to another user';
  if (!` ${identity.commandLine} `.includes(` --hearth-launch=${launchId} `)) return 'the process was not started with this launch id';
  return 'ours';
}

function readRecords(path: string, logger: Logger): readonly unknown[] | 'none' | 'corrupt' {
  let text: string | null;
  try {
    text = readManagedFile(path);
    if (text === null) return 'none';
  } catch (error) {
    if (isHearthError(error)) throw error;
    logger.warning('The journal of children could not be opened.', { path, error });
    throw new HearthError('file_system_error', `${path} could not be read.`, { cause: error });
  }
  try {
    const value = JSON.parse(text) as { children?: unknown };
    return Array.isArray(value.children) ? value.children : 'corrupt';
  } catch {
    return 'corrupt';
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
