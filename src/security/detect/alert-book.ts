import { pooledRandom, type SecurityEvent, type SecuritySeverity } from '../../core/index.ts';
import { type Finding, RULES, type RuleId } from './signal.ts';

/** Why sinks are told of an alert. */
export type AlertCause = 'new' | 'again' | 'repeats' | 'unacknowledged';

/** What a rule found, until somebody has acknowledged it. Times are milliseconds since the epoch. */
export interface Alert {
  readonly id: string;
  readonly rule: RuleId;
  readonly subject: string;
  readonly severity: SecuritySeverity;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  /** When it was told last. */
  readonly raisedAtMs: number;
  /** How often it was found. */
  readonly count: number;
  readonly escalated: 'repeats' | 'unacknowledged' | null;
  readonly acknowledged: { readonly by: string; readonly atMs: number } | null;
}

/** Findings of a rule, about one subject or all, that nobody is told of until then; they are recorded all the same. */
export interface Silence {
  readonly id: string;
  readonly rule: RuleId;
  /** null: all of the rule. */
  readonly subject: string | null;
  readonly untilMs: number;
  readonly reason: string | null;
  readonly by: string;
}

export interface AlertState {
  readonly v: 1;
  readonly alerts: readonly Alert[];
  readonly silences: readonly Silence[];
}

export interface AlertBookOptions {
  readonly saved?: AlertState | null;
  readonly record: (event: SecurityEvent) => void;
  readonly notify: (alert: Alert, cause: AlertCause) => void;
  /** Something has to be saved. */
  readonly changed?: (state: AlertState) => void;
}

export interface AlertBook {
  take(findings: readonly Finding[], nowMs: number): void;
  /** Looks for what nobody has acknowledged in time, and forgets silences that are over. */
  tick(nowMs: number): void;
  /** The newest first. */
  list(): readonly Alert[];
  silences(nowMs: number): readonly Silence[];
  /** null where no open alert has this id. */
  acknowledge(id: string, by: string, nowMs: number): Alert | null;
  silence(wanted: Omit<Silence, 'id'>, nowMs: number): Silence;
  /** False where there is none. */
  endSilence(id: string, by: string): boolean;
}

const COOL_DOWN_MS = 600_000;
const REPEATS = 3;
const PATIENCE_MS = 1_800_000;
/** Alerts that are kept; acknowledged ones go first, then the oldest. */
const KEPT = 1_000;
const SEVERITIES: readonly SecuritySeverity[] = ['info', 'low', 'medium', 'high', 'critical'];

const higher = (severity: SecuritySeverity): SecuritySeverity => SEVERITIES[Math.min(SEVERITIES.length - 1, SEVERITIES.indexOf(severity) + 1)]!;
/** Nobody has to look at once at what weighs less. */
const waits = (severity: SecuritySeverity): boolean => SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf('medium');

