import { createHash } from 'node:crypto';
import { canonicalJson, type SecurityEventName, type SecuritySeverity } from '../../core/index.ts';
import { type AuditLine, SEVERITIES } from './line.ts';
import type { LogPlaces } from './log-writer.ts';
import { type AuditVerification, verifyLog } from './verify-log.ts';

/** What happened since a time, for a person who looks now and then (docs/spec/security.md §18). */
export interface AuditReview {
  /** Times of RFC 3339; `since` is null for the whole log. */
  readonly since: string | null;
  readonly until: string;
  readonly lines: number;
  /** Events that were counted only, since too many came. */
  readonly omitted: number;
  readonly bySeverity: Readonly<Record<SecuritySeverity, number>>;
  readonly byEvent: Readonly<Partial<Record<SecurityEventName, number>>>;
  /** Seen in this time for the first time. */
  readonly newModels: readonly string[];
  readonly newSources: readonly string[];
  readonly newListeners: readonly string[];
  /** Why something was refused, the most frequent first. */
  readonly rejections: readonly { readonly event: SecurityEventName; readonly reason: string; readonly count: number }[];
  readonly openAlerts: readonly { readonly seq: number; readonly at: string; readonly severity: SecuritySeverity; readonly reason: string }[];
  /** What was made weaker than the default. */
  readonly weakened: readonly { readonly event: SecurityEventName; readonly reason: string; readonly count: number; readonly last: string }[];
  readonly chain: AuditVerification;
  /** The last review that somebody signed. */
  readonly lastSignedBy: { readonly name: string; readonly at: string } | null;
}

export interface ReviewOptions extends LogPlaces {
  readonly sinceMs: number | null;
  readonly nowMs: number;
  readonly signal?: AbortSignal;
}

const REJECTIONS: readonly SecurityEventName[] = [
  'model.verify.failed',
  'model.refused',
  'auth.fail',
  'authz.deny',
  'input.rejected',
  'limit.hit',
  'tool.deny',
  'push.blocked',
  'egress.blocked',
];
const WEAKENED: readonly SecurityEventName[] = ['sandbox.off', 'sandbox.weak', 'verify.off'];
const TOP = 20;

/** Reads the whole log once: what is new can only be told by what was there before. */
export async function reviewLog({ sinceMs, nowMs, signal, ...places }: ReviewOptions): Promise<AuditReview> {
  const counts = createCounts(sinceMs ?? 0);
  const chain = await verifyLog({ ...places, onLine: counts.take, ...(signal ? { signal } : {}) });
  return {
    since: sinceMs === null ? null : new Date(sinceMs).toISOString(),
    until: new Date(nowMs).toISOString(),
    ...counts.result(),
    chain,
  };
}

/** What a signature of a review is about: hex SHA-256 of its canonical JSON. */
export const digestOf = (review: AuditReview): string => createHash('sha256').update(canonicalJson(review)).digest('hex');

function createCounts(sinceMs: number) {
  const known = { models: new Set<string>(), sources: new Set<string>(), listeners: new Set<string>() };
  const fresh = { models: new Set<string>(), sources: new Set<string>(), listeners: new Set<string>() };
  const bySeverity = Object.fromEntries(SEVERITIES.map((severity) => [severity, 0])) as Record<SecuritySeverity, number>;
  const byEvent: Partial<Record<SecurityEventName, number>> = {};
  const rejections = new Map<string, { event: SecurityEventName; reason: string; count: number }>();
  const weakened = new Map<string, { event: SecurityEventName; reason: string; count: number; last: string }>();
  const alerts = new Map<string, AuditReview['openAlerts'][number]>();
  let lines = 0;
  let omitted = 0;
  let signed: AuditReview['lastSignedBy'] = null;

  function meet(kind: keyof typeof known, value: unknown, inTime: boolean): void {
    if (typeof value !== 'string' || value === '' || known[kind].has(value)) return;
    known[kind].add(value);
    if (inTime) fresh[kind].add(value);
  }

  function count<T extends { count: number }>(of: Map<string, T>, key: string, begin: T, by = 1): T {
    const row = of.get(key) ?? begin;
    of.set(key, row);
    row.count += by;
    return row;
  }

  function reject({ event, reason, details }: AuditLine): void {
    const reasons = details?.['reasons'];
    if (reason === 'sampled' && typeof reasons === 'object' && reasons !== null) {
      for (const [name, times] of Object.entries(reasons)) count(rejections, `${event} ${name}`, { event, reason: name, count: 0 }, Number(times));
      return;
    }
    count(rejections, `${event} ${reason ?? ''}`, { event, reason: reason ?? 'none', count: 0 });
  }

  return {
    take(line: AuditLine): void {
      const { event, severity, reason, details, model, ts, seq } = line;
      const inTime = Date.parse(ts) >= sinceMs;
      if (event === 'model.pull' || event === 'model.load') meet('models', model?.id, inTime);
      if (event === 'model.pull') meet('sources', details?.['source'], inTime);
      if (event === 'listener.open') for (const address of asList(details?.['addresses'])) meet('listeners', address, inTime);
      // An alert stays open however old it is.
      if (event === 'alert.raise') alerts.set(String(details?.['alert'] ?? seq), { seq, at: ts, severity, reason: reason ?? 'none' });
      if (event === 'alert.ack') alerts.delete(String(details?.['alert']));
      if (event === 'review.sign') signed = { name: String(details?.['name'] ?? ''), at: ts };
      if (!inTime) return;
      lines += 1;
      bySeverity[severity] += 1;
      byEvent[event] = (byEvent[event] ?? 0) + 1;
      const uncounted = details?.['omitted'];
      if (typeof uncounted === 'number') omitted += uncounted;
      if (REJECTIONS.includes(event)) reject(line);
      if (WEAKENED.includes(event) || (event === 'listener.open' && severity === 'critical'))
        count(weakened, `${event} ${reason ?? ''}`, { event, reason: reason ?? 'none', count: 0, last: ts }).last = ts;
    },
    result: () => ({
      lines,
      omitted,
      bySeverity,
      byEvent,
      newModels: [...fresh.models],
      newSources: [...fresh.sources],
      newListeners: [...fresh.listeners],
      rejections: [...rejections.values()].sort((a, b) => b.count - a.count).slice(0, TOP),
      openAlerts: [...alerts.values()],
      weakened: [...weakened.values()],
      lastSignedBy: signed,
    }),
  };
}

const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
