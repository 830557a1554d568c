import { statfsSync } from 'node:fs';
import {
  type Clock,
  HearthError,
  type Logger,
  SECURITY_EVENTS,
  type SecurityEvent,
  type SecurityEventSink,
  silentLogger,
  systemClock,
  systemError,
} from '../../core/index.ts';
import { type AuditLine, SEVERITIES } from './line.ts';
import { type LogWriter, logPlaces, openLogWriter } from './log-writer.ts';
import { createSampler } from './sampling.ts';

export interface SecurityLogOptions {
  /** The hearth home; its `audit` and `state` are made with the first event. */
  readonly home: string;
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** A daemon's: the log is begun at once, and says every so often that it lives; null: it is begun by its first event. 300 s. */
  readonly heartbeatMs?: number | null;
  /** Events of little weight wait this long for others to go with them; 10 ms. */
  readonly batchMs?: number;
  /** 64 MiB. */
  readonly maxFileBytes?: number;
  /** 90 days and 1 GiB. */
  readonly retentionMs?: number;
  readonly retentionBytes?: number;
  /** 256. */
  readonly checkpointLines?: number;
}

/** The security event log (docs/spec/security.md §16). Any number of processes of one home may have one open. */
export interface SecurityLog extends SecurityEventSink, AsyncDisposable {
  /**
   * Hears every line once it is in the file, those of other processes of this home too as soon as they are seen; returns how to stop. What the
   * listener throws is logged.
   */
  subscribe(listener: (line: AuditLine) => void): () => void;
  /** Settles when all that was recorded is on the disk; false where it could not be written. */
  flush(): Promise<boolean>;
  /** The last line; null before the first one was written or looked for. */
  head(): { readonly seq: number; readonly hash: string } | null;
}

const DAY_MS = 86_400_000;
const RETRY_MS = 1_000;
/** Room that risky work has to leave for the events of it. */
const RESERVE_BYTES = 256 * 1024;
/** Events that wait for a disk with room; more than these are counted. */
const MAX_WAITING = 10_000;
/** From here on an event is asked onto the disk, and waits for no others but those of the same turn. */
const WEIGHTY = SEVERITIES.indexOf('medium');
/** From here on it is in the file when `record` returns. */
const AT_ONCE = SEVERITIES.indexOf('high');

