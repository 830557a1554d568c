import type { LogHead } from './head-file.ts';
import { type AuditLine, FIRST_PREV, hashOf, parseLine } from './line.ts';
import { type LogFile, listLogFiles, readLinesNow, sizeOf } from './log-files.ts';

/** Where the next line goes. */
export interface Position {
  readonly seq: number;
  readonly head: string;
  /** null before the first line of a log. */
  readonly file: LogFile | null;
  readonly sizeBytes: number;
  /** UTC day on which the file was begun. */
  readonly day: string | null;
}

/** What is not as its last writer left it: told by an `audit.gap` before anything else is written. */
export interface Gap {
  readonly reason: 'torn' | 'foreign' | 'truncated' | 'removed';
  readonly file?: string;
  /** Bytes that are no lines of ours, in that file. */
  readonly from?: number;
  readonly to?: number;
  /** Numbers of lines that are gone. */
  readonly firstSeq?: number;
  readonly lastSeq?: number;
}

export interface Found {
  readonly position: Position;
  readonly gap: Gap | null;
  /** The bytes of the gap do not end with a newline. */
  readonly open: boolean;
  /** Lines after the place that was begun from. */
  readonly lines: readonly AuditLine[];
}

/**
 * Looks where the log ends: from where this writer left it, else from the head, else through its last file. The head says how far it went at
 * least.
 */
export function findPosition(directory: string, head: LogHead | null, own: Position | null): Found {
  const files = listLogFiles(directory).map((file) => ({ ...file, size: sizeOf(file.path) }));
  if (files.length === 0) {
    const lost = head !== null && head.statement.seq > 0;
    const position = { seq: head?.statement.seq ?? 0, head: head?.statement.head ?? FIRST_PREV, file: null, sizeBytes: 0, day: null };
    return { position, gap: lost ? { reason: 'removed', firstSeq: head.statement.first.seq, lastSeq: head.statement.seq } : null, open: false, lines: [] };
  }
  const found = readThrough(files, [own, head && { ...head, ...head.statement, file: { name: head.file } }]);
  const { seq } = found.position;
  if (head === null || head.statement.seq <= seq) return found;
  return { ...found, gap: { reason: 'truncated', firstSeq: seq + 1, lastSeq: head.statement.seq, ...placeOf(found.gap) } };
}

type Start = Pick<Position, 'seq' | 'head' | 'sizeBytes' | 'day'>;
type SizedFile = LogFile & { readonly size: number };

/** From the first of the places that is still there to the end of the last file: a writer may have died just after it began one. */
function readThrough(files: readonly SizedFile[], places: readonly ((Start & { readonly file: { readonly name: string } | null }) | null)[]): Found {
  const atPlace = (file: SizedFile) => places.find((place) => place?.file?.name === file.name && place.sizeBytes <= file.size) ?? null;
  let index = files.findLastIndex((file) => atPlace(file) !== null);
  if (index < 0) index = files.findLastIndex(({ size }) => size > 0);
  if (index < 0) index = 0;
  const first = files[index]!;
  let found = readOn(first, atPlace(first), first.size);
  for (const file of files.slice(index + 1)) {
    const { position, gap, lines } = found;
    const next = readOn(file, { ...position, sizeBytes: 0, day: null }, file.size);
    found = { ...next, gap: gap ?? next.gap, lines: [...lines, ...next.lines] };
  }
  return found;
}

/** A place that lines were cut from may end with a part of one. */
const placeOf = (gap: Gap | null) => (gap === null ? {} : { file: gap.file!, from: gap.from!, to: gap.to! });

/** Follows the chain from there, or from the first line of the file, to the last line that fits. */
function readOn(file: LogFile, from: Start | null, size: number): Found {
  let seq = from === null ? file.firstSeq - 1 : from.seq;
  let hash = from?.head ?? null;
  let day = from?.day ?? null;
  const lines: AuditLine[] = [];
  let end = from?.sizeBytes ?? 0;
  for (const raw of end === size ? [] : readLinesNow(file.path, end)) {
    const line = raw.ended && raw.text !== null ? parseLine(raw.text) : null;
    if (line === null || line.seq !== seq + 1 || (hash !== null && line.prev !== hash) || hashOf(line) !== line.hash) break;
    day ??= line.ts.slice(0, 10);
    ({ seq, hash } = line);
    end = raw.to + 1;
    if (from !== null) lines.push(line);
  }
  const position: Position = { seq, head: hash ?? FIRST_PREV, file, sizeBytes: size, day };
  if (end === size) return { position, gap: null, open: false, lines };
  const last = lastByteIsNewline(file, size);
  const torn = !last && !hasNewline(file, end, size);
  return { position, gap: { reason: torn ? 'torn' : 'foreign', file: file.name, from: end, to: last ? size - 1 : size }, open: !last, lines };
}

const lastByteIsNewline = (file: LogFile, size: number): boolean => {
  for (const raw of readLinesNow(file.path, size - 1)) return raw.ended;
  return false;
};

const hasNewline = (file: LogFile, from: number, to: number): boolean => {
  for (const raw of readLinesNow(file.path, from)) return raw.ended && raw.to < to;
  return false;
};
