/** Names of the security events and the severity that each has unless its trigger says otherwise (docs/spec/security.md §16). */
export const SECURITY_EVENTS = {
  'model.pull': 'info',
  'model.verify.ok': 'info',
  'model.load': 'info',
  'model.unload': 'info',
  'model.sign': 'info',
  'model.verify.failed': 'high',
  'model.refused': 'high',
  'auth.fail': 'low',
  'auth.recovered': 'high',
  'authz.deny': 'medium',
  'input.rejected': 'low',
  'limit.hit': 'low',
  'engine.killed': 'medium',
  'engine.crashed': 'medium',
  'engine.orphan': 'medium',
  'tool.call': 'info',
  'tool.deny': 'medium',
  'tool.approve': 'info',
  'push.start': 'info',
  'push.ok': 'info',
  'push.blocked': 'high',
  'config.change': 'medium',
  'key.add': 'medium',
  'key.rotate': 'medium',
  'key.revoke': 'medium',
  'apikey.add': 'medium',
  'apikey.revoke': 'medium',
  'dep.vuln.found': 'medium',
  'audit.checkpoint': 'info',
  'audit.gap': 'critical',
  'sandbox.off': 'high',
  'sandbox.weak': 'low',
  'verify.off': 'high',
  'listener.open': 'info',
  'egress.blocked': 'critical',
  'secret.leak': 'critical',
  'alert.raise': 'medium',
  'alert.ack': 'info',
  'sink.dead': 'high',
  'review.sign': 'info',
} as const satisfies Record<string, SecuritySeverity>;

export type SecuritySeverity = 'info' | 'low' | 'medium' | 'high' | 'critical';
export type SecurityEventName = keyof typeof SECURITY_EVENTS;

/** Who asked: a key's id (never the key), an address, a browser's origin. */
export interface SecurityActor {
  readonly key?: string;
  readonly ip?: string;
  readonly origin?: string;
}

/** What happened, as its trigger tells it; the log adds time, place and chain. Texts are redacted by the log, names of models are the store's. */
export interface SecurityEvent {
  readonly event: SecurityEventName;
  /** Absent: the table's. */
  readonly severity?: SecuritySeverity;
  readonly outcome: 'ok' | 'denied' | 'failed' | 'error';
  readonly actor?: SecurityActor;
  readonly model?: { readonly id: string; readonly rootDigest?: string; readonly revision?: string };
  readonly requestId?: string;
  readonly traceId?: string;
  /** A code of the error or finding tables. */
  readonly reason?: string;
  /** At most 4 KiB as JSON; what is longer is cut by the log and says so. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Port of the security event log (security/audit), handed in by app. */
export interface SecurityEventSink {
  /** Never throws and never waits for the disk longer than a write takes. */
  record(event: SecurityEvent): void;
  /** Asked before risky work (load, pull, push, tool exec): throws HearthError insufficient_space or file_system_error when events can no longer be written. */
  assertWritable(): void;
}

export const NO_SECURITY_EVENTS: SecurityEventSink = { record() {}, assertWritable() {} };