export function createSecurityLog(options: SecurityLogOptions): SecurityLog {
  const { home, clock = systemClock, logger = silentLogger, heartbeatMs = null, batchMs = 10 } = options;
  const listeners = new Set<(line: AuditLine) => void>();
  const sampler = createSampler(clock);
  let waiting: SecurityEvent[] = [];
  let lost = 0;
  let writer: LogWriter | null = null;
  let timer: NodeJS.Timeout | null = null;
  let dueAt = 0;
  let failure: unknown = null;
  let syncing: Promise<void> = Promise.resolve();
  let closed = false;

  const opened = (): LogWriter =>
    (writer ??= openLogWriter({
      ...logPlaces(home),
      clock,
      maxFileBytes: options.maxFileBytes ?? 64 * 1024 * 1024,
      retentionMs: options.retentionMs ?? 90 * DAY_MS,
      retentionBytes: options.retentionBytes ?? 1024 ** 3,
      checkpointLines: options.checkpointLines ?? 256,
    }));

  function later(ms: number): void {
    const due = performance.now() + ms;
    if (closed || (timer !== null && dueAt <= due)) return;
    if (timer !== null) clearTimeout(timer);
    dueAt = due;
    timer = setTimeout(() => {
      timer = null;
      write();
    }, ms);
  }

  /** Writes what waits; false where that has to be tried again. */
  function write(checkpoint: 'due' | 'new' | 'always' = 'due'): boolean {
    const events = lost === 0 ? waiting : [...waiting, lossOf(lost)];
    let written: ReturnType<LogWriter['append']>;
    try {
      written = opened().append(events, { checkpoint });
    } catch (error) {
      if (failure === null) logger.error('The security log cannot be written; what is risky is refused until it can.', { error });
      failure = error;
      later(RETRY_MS);
      return false;
    }
    if (written === null) {
      later(batchMs);
      return false;
    }
    if (failure !== null) logger.info('The security log can be written again.');
    failure = null;
    waiting = [];
    lost = 0;
    if (written.lines.some(({ severity }) => SEVERITIES.indexOf(severity) >= WEIGHTY)) toDisk();
    for (const line of written.lines) tell(line);
    return true;
  }

  function toDisk(): void {
    const from = writer!;
    syncing = syncing
      .then(() => from.sync())
      .catch((error: unknown) => {
        failure ??= error;
        logger.error('The security log could not be put onto the disk.', { error });
      });
  }

  function tell(line: AuditLine): void {
    for (const listener of [...listeners]) {
      try {
        listener(line);
      } catch (error) {
        logger.error('A listener of the security log failed.', { error });
      }
    }
  }

  function beat(): void {
    waiting.push(...sampler.due());
    write('always');
  }

  const heart = heartbeatMs === null ? null : setInterval(beat, heartbeatMs).unref();
  const minute = setInterval(() => {
    const counts = sampler.due();
    if (counts.length === 0) return;
    waiting.push(...counts);
    write();
  }, 10_000).unref();
  if (heartbeatMs !== null && write()) logger.info('The security log goes on.', { ...opened().head });

  return {
    record(event) {
      if (closed) {
        logger.error('A security event came after the end of its log.', { event: event.event, reason: event.reason });
        return;
      }
      const taken = sampler.take(event);
      if (taken.length === 0) return;
      const room = Math.max(0, MAX_WAITING - waiting.length);
      waiting.push(...taken.slice(0, room));
      lost += Math.max(0, taken.length - room);
      if (failure !== null) return;
      const weight = Math.max(...taken.map((each) => SEVERITIES.indexOf(each.severity ?? SECURITY_EVENTS[each.event])));
      if (weight >= AT_ONCE) write();
      else later(weight >= WEIGHTY ? 0 : batchMs);
    },

    assertWritable() {
      if (closed) return;
      const { directory } = logPlaces(home);
      if (write() ? hasRoom(directory) : failure === null) return;
      failure ??= Object.assign(new Error('no room'), { code: 'ENOSPC', syscall: 'statfs', path: directory });
      later(RETRY_MS);
      const told = failure instanceof HearthError ? failure : systemError(failure, directory);
      throw new HearthError(
        told?.code ?? 'file_system_error',
        `Nothing that has to be recorded can be done: ${told?.message ?? 'the security log cannot be written.'}`,
        {
          cause: failure,
        },
      );
    },

    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },

    async flush() {
      if (!closed && (waiting.length > 0 || lost > 0)) for (let tries = 0; tries < 20 && !write() && failure === null; tries += 1);
      await syncing;
      return waiting.length === 0 && failure === null;
    },

    head: () => writer?.head ?? null,

    async [Symbol.asyncDispose]() {
      if (closed) return;
      waiting.push(...sampler.due(true));
      // A log that was never begun is not begun by its end.
      if (writer !== null || waiting.length > 0) {
        for (let tries = 0; tries < 20 && !write('new') && failure === null; tries += 1);
        toDisk();
      }
      closed = true;
      if (timer !== null) clearTimeout(timer);
      clearInterval(minute);
      if (heart !== null) clearInterval(heart);
      await syncing;
      if (waiting.length > 0) logger.error('Security events could not be written.', { count: waiting.length });
      writer?.close();
    },
  };
}

/** Work that fills the disk must not be what keeps its own events from it. */
function hasRoom(directory: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize >= RESERVE_BYTES;
  } catch {
    return true;
  }
}

const lossOf = (count: number): SecurityEvent => ({ event: 'audit.gap', outcome: 'error', reason: 'lost', details: { count } });
