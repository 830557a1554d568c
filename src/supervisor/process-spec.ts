import type { CageReport } from './cage/cage.ts';
import type { HeldLimit } from './limits/kernel-limits.ts';
import type { ProcessLimits } from './limits/process-limits.ts';

/** What an engine asks the supervisor to start (docs/spec/engines.md §1.2). It holds no secret, no repository name and no URL. */
export interface ProcessSpec {
  /** Absolute path of the program. */
  readonly command: string;
  readonly args: readonly string[];
  /** Absolute working directory. */
  readonly cwd: string;
  /** Added to the allow-list of environment variables. */
  readonly env: Readonly<Record<string, string>>;
  /** `ipc`: newline-delimited JSON both ways over an inherited socket on descriptor 3. */
  readonly channel: 'ipc' | 'unix-socket';
  readonly readPaths: readonly string[];
  readonly writePaths: readonly string[];
  readonly devices: 'none' | 'gpu';
  readonly memoryBytes: number;
  readonly threads: number;
  /** In place of those that follow from `memoryBytes` and `threads`, with room above. */
  readonly limits?: Partial<ProcessLimits>;
  readonly startTimeoutMs: number;
  readonly stopGraceMs: number;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** The last lines that the process wrote. */
  readonly lastLines: readonly string[];
  /** What it sent that is not its protocol, when it was ended for that. */
  readonly violation?: string;
}

/** Message channel to a child; messages are JSON values of at most 1 MiB. */
export interface ProcessChannel {
  /** Does nothing when the child is gone. Throws HearthError request_too_large over 1 MiB. */
  send(message: unknown): void;
  /** Called for each message, in order; one listener at a time. Nothing is read before the first listener. */
  onMessage(listener: (message: unknown) => void): void;
  /** Ends the child at once because of what it sent; the reason becomes `violation` of its exit. */
  refuse(reason: string): void;
  /** Settles when the child is gone and its last messages were delivered; never rejects. */
  readonly exited: Promise<ProcessExit>;
}

/** Why a process was ended by its supervisor: `oom` and `output` in bytes, `cpu` and `wall` in milliseconds. */
export interface OverLimit {
  readonly reason: 'oom' | 'cpu' | 'wall' | 'threads' | 'output';
  readonly limit: number;
  readonly value: number;
}

/** What holds a process, as it is at this moment. */
export interface Protection {
  readonly cage: CageReport;
  /** Layers of limits that are in force: `systemd-scope` or `rlimit` where the kernel tells the values, `polling` where the looks succeed. */
  readonly layers: readonly ('systemd-scope' | 'rlimit' | 'polling')[];
  readonly limits: ProcessLimits;
  /** Read back from the kernel. */
  readonly held: readonly HeldLimit[];
}

export interface SupervisedProcess extends AsyncDisposable {
  /** Of the program itself, as the machine numbers it; of what is around it until the program is there. */
  readonly pid: number;
  /** Set once it was ended for what it took; absent: nobody watches it. */
  overLimit?(): OverLimit | null;
  /** Absent: nobody knows. */
  protection?(): Protection;
  /** Room beside the limit of memory, such as for adapters; in place of what was granted before. */
  grantMemory?(bytes: number): void;
  readonly channel: ProcessChannel;
  /** SIGTERM to the group, the grace time, SIGKILL. Settles when the process is gone. */
  stop(): Promise<{ readonly method: 'graceful' | 'forced' | 'gone' }>;
  /** SIGKILL to the group at once. */
  kill(): void;
}

export interface Supervisor extends AsyncDisposable {
  /** Finds out what this machine allows, while the caller prepares the process; `start` waits for it. */
  warm?(): void;
  start(spec: ProcessSpec): Promise<SupervisedProcess>;
}
