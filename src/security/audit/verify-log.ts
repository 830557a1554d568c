import type { KeyObject } from 'node:crypto';
import { fingerprintOf, type HeadStatement, holds, parseAuditPublicKey, readAuditPublicKey } from './audit-key.ts';
import { readHead } from './head-file.ts';
import { type AuditLine, FIRST_PREV, hashOf, parseLine } from './line.ts';
import { type LogFile, listLogFiles, type RawLine, readLines, sizeOf } from './log-files.ts';
import type { LogPlaces } from './log-writer.ts';

export const AUDIT_FAULTS = [
  'line_changed',
  'line_missing',
  'line_order',
  'line_foreign',
  'file_replaced',
  'checkpoint_invalid',
  'head_missing',
  'head_invalid',
  'truncated',
  'lost',
] as const;
export type AuditFaultCode = (typeof AUDIT_FAULTS)[number];

export interface AuditFault {
  readonly code: AuditFaultCode;
  /** First line that is concerned. */
  readonly seq: number;
  readonly file: string | null;
  /** Offset in the file. */
  readonly byte: number | null;
  readonly message: string;
}

/** What a log looks like; `ok` only where nothing speaks against it. */
export interface AuditVerification {
  readonly ok: boolean;
  readonly files: number;
  readonly lines: number;
  readonly firstSeq: number | null;
  readonly lastSeq: number | null;
  /** Hash of the last line: who kept it elsewhere can compare. */
  readonly head: string | null;
  readonly checkpoints: number;
  /** Lines up to here are vouched for by a signature in the log. */
  readonly signedThroughSeq: number | null;
  /** hex SHA-256 of the public half of the audit key. */
  readonly keyFingerprint: string | null;
  /** Parts of a line that a crash left, each told by the log itself. */
  readonly gaps: readonly { readonly seq: number; readonly file: string; readonly from: number; readonly to: number }[];
  readonly faults: readonly AuditFault[];
}

export interface VerifyLogOptions extends LogPlaces {
  /** PEM of the audit key as somebody kept it elsewhere; absent: the one beside the log. */
  readonly publicKey?: string;
  readonly signal?: AbortSignal;
  /** Hears every line that has its form. */
  readonly onLine?: (line: AuditLine) => void;
}

/** Faults that are listed; a log with more is no log. */
const MAX_FAULTS = 100;

/** Reads the whole log and says whether it is as it was written, and where not (docs/spec/security.md §16). */
export async function verifyLog({ directory, headPath, publicKey, signal, onLine }: VerifyLogOptions): Promise<AuditVerification> {
  // What is written from here on is not looked at: the head is read first, then how long each file is.
  const head = readHead(headPath);
  const files = listLogFiles(directory).map((file) => ({ ...file, size: sizeOf(file.path) }));
  const pem = publicKey ?? readAuditPublicKey(directory);
  const key = pem === null ? null : parseAuditPublicKey(pem);
  const check = createChainCheck(key);
  for (const [index, file] of files.entries()) {
    check.file(file);
    for await (const raw of readLines(file.path, file.size)) {
      signal?.throwIfAborted();
      const line = check.line(raw, index === files.length - 1);
      if (line) onLine?.(line);
    }
  }
  return check.end(head, files.length);
}

