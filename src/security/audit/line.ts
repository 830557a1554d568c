import { createHash } from 'node:crypto';
import { canonicalJson, SECURITY_EVENTS, type SecurityActor, type SecurityEvent, type SecurityEventName, type SecuritySeverity } from '../../core/index.ts';

/** One line of the security log; every field is there, null where it does not apply (docs/spec/security.md §16). */
export interface AuditLine {
  readonly v: 1;
  /** From 1, without a gap over crashes and files. */
  readonly seq: number;
  /** RFC 3339, UTC, milliseconds. */
  readonly ts: string;
  /** Milliseconds of the writer's clock that never goes back. */
  readonly mono: number;
  readonly boot: string;
  readonly host: string;
  readonly pid: number;
  readonly event: SecurityEventName;
  readonly severity: SecuritySeverity;
  readonly outcome: SecurityEvent['outcome'];
  readonly actor: SecurityActor | null;
  readonly model: NonNullable<SecurityEvent['model']> | null;
  readonly requestId: string | null;
  readonly traceId: string | null;
  readonly reason: string | null;
  readonly details: Readonly<Record<string, unknown>> | null;
  /** Hash of the line before, 64 zeros for the first. */
  readonly prev: string;
  readonly hash: string;
}

/** The order of the fields in the file. */
export const LINE_FIELDS = [
  'v',
  'seq',
  'ts',
  'mono',
  'boot',
  'host',
  'pid',
  'event',
  'severity',
  'outcome',
  'actor',
  'model',
  'requestId',
  'traceId',
  'reason',
  'details',
  'prev',
  'hash',
] as const satisfies readonly (keyof AuditLine)[];

export const FIRST_PREV = '0'.repeat(64);
/** A line is never longer; what is has not been written by us. */
export const MAX_LINE_BYTES = 65_536;
export const SEVERITIES = ['info', 'low', 'medium', 'high', 'critical'] as const satisfies readonly SecuritySeverity[];
const OUTCOMES: readonly string[] = ['ok', 'denied', 'failed', 'error'];
const HASH = /^[0-9a-f]{64}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** hex SHA-256 of the raw bytes of `prev`, then the canonical JSON of the line without its `hash`. */
export function hashOf(line: Omit<AuditLine, 'hash'>): string {
  const { hash: _, ...rest } = line as AuditLine;
  return createHash('sha256').update(Buffer.from(rest.prev, 'hex')).update(canonicalJson(rest)).digest('hex');
}

/** As it stands in the file, without its newline. */
export const textOf = (line: AuditLine): string => JSON.stringify(Object.fromEntries(LINE_FIELDS.map((name) => [name, line[name]])));

/** The line of a text, or null where no writer of ours can have written it so. Its hash is not looked at. */
export function parseLine(text: string): AuditLine | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isLine(value)) return null;
  // Blanks, a doubled name, another order: the same meaning, but other bytes than were written.
  return textOf(value) === text ? value : null;
}

function isLine(value: unknown): value is AuditLine {
  if (!isObject(value) || Object.keys(value).length !== LINE_FIELDS.length || LINE_FIELDS.some((name) => !Object.hasOwn(value, name))) return false;
  const { v, seq, ts, mono, pid, event, severity, outcome, actor, model, details, prev, hash } = value;
  return (
    v === 1 &&
    isCount(seq) &&
    seq > 0 &&
    typeof ts === 'string' &&
    TIME.test(ts) &&
    isCount(mono) &&
    isCount(pid) &&
    ['boot', 'host'].every((name) => typeof value[name] === 'string') &&
    typeof event === 'string' &&
    Object.hasOwn(SECURITY_EVENTS, event) &&
    SEVERITIES.some((each) => each === severity) &&
    OUTCOMES.includes(outcome as string) &&
    [actor, model, details].every((each) => each === null || isObject(each)) &&
    ['requestId', 'traceId', 'reason'].every((name) => value[name] === null || typeof value[name] === 'string') &&
    [prev, hash].every((each) => typeof each === 'string' && HASH.test(each))
  );
}

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
