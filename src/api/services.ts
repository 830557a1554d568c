import type { Catalog } from '../catalog/index.ts';
import type { DaemonState, GatewayState, ReloadResult } from '../contract/index.ts';
import type { Clock, Logger, SecurityEventSink } from '../core/index.ts';
import type { Gateway, ImageMetadataOptions, ResponseStore } from '../gateway/index.ts';
import type { ApiKeyStore, AuditLine, AuditReview, AuditVerification, Caller, GuardedFetchOptions } from '../security/index.ts';
import type { Store } from '../store/index.ts';
import type { RequestInspector } from './bind.ts';
import type { RequestTable } from './observe/request-table.ts';
import type { TelemetryReader } from './observe/telemetry-port.ts';
import type { AlertService } from './routes/alerts.ts';
import type { EngineInstalls } from './routes/engines.ts';
import type { TrustService } from './routes/trust.ts';

/** What drives the daemon itself; the process that is not one refuses most of it. */
export interface DaemonControl {
  state(): DaemonState;
  /** Begins to stop once the answer is out; false for `onlyIdle` when somebody would miss it. */
  stop(how: { readonly onlyIdle?: boolean; readonly now?: boolean }): boolean;
  /** Throws port_in_use, operation_in_progress. */
  up(): Promise<{ readonly alreadyRunning: boolean; readonly gateway: GatewayState }>;
  down(how: { readonly now?: boolean }): Promise<StackDown>;
  /** Puts the current file of a log aside; throws service_not_found. */
  rotate(service: string): boolean;
}

export interface StackDown {
  readonly wasUp: boolean;
  readonly services: readonly {
    readonly service: string;
    readonly pid: number | null;
    readonly status: 'stopped' | 'not running' | 'still stopping';
    readonly method: string;
  }[];
  /** The daemon ends now: it was there for the stack alone. */
  readonly exits: boolean;
}

/** The logs of the home. */
export interface LogReader {
  list(): readonly { readonly service: string; readonly sizeBytes: number; readonly modifiedAt: string; readonly archives: number }[];
  tail(service: string, lines: number): readonly string[];
  all(service: string): AsyncIterable<{ readonly file: string } | { readonly line: string }>;
  follow(service: string, signal: AbortSignal): AsyncIterable<string>;
}

/** The security log of the home. */
export interface AuditReader {
  verify(signal: AbortSignal): Promise<AuditVerification>;
  /** Since a time in milliseconds; null: all of it. */
  review(sinceMs: number | null, signal: AbortSignal): Promise<AuditReview>;
  /** Reviews, and records who did; `seq` is null where that could not be written. */
  sign(
    sinceMs: number | null,
    name: string,
    by: { readonly caller: Caller; readonly requestId: string; readonly signal: AbortSignal },
  ): Promise<{ readonly review: AuditReview; readonly digest: string; readonly seq: number | null }>;
  tail(lines: number): Promise<readonly AuditLine[]>;
  lines(sinceMs: number | null, untilMs: number | null, signal: AbortSignal): AsyncIterable<AuditLine>;
  follow(afterSeq: number, signal: AbortSignal): AsyncIterable<AuditLine>;
}

/** Reads the configuration again. */
export interface ConfigReloads {
  /** Throws config_invalid with every problem; then nothing has changed. */
  reload(cause: 'file' | 'signal' | 'admin'): Promise<ReloadResult>;
  last(): ReloadResult;
}

/** What the routes work with. */
export interface Services {
  readonly gateway: Gateway;
  /** Requests that this process answers now. */
  readonly requests: RequestTable;
  readonly telemetry: TelemetryReader;
  readonly store: Store;
  readonly catalog: Catalog | null;
  /** What is installed for engines. */
  readonly engines: EngineInstalls;
  /** What is read out of pictures, and told to models. */
  readonly images: ImageMetadataOptions;
  /** `backend`: /v1/embeddings goes to this base URL; `truncate`: inputs that are too long are cut. */
  readonly embeddings: { readonly backend: string | null; readonly truncate: boolean };
  /** Links of images: refused, or followed with care; `network` is for tests. */
  readonly media: { readonly remoteUrls: 'off' | 'public'; readonly network?: Pick<GuardedFetchOptions, 'resolve' | 'dial' | 'timeoutMs'> };
  /** Answers that a later request may go on from. */
  readonly responses: ResponseStore;
  /** Of the product. */
  readonly version: string;
  readonly heartbeatMs: number;
  readonly headerHoldMs: number;
  readonly slowClientTimeoutMs: number;
  readonly maxBodyBytes: number;
  readonly keys: ApiKeyStore;
  /** Whom to trust; null where nobody judges models. */
  readonly trust: TrustService | null;
  readonly reloads: ConfigReloads;
  readonly daemon: DaemonControl;
  readonly logs: LogReader;
  readonly audit: AuditReader;
  /** null where nothing is watched. */
  readonly alerts: AlertService | null;
  /** Looks at what an inference request sends; throws prompt_refused. */
  readonly inspect: RequestInspector | null;
  readonly securityEvents: SecurityEventSink;
  /** Addresses that this process listens on, for the status. */
  readonly listeners: () => readonly string[];
  /** Settings that make this process less safe than it comes. */
  readonly weakened: () => readonly string[];
  readonly logger: Logger;
  readonly clock: Clock;
  readonly startedAtMs: number;
}
