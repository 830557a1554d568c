import type { UpstreamTimeouts } from './call.ts';
import type { DialectName } from './dialects.ts';

/** What is known of one model of a remote. */
export interface RemoteModel {
  /** What hearth's users call it, behind `<remote>/`. */
  readonly name: string;
  /** What the server calls it. */
  readonly ownName: string;
  /** Words of REMOTE_CAPABILITIES; what is not there is not declared. */
  readonly capabilities: readonly string[];
  /** null = not known. */
  readonly contextTokens: number | null;
  /** Largest number of new tokens, where the API demands a limit and a request has none; null = 8,192. */
  readonly maxOutputTokens: number | null;
}

export interface RemoteOptions {
  /** Its name in the configuration. */
  readonly name: string;
  readonly kind: 'openai' | 'anthropic' | 'peer';
  /** With or without `/v1` at its end. */
  readonly baseUrl: string;
  /** Absent: the server asks for none. Called before each request, so that a new key counts at once. */
  readonly apiKey?: () => string | undefined;
  /** Fixed list; of a peer it may be empty, since its own list is asked. */
  readonly models: readonly RemoteModel[];
  readonly dialect?: DialectName;
  readonly timeouts?: Partial<UpstreamTimeouts>;
  /** Further JSON paths that go through as they are, such as `/v1/moderations`. */
  readonly passthroughPaths?: readonly string[];
  /** Further headers of clients that are forwarded: those that name a session. Lower case. */
  readonly sessionHeaders?: readonly string[];
  /** An event of a stream over it is refused; bytes. */
  readonly maxEventBytes?: number;
  /** A JSON answer over it is refused; bytes. */
  readonly maxAnswerBytes?: number;
  /** An answer was whole, and something in it was not as its API demands: `surplus`, `missing-terminator`, `wrong-form`. */
  readonly onViolation?: (kind: string) => void;
}

export const DEFAULT_TIMEOUTS: UpstreamTimeouts = { connectMs: 3_000, firstTokenMs: 120_000, idleMs: 60_000, requestMs: 600_000 };
export const MAX_EVENT_BYTES = 1024 * 1024;
export const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
export const DEFAULT_OUTPUT_TOKENS = 8_192;
