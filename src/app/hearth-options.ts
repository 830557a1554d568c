import type { Writable } from 'node:stream';
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
  /** In place of the configured level: a command stays quiet where a daemon tells its news. */
  readonly logLevel?: Config['logs']['level'];
}

/** The whole product in one process. */
export interface Hearth {
  /** Answers as the server does; a listener passes its requests here. The caller has all scopes. */
  request(request: Request): Promise<Response>;
  readonly logger: Logger;
  /** Ends running requests and every child. */
  close(): Promise<void>;
}
