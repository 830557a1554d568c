import { Readable, Writable } from 'node:stream';
import { runCli } from '../../src/cli/index.ts';

export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Each write to stdout. */
  readonly writes: readonly string[];
}

export interface InProcessFacts {
  readonly directory: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Both ends are a terminal; otherwise pipes. */
  readonly terminal?: boolean;
  readonly stdin?: Readable;
  /** Hears each write to stdout, with a way to press Ctrl-C. */
  readonly onWrite?: (text: string, interrupt: () => void) => void;
}

/** One command line in this process: for many cases, and to play the terminal. */
export async function runInProcess(argv: readonly string[], facts: InProcessFacts): Promise<CliRun> {
  const writes: string[] = [];
  let stderr = '';
  const listeners = new Set<() => void>();
  const interrupt = () => {
    for (const listener of [...listeners]) listener();
  };
  const sink = (hear: (text: string) => void) =>
    new Writable({
      decodeStrings: false,
      write(piece: string | Buffer, _encoding, done) {
        hear(String(piece));
        done();
      },
    });
  const terminal = facts.terminal === true;
  const code = await runCli({
    program: 'hearth',
    argv,
    env: { HEARTH_HOME: `${facts.directory}/home`, HF_HOME: `${facts.directory}/hf`, HF_ENDPOINT: 'http://127.0.0.1:2', ...facts.env },
    cwd: facts.directory,
    userHome: facts.directory,
    stdin: facts.stdin ?? Readable.from([]),
    stdout: sink((text) => {
      writes.push(text);
      facts.onWrite?.(text, interrupt);
    }),
    stderr: sink((text) => {
      stderr += text;
    }),
    terminal: { stdin: terminal, stdout: terminal, stderr: terminal, colour: false, columns: 80 },
    onInterrupt: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    onTerminate: () => () => {},
    onHangup: () => () => {},
    exitNow: () => {},
  });
  return { code, stdout: writes.join(''), stderr, writes };
}
