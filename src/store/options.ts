import type { Clock, Fetch, Logger, RuntimeProbe } from '../core/index.ts';
import type { Intake } from '../security/index.ts';
import type { Judgements } from './judgements.ts';
import type { CommandRunner } from './package-source/command-runner.ts';

/** Progress of one file of a pull. Bytes count what is on the disk, resumed bytes included. */
export interface PullProgress {
  /** Path inside the repository. */
  readonly file: string;
  readonly fileDoneBytes: number;
  readonly fileTotalBytes: number;
  /** Over all files of the pull. */
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface PulledSnapshot {
  /** Absolute. */
  readonly directory: string;
  /** SHA-256 of a file that was here before is not known. */
  readonly files: readonly { readonly path: string; readonly sha256: string | null }[];
}

/** Everything the store knows of the world outside the file system; app fills it from config and the environment. */
export interface StoreOptions {
  /** The hub directory that holds `models--*` (such as `~/.cache/huggingface/hub`); it need not exist. */
  readonly cacheDirectory: string;
  /** Directory of workspaces; null when none is set. */
  readonly workspaceHome: string | null;
  /** `<home>/state`: store locks. Made when first needed. */
  readonly stateDirectory: string;
  /** For `~/` in explicit paths; null leaves `~` as it is. */
  readonly userHome: string | null;
  /** Base of relative explicit paths. */
  readonly workingDirectory: string;
  /** Which features of a model an installed engine can run. */
  readonly runtimeProbe: RuntimeProbe;
  /** What list found out in earlier runs; absent: every model is judged anew. */
  readonly judgements?: Judgements;
  readonly hub: HubOptions;
  /** The gates that every model passes before it enters; absent: only what the store itself checks (tests of the store alone). */
  readonly intake?: Pick<Intake, 'admit'>;
  /** Hears of every pull that fetched something, when its snapshot is linked, with the hashes that were taken on the way. */
  readonly onPulled?: (pulled: PulledSnapshot) => Promise<void>;
  readonly logger: Logger;
  /** Of the product, for the sentinels of workspaces. */
  readonly hearthVersion?: string;
  readonly clock: Clock;
  /** Free bytes for this user on the file system of an existing directory. */
  readonly freeSpace: (directory: string) => Promise<number>;
  /** Waits; rejects with an AbortError when the signal fires. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Globs of repositories that may be pushed to; where there are some, no other one is (docs/spec/security.md §12). */
  readonly pushTargets?: readonly string[];
  /** Runs programs of the user's machine (pip) for a second source; null = never. */
  readonly commandRunner: CommandRunner | null;
  /** Refuse every deletion outside directories whose path shows that they are a test's (HEARTH_STRICT_TEST_DELETE). */
  readonly strictTestDelete?: boolean;
}

export interface HubOptions {
  /** Origin of the hub, such as `https://huggingface.co`. */
  readonly endpoint: string;
  /** Bearer token; sent to the endpoint's own origin only. */
  readonly token: string | null;
  /** The variable HF_TOKEN itself, for pushes; null or absent: nothing is pushed. */
  readonly pushToken?: string | null;
  /** Refuse every hub call. */
  readonly offline: boolean;
  /** A request without an answer, or a download without a byte, for this long is given up and tried again. */
  readonly timeoutMs: number;
  /** Hosts that downloads may be redirected to besides the hub's own: `*.example.org` or a host name. */
  readonly cdnHosts: readonly string[];
  readonly fetch: Fetch;
}

export const DEFAULT_HUB_ENDPOINT = 'https://huggingface.co';
export const DEFAULT_CDN_HOSTS: readonly string[] = ['*.huggingface.co', '*.hf.co'];
