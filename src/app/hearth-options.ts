import type { Writable } from 'node:stream';
import type { ConfigReloads, DaemonControl, ListenerAccess, LogReader, RequestOrigin } from '../api/index.ts';
import type { Config } from '../config/index.ts';
import type { ResidentModel } from '../contract/index.ts';
import type { Logger, SecurityEventSink } from '../core/index.ts';

export interface HearthOptions {
  readonly config: Config;
  readonly version: string;
  /** Absolute path of the hearth home; made when something is written. */
  readonly home: string;
  readonly userHome: string;
  /** Reads the configuration again for a reload, with the same flags and environment; throws config_invalid. Absent: it is read once. */
  readonly readConfig?: () => Promise<Config>;
  /** Base of relative paths. */
  readonly cwd: string;
  /** Read for the variables of the Hugging Face tools only (docs/spec/store.md §1). */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where log lines go. */
  readonly stderr: Pick<Writable, 'write'>;
  /** No log lines at all, whatever the configured level. */
  readonly silent?: boolean;
  /** Addresses that the daemon listens on, for the status. */
  readonly listeners?: () => readonly string[];
  /** What drives the daemon; absent where this process is none. */
  readonly daemon?: DaemonControl;
  /** The logs of the home; absent: those in its directory. */
  readonly logs?: LogReader;
  /** Where a daemon writes its children down; absent: nowhere. */
  readonly journalPath?: string;
}

/** The whole product in one process. */
export interface Hearth {
  /** Answers as the server does; a listener tells where the request came from. Without an origin the caller is this process, with all scopes. */
  request(request: Request, origin?: RequestOrigin): Promise<Response>;
  readonly logger: Logger;
  readonly securityEvents: SecurityEventSink;
  /** Whom TCP listeners let in. */
  readonly access: ListenerAccess;
  readonly reloads: ConfigReloads;
  /** What the run loop knows, at this moment. */
  models(): readonly ResidentModel[];
  /** No new requests; running ones get their time, then every child ends. */
  close(how?: { readonly drainTimeoutMs?: number }): Promise<void>;
}