/** One alert for each rule and subject: what comes again is counted, what stays is told again and with more weight (docs/spec/security.md §18). */
export function createAlertBook({ saved, record, notify, changed = () => {} }: AlertBookOptions): AlertBook {
  /** By rule and subject: the last alert of each. */
  const alerts = new Map<string, Alert>((saved?.alerts ?? []).map((alert) => [keyOf(alert), alert]));
  let silences: readonly Silence[] = saved?.silences ?? [];
  const save = (): void => changed({ v: 1, alerts: [...alerts.values()], silences });

  const silenced = ({ rule, subject }: Finding | Alert, nowMs: number): boolean =>
    silences.some((each) => each.rule === rule && (each.subject === null || each.subject === subject) && nowMs < each.untilMs);

  function put(alert: Alert): void {
    alerts.delete(keyOf(alert));
    alerts.set(keyOf(alert), alert);
    if (alerts.size <= KEPT) return;
    const [oldest] = [...alerts].find(([, each]) => each.acknowledged !== null) ?? [alerts.keys().next().value!];
    alerts.delete(oldest);
  }

  function raise(alert: Alert, cause: AlertCause, nowMs: number): void {
    const told: Alert = { ...alert, raisedAtMs: nowMs };
    put(told);
    const { id, rule, subject, severity, message, count } = told;
    const quiet = silenced(told, nowMs);
    record({
      event: 'alert.raise',
      severity,
      outcome: 'ok',
      reason: rule,
      details: { alert: id, cause, subject, message, count, ...(quiet ? { silenced: true } : {}) },
    });
    if (!quiet) notify(told, cause);
  }

  const escalate = (alert: Alert, why: 'repeats' | 'unacknowledged', nowMs: number): void =>
    raise({ ...alert, severity: higher(alert.severity), escalated: why }, why, nowMs);

  function find(finding: Finding, nowMs: number): void {
    const known = alerts.get(keyOf(finding));
    const cold = known === undefined || nowMs - known.raisedAtMs >= COOL_DOWN_MS;
    if (known === undefined || (known.acknowledged !== null && cold)) {
      const { rule, subject, message, severity = RULES[rule].severity, details = {} } = finding;
      const times = { firstAtMs: nowMs, lastAtMs: nowMs, raisedAtMs: nowMs };
      raise({ id: newId(), rule, subject, severity, message, details, ...times, count: 1, escalated: null, acknowledged: null }, 'new', nowMs);
      return;
    }
    const again: Alert = { ...known, message: finding.message, details: finding.details ?? known.details, lastAtMs: nowMs, count: known.count + 1 };
    if (again.acknowledged !== null) put(again);
    else if (again.escalated === null && again.count > REPEATS) escalate(again, 'repeats', nowMs);
    else if (cold) raise(again, 'again', nowMs);
    else put(again);
  }

  return {
    take(findings, nowMs) {
      for (const finding of findings) find(finding, nowMs);
      if (findings.length > 0) save();
    },
    tick(nowMs) {
      const late = [...alerts.values()].filter(
        ({ acknowledged, escalated, severity, firstAtMs }) =>
          acknowledged === null && escalated === null && waits(severity) && nowMs - firstAtMs >= PATIENCE_MS,
      );
      for (const alert of late) escalate(alert, 'unacknowledged', nowMs);
      const running = silences.filter(({ untilMs }) => nowMs < untilMs);
      const ended = running.length < silences.length;
      silences = running;
      if (ended || late.length > 0) save();
    },
    list: () => [...alerts.values()].sort((a, b) => b.lastAtMs - a.lastAtMs),
    silences: (nowMs) => silences.filter(({ untilMs }) => nowMs < untilMs),
    acknowledge(id, by, nowMs) {
      const alert = [...alerts.values()].find((each) => each.id === id && each.acknowledged === null);
      if (!alert) return null;
      const done: Alert = { ...alert, acknowledged: { by, atMs: nowMs } };
      alerts.set(keyOf(done), done);
      record({ event: 'alert.ack', outcome: 'ok', actor: { key: by }, reason: done.rule, details: { alert: id, subject: done.subject, count: done.count } });
      save();
      return done;
    },
    silence(wanted, nowMs) {
      const silence: Silence = { id: newId(), ...wanted };
      silences = [...silences.filter(({ untilMs }) => nowMs < untilMs), silence];
      const { id, rule, subject, untilMs, reason, by } = silence;
      const until = new Date(untilMs).toISOString();
      record({
        event: 'config.change',
        outcome: 'ok',
        actor: { key: by },
        details: { what: 'alerts', action: 'silence', id, rule, subject, until, why: reason },
      });
      save();
      return silence;
    },
    endSilence(id, by) {
      if (!silences.some((each) => each.id === id)) return false;
      silences = silences.filter((each) => each.id !== id);
      record({ event: 'config.change', outcome: 'ok', actor: { key: by }, details: { what: 'alerts', action: 'silence-end', id } });
      save();
      return true;
    },
  };
}

const keyOf = ({ rule, subject }: Pick<Alert, 'rule' | 'subject'>): string => `${rule} ${subject}`;

const newId = (): string => pooledRandom(5).toString('hex');
