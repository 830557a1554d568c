import { closeSync, constants, fstatSync, fsync, fsyncSync, ftruncateSync, openSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import {
  bootId,
  type Clock,
  checkManagedFile,
  makePrivateDirectorySync,
  openFileLock,
  SECURITY_EVENTS,
  type SecurityEvent,
  syncDirectoryNow,
} from '../../core/index.ts';
import { type AuditKey, type HeadStatement, openAuditKey } from './audit-key.ts';
import { cleanEvent } from './clean-event.ts';
import { openHeadFile, readHead } from './head-file.ts';
import { type AuditLine, FIRST_PREV, hashOf, parseLine, textOf } from './line.ts';
import { fileNameOf, listLogFiles, readLinesNow } from './log-files.ts';
import { type Found, findPosition, type Gap, type Position } from './writer-position.ts';

export interface LogPlaces {
  /** `<home>/audit`. */
  readonly directory: string;
  /** `<home>/state/audit-head.json`. */
  readonly headPath: string;
}

export const logPlaces = (home: string): LogPlaces => ({ directory: join(home, 'audit'), headPath: join(home, 'state', 'audit-head.json') });

export interface WriterOptions extends LogPlaces {
  readonly clock: Clock;
  readonly maxFileBytes: number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
  /** Lines after which a checkpoint is due. */
  readonly checkpointLines: number;
}

export interface Written {
  /** In order: those that other processes wrote meanwhile, then our own. */
  readonly lines: readonly AuditLine[];
  /** Ours among them. */
  readonly own: number;
}

/** One process that adds lines; others may too, one batch at a time under the same lock. */
export interface LogWriter {
  /** Appends the events, and a checkpoint where one is due, where there is anything new, or always. null: another process holds the log now. */
  append(events: readonly SecurityEvent[], how?: { readonly checkpoint?: 'due' | 'new' | 'always' }): Written | null;
  /** Settles when what was written so far is on the disk. */
  sync(): Promise<void>;
  /** The last line that this writer knows of; null before it has looked. */
  readonly head: { readonly seq: number; readonly hash: string } | null;
  readonly sinceCheckpoint: number;
  close(): void;
}

/** How long a batch stands still for the batch of another process. */
const LOCK_WAIT_MS = 100;
const HOST = hostname();

export function openLogWriter(options: WriterOptions): LogWriter {
  const { directory, headPath, clock } = options;
  for (const path of [directory, dirname(headPath)]) makePrivateDirectorySync(path);
  const lock = openFileLock(join(directory, 'writer.lock'), { waitMs: LOCK_WAIT_MS });
  let key: AuditKey | null = null;
  let headFile: ReturnType<typeof openHeadFile> | null = null;
  let position: Position | null = null;
  let file: number | null = null;
  let sinceCheckpoint = 0;
  let first: HeadStatement['first'] = { seq: 1, prev: FIRST_PREV };

  /** Takes up the log where it ends now, whoever wrote last; answers what must be told first. */
  function takeUp(): Pick<Found, 'gap' | 'open' | 'lines'> {
    key ??= openAuditKey(directory);
    headFile ??= openHeadFile(headPath);
    const head = readHead(headPath);
    const seq = head?.statement.seq ?? 0;
    if (position !== null && position.seq === seq && (head === null || head.statement.head === position.head) && isOurs())
      return { gap: null, open: false, lines: [] };
    const known = position?.seq ?? Number.POSITIVE_INFINITY;
    const found = findPosition(directory, head, position);
    closeFile();
    position = found.position;
    first = head?.statement.first ?? firstOf(directory) ?? first;
    // Without a head nobody knows when the last checkpoint was.
    sinceCheckpoint = head === null && position.seq > 0 ? Number.POSITIVE_INFINITY : (head?.sinceCheckpoint ?? 0) + Math.max(0, position.seq - seq);
    if (position.file !== null) file = openAppend(position.file.path);
    return { ...found, lines: found.lines.filter((line) => line.seq > known) };
  }

  /** The open file is the newest one, with the size that we left. */
  function isOurs(): boolean {
    if (position === null || file === null || position.file === null) return position?.file === null && listLogFiles(directory).length === 0;
    const facts = fstatSync(file);
    const named = statSync(position.file.path, { throwIfNoEntry: false });
    return facts.size === position.sizeBytes && named !== undefined && named.ino === facts.ino && named.dev === facts.dev;
  }

  function closeFile(): void {
    if (file !== null) closeSync(file);
    file = null;
  }

  function write(text: string): void {
    if (file === null || position === null) throw new Error('no file of the security log is open');
    const bytes = Buffer.from(text);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    } catch (error) {
      // What did not go in whole is taken out again, so that the same events can be written once there is room.
      try {
        ftruncateSync(file, position.sizeBytes);
      } catch {
        position = null;
      }
      throw error;
    }
    position = { ...position, sizeBytes: position.sizeBytes + bytes.length };
  }

  function beginFile(now: number): void {
    const at = position!;
    if (file !== null) fsyncSync(file);
    closeFile();
    const firstSeq = at.seq + 1;
    const name = fileNameOf(firstSeq);
    const path = join(directory, name);
    file = openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    position = { ...at, file: { name, path, firstSeq }, sizeBytes: 0, day: dayOf(now) };
    syncDirectoryNow(directory);
    removeOld(now);
  }

  /** Oldest files first, never the one that is written. What is gone is told by every later checkpoint. */
  function removeOld(now: number): void {
    const files = listLogFiles(directory).map((each) => ({ ...each, facts: statSync(each.path) }));
    let total = files.reduce((sum, { facts }) => sum + facts.size, 0);
    while (files.length > 1) {
      const oldest = files[0]!;
      if (total <= options.retentionBytes && now - oldest.facts.mtimeMs <= options.retentionMs) break;
      unlinkSync(oldest.path);
      files.shift();
      total -= oldest.facts.size;
      first = firstOf(directory) ?? { seq: position!.seq + 1, prev: position!.head };
      sinceCheckpoint = Number.POSITIVE_INFINITY;
    }
  }

  function lineOf(event: SecurityEvent, at: { readonly seq: number; readonly head: string }, now: number): AuditLine {
    const line = {
      v: 1 as const,
      seq: at.seq + 1,
      ts: new Date(now).toISOString(),
      mono: Math.max(0, Math.round(clock.monotonic())),
      boot: bootId(),
      host: HOST,
      pid: process.pid,
      event: event.event,
      severity: event.severity ?? SECURITY_EVENTS[event.event],
      outcome: event.outcome,
      actor: event.actor ?? null,
      model: event.model ?? null,
      requestId: event.requestId ?? null,
      traceId: event.traceId ?? null,
      reason: event.reason ?? null,
      details: event.details ?? null,
      prev: at.head,
    };
    return { ...line, hash: hashOf(line) };
  }

  /** The lines of these events, one after the other, as one write; another file is begun between two of them where it is time. */
  function put(events: readonly SecurityEvent[]): AuditLine[] {
    const lines: AuditLine[] = [];
    let waiting: AuditLine[] = [];
    let waitingBytes = 0;
    const flush = () => {
      if (waiting.length === 0) return;
      write(waiting.map((line) => `${textOf(line)}\n`).join(''));
      const last = waiting.at(-1)!;
      position = { ...position!, seq: last.seq, head: last.hash, day: position!.day ?? last.ts.slice(0, 10) };
      sinceCheckpoint += waiting.length;
      lines.push(...waiting);
      waiting = [];
      waitingBytes = 0;
    };
    for (const event of events) {
      const now = clock.now();
      const before = waiting.at(-1);
      const line = lineOf(event, before ? { seq: before.seq, head: before.hash } : position!, now);
      const bytes = Buffer.byteLength(textOf(line)) + 1;
      const { file: open, sizeBytes, day } = position!;
      if (open === null || (sizeBytes + waitingBytes > 0 && ((day ?? dayOf(now)) !== dayOf(now) || sizeBytes + waitingBytes + bytes > options.maxFileBytes))) {
        flush();
        beginFile(now);
      }
      waiting.push(line);
      waitingBytes += bytes;
    }
    flush();
    return lines;
  }

  function statementOf(kind: HeadStatement['kind'], count: number): HeadStatement {
    return { kind, seq: position!.seq, head: position!.head, time: new Date(clock.now()).toISOString(), count, first };
  }

  function checkpoint(): AuditLine[] {
    if (position!.seq === 0) return [];
    const { kind: _, ...said } = statementOf('checkpoint', Number.isFinite(sinceCheckpoint) ? sinceCheckpoint : position!.seq);
    const lines = put([{ event: 'audit.checkpoint', outcome: 'ok', details: { ...said, sig: key!.sign({ kind: 'checkpoint', ...said }) } }]);
    sinceCheckpoint = 0;
    return lines;
  }

  function keepHead(): void {
    const statement = statementOf('head', 0);
    const { file: open, sizeBytes, day } = position!;
    const count = Number.isFinite(sinceCheckpoint) ? sinceCheckpoint : 0;
    headFile!.write({ statement, sig: key!.sign(statement), file: open?.name ?? '', sizeBytes, day: day ?? '', sinceCheckpoint: count });
  }

  return {
    append(events, { checkpoint: wanted = 'due' } = {}) {
      if (!lock.take()) return null;
      try {
        const { gap, open, lines: foreign } = takeUp();
        const lines: AuditLine[] = [];
        if (open) write('\n');
        if (gap !== null) lines.push(...put([gapEvent(gap)]));
        lines.push(...put(events.map(cleanEvent)));
        if (wanted === 'always' || (wanted === 'new' && sinceCheckpoint > 0) || sinceCheckpoint >= options.checkpointLines) lines.push(...checkpoint());
        if (lines.length > 0) keepHead();
        return { lines: [...foreign, ...lines], own: lines.length };
      } finally {
        lock.release();
      }
    },
    async sync() {
      if (file !== null) await syncFile(file);
    },
    get head() {
      return position === null ? null : { seq: position.seq, hash: position.head };
    },
    get sinceCheckpoint() {
      return sinceCheckpoint;
    },
    close() {
      closeFile();
      headFile?.close();
      lock.close();
    },
  };
}

const gapEvent = ({ reason, ...details }: Gap): SecurityEvent => ({ event: 'audit.gap', outcome: 'error', reason, details });

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

function openAppend(path: string): number {
  checkManagedFile(path);
  return openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW);
}

/** The first line that is kept; null where there is none that can be read. */
function firstOf(directory: string): HeadStatement['first'] | null {
  const oldest = listLogFiles(directory)[0];
  if (oldest === undefined) return null;
  for (const { text } of readLinesNow(oldest.path, 0)) {
    const line = text === null ? null : parseLine(text);
    return line && { seq: line.seq, prev: line.prev };
  }
  return null;
}

const syncFile = (file: number): Promise<void> =>
  new Promise((resolve, reject) => {
    fsync(file, (error) => {
      // A file that was put aside meanwhile was synced then.
      if (error && error.code !== 'EBADF') reject(error);
      else resolve();
    });
  });