function createChainCheck(key: KeyObject | null) {
  const faults: AuditFault[] = [];
  const gaps: AuditVerification['gaps'][number][] = [];
  let file: LogFile | null = null;
  let beginning = false;
  /** What the next line has to be; null = its hash is not known, after a line that was no good. */
  let expected: { seq: number; prev: string | null } | null = null;
  let first: { readonly seq: number; readonly prev: string } | null = null;
  let vouched = false;
  let pending: (RawLine & { readonly file: string }) | null = null;
  let lines = 0;
  let checkpoints = 0;
  let signedThrough: number | null = null;
  let last: AuditLine | null = null;
  const hashes = new Map<number, string>();

  function fault(code: AuditFaultCode, seq: number, byte: number | null, message: string): void {
    if (faults.length < MAX_FAULTS) faults.push({ code, seq, file: file?.name ?? null, byte, message });
  }

  const next = (): number => expected?.seq ?? file?.firstSeq ?? 1;

  /** Bytes that are no line: a crash's only where the next line says exactly that. */
  function settlePending(by: AuditLine | null): void {
    if (pending === null) return;
    const { from, to, file: name } = pending;
    const told = by?.event === 'audit.gap' && by.details?.['file'] === name && by.details?.['from'] === from && by.details?.['to'] === to;
    if (told && by.reason === 'torn') gaps.push({ seq: by.seq, file: name, from, to });
    else {
      fault(
        'line_changed',
        next(),
        from,
        `The bytes ${from}–${to} of ${name} are no line of the log: line ${next()} was overwritten, or something was put there.`,
      );
      // Something stood there, and what it was nobody knows.
      if (!told && expected !== null && (by === null || by.seq !== expected.seq)) expected = { seq: expected.seq + 1, prev: null };
    }
    pending = null;
  }

  function sequence(line: AuditLine, byte: number): void {
    if (expected === null) {
      first = { seq: line.seq, prev: line.prev };
      vouched = line.seq === 1 && line.prev === FIRST_PREV;
      return;
    }
    if (line.seq > expected.seq) {
      fault('line_missing', expected.seq, byte, `The lines ${expected.seq}–${line.seq - 1} are missing.`);
      return;
    }
    if (line.seq < expected.seq) {
      fault('line_order', line.seq, byte, `Line ${line.seq} stands behind line ${expected.seq - 1}: it was moved or put in.`);
      return;
    }
    if (expected.prev !== null && line.prev !== expected.prev) {
      const seq = Math.max(1, line.seq - 1);
      fault('line_changed', seq, byte, `Line ${line.seq} does not follow the line ${seq} that stands there: that one was changed or replaced.`);
    }
  }

  function checkpoint(line: AuditLine, byte: number): void {
    checkpoints += 1;
    const { sig, ...said } = line.details ?? {};
    const statement = { kind: 'checkpoint', ...said } as unknown as HeadStatement;
    const right = key !== null && typeof sig === 'string' && holds(key, statement, sig) && statement.seq === line.seq - 1 && statement.head === line.prev;
    if (!right) {
      const since = signedThrough === null ? '' : ` since line ${signedThrough}`;
      fault(
        'checkpoint_invalid',
        line.seq,
        byte,
        `The signature of the checkpoint ${line.seq} does not fit: the log was written anew by somebody else${since}.`,
      );
      return;
    }
    signedThrough = statement.seq;
    if (first !== null && statement.first.seq === first.seq && statement.first.prev === first.prev) vouched = true;
  }

  return {
    file(next: LogFile): void {
      file = next;
      beginning = true;
    },
    line(raw: RawLine, newest: boolean): AuditLine | null {
      const line = raw.ended && raw.text !== null ? parseLine(raw.text) : null;
      settlePending(line);
      if (line === null) {
        // At the very end a writer may be at work, or have died: the next one tells it.
        if (!raw.ended && newest) gaps.push({ seq: next(), file: file!.name, from: raw.from, to: raw.to });
        else pending = { ...raw, file: file!.name };
        return null;
      }
      lines += 1;
      if (beginning && file!.firstSeq !== line.seq)
        fault('file_replaced', file!.firstSeq, 0, `${file!.name} begins with line ${line.seq}: it was replaced, or its first lines were cut off.`);
      beginning = false;
      sequence(line, raw.from);
      if (hashOf(line) !== line.hash) fault('line_changed', line.seq, raw.from, `Line ${line.seq} was changed: its hash is not that of its content.`);
      else if (line.event === 'audit.checkpoint') checkpoint(line, raw.from);
      if (line.event === 'audit.gap' && line.reason !== 'torn') gapFault(line, raw.from);
      if (expected === null || line.seq >= expected.seq) {
        expected = { seq: line.seq + 1, prev: line.hash };
        last = line;
        hashes.set(line.seq, line.hash);
        // Only the newest are ever asked for.
        if (hashes.size > 100_000) hashes.delete(hashes.keys().next().value!);
      }
      return line;
    },
    end(head: ReturnType<typeof readHead>, files: number): AuditVerification {
      settlePending(null);
      file = null;
      const lastSeq = last?.seq ?? 0;
      if (head !== null && first?.seq === head.statement.first.seq && first.prev === head.statement.first.prev) vouched = true;
      if (first !== null && !vouched)
        fault('line_missing', 1, null, `The log begins with line ${first.seq}, and no checkpoint says that older ones were removed in time.`);
      if (head === null && lines > 0) fault('head_missing', lastSeq, null, 'The file that says how far the log goes is gone or unreadable.');
      if (head !== null) {
        const { seq, head: hash } = head.statement;
        if (key === null || !holds(key, head.statement, head.sig)) fault('head_invalid', seq, null, 'The file that says how far the log goes was changed.');
        else if (lastSeq < seq) fault('truncated', lastSeq + 1, null, `The lines ${lastSeq + 1}–${seq} were cut off the end.`);
        else if ((hashes.get(seq) ?? hash) !== hash) fault('file_replaced', seq, null, `Line ${seq} is another one than was written: the log was replaced.`);
      }
      return {
        ok: faults.length === 0,
        files,
        lines,
        firstSeq: first?.seq ?? null,
        lastSeq: last?.seq ?? null,
        head: last?.hash ?? null,
        checkpoints,
        signedThroughSeq: signedThrough,
        keyFingerprint: key === null ? null : fingerprintOf(key),
        gaps,
        faults,
      };
    },
  };

  /** What a writer found when it took up the log. */
  function gapFault({ seq, reason, details }: AuditLine, byte: number): void {
    const from = Number(details?.['firstSeq'] ?? seq);
    const to = Number(details?.['lastSeq'] ?? seq);
    if (reason === 'foreign') fault('line_foreign', seq, byte, `Something else than hearth had written into the log before line ${seq}.`);
    else if (reason === 'lost') fault('lost', seq, byte, `${details?.['count']} events before line ${seq} could not be written.`);
    else fault('truncated', from, byte, `When line ${seq} was written, the lines ${from}–${to} that had been there before were gone.`);
  }
}
