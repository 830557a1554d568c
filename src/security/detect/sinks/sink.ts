import type { Alert, AlertCause } from '../alert-book.ts';

/** What a sink is told: an alert, or that another sink is dead. */
export interface SinkMessage {
  readonly atMs: number;
  readonly host: string;
  readonly cause: AlertCause | 'sink';
  readonly alert: Pick<Alert, 'id' | 'severity' | 'subject' | 'message' | 'count'> & { readonly rule: string };
}

/** A way out of the machine's memory for alerts. */
export interface AlertSink {
  /** `webhook`, `syslog` …. */
  readonly name: string;
  readonly perMinute: number;
  /** False for what it does not want to hear; absent: it hears all. */
  accepts?(message: SinkMessage): boolean;
  /** Throws when the message did not get through. Ends soon after the signal. */
  send(message: SinkMessage, signal: AbortSignal): Promise<void>;
}

/** As JSON: for files, webhooks and commands. Names as in the security log. */
export const messageJson = ({ atMs, host, cause, alert }: SinkMessage): string =>
  JSON.stringify({
    v: 1,
    ts: new Date(atMs).toISOString(),
    host,
    cause,
    alert: alert.id,
    rule: alert.rule,
    severity: alert.severity,
    subject: alert.subject,
    message: alert.message,
    count: alert.count,
  });
