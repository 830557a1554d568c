import type { Readable, Writable } from 'node:stream';
import type { LoadedConfig } from '../config/index.ts';
import type { Connection } from './connect.ts';

/** Facts about the place where the command runs. */
export interface Terminal {
  /** stdin, stdout and stderr are terminals. */
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly colour: boolean;
  /** Columns of stderr or stdout; 80 when unknown. */
  readonly columns: number;
}

/** Common options of every verb. */
export interface CommonOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly yes: boolean;
}

/** The process as the entry file saw it. */
export interface ProcessFacts {
  /** Name that the program was started under: `hearth`, `hearth-run`, or a compatibility name. */
  readonly program: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly userHome: string;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly terminal: Terminal;
  /** Calls the listener at each Ctrl-C and returns how to stop listening. */
  readonly onInterrupt: (listener: () => void) => () => void;
  /** Calls the listener at each SIGTERM. */
  readonly onTerminate: (listener: () => void) => () => void;
  /** Calls the listener at each SIGHUP, which ends a process where nobody listens. */
  readonly onHangup: (listener: () => void) => () => void;
  /** Ends the process at once: the second Ctrl-C of somebody who does not want to wait. */
  readonly exitNow: (code: number) => void;
}

/** Everything that a command gets. */
export interface Context {
  readonly program: string;
  readonly version: string;
  readonly cwd: string;
  readonly home: string;
  readonly userHome: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
  readonly common: CommonOptions;
  readonly output: Output;
  readonly stdin: Readable;
  /** Aborted by the first Ctrl-C unless the command listens itself, and by SIGTERM. */
  readonly signal: AbortSignal;
  readonly onInterrupt: ProcessFacts['onInterrupt'];
  readonly onTerminate: ProcessFacts['onTerminate'];
  readonly onHangup: ProcessFacts['onHangup'];
  /** The configuration; `flags` are canonical keys with values of this command line. */
  loadConfig(flags?: Readonly<Record<string, unknown>>): Promise<LoadedConfig>;
  /** The daemon when one answers, else the product in this process. Made at the first call. */
  connect(): Promise<Connection>;
  /** The daemon: one is started where none answers, with `env` beside this command's own environment. */
  connectDaemon(how?: { readonly env?: Readonly<Record<string, string>> }): Promise<Connection>;
  /** The daemon, or null where none answers; `anyVersion` to stop one that speaks another version of the API. */
  findDaemon(how?: { readonly anyVersion?: boolean }): Promise<Connection | null>;
  /** The product in this process also where a daemon answers: for what needs this command's own environment. */
  connectHere(flags?: Readonly<Record<string, unknown>>): Promise<Connection>;
}

/** Where a command may stream to. Nothing reaches stdout under `--json` except the one document. */
export interface Output {
  /** Streamed answer for people, on stdout; dropped under `--json`. */
  text(text: string): void;
  /** Notice for people, on stderr, one line; dropped under `--quiet`. */
  notice(line: string): void;
  /** A document on stdout at once: the start document of `serve --json`. */
  document(value: unknown): void;
  /** Stderr as it is, for prompts and progress bars. */
  readonly stderr: Writable;
  readonly stdout: Writable;
}
