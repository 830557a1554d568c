import type { Writable } from 'node:stream';
import type { RequestOrigin } from '../api/index.ts';
import type { Config } from '../config/index.ts';
import type { Logger } from '../core/index.ts';

export interface HearthOptions {
  readonly config: Config;
  readonly version: string;
  /** Absolute path of the hearth home; made when something is written. */
  readonly home: string;
  readonly userHome: string;
  /** Base of relative paths. */
  readonly cwd: string;
  /** Read for the variables of the Hugging Face tools only (docs/spec/store.md §1). */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where log lines go. */
  readonly stderr: Writable;
  /** No log lines at all, whatever the configured level. */
  readonly silent?: boolean;
  /** Addresses that the daemon listens on, for the status. */
  readonly listeners?: () => readonly string[];
}

/** The whole product in one process. */
export interface Hearth {
  /** Answers as the server does; a listener tells where the request came from. Without an origin the caller is this process, with all scopes. */
  request(request: Request, origin?: RequestOrigin): Promise<Response>;
  readonly logger: Logger;
  /** No new requests; running ones get their time, then every child ends. */
  close(how?: { readonly drainTimeoutMs?: number }): Promise<void>;
}
