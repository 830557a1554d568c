import { Readable, Writable } from 'node:stream';
import { runCli } from '../../src/cli/index.ts';

export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One command line in this process, for tests of many; the facts are those of a pipe. */
export async function runInProcess(
  argv: readonly string[],
  facts: { readonly directory: string; readonly env?: Readonly<Record<string, string>> },
): Promise<CliRun> {
  const texts = { stdout: '', stderr: '' };
  const sink = (name: keyof typeof texts) =>
    new Writable({
      write(piece: Buffer, _encoding, done) {
        texts[name] += piece.toString('utf8');
        done();
      },
    });
  const code = await runCli({
    program: 'hearth',
    argv,
    env: { HEARTH_HOME: `${facts.directory}/home`, HF_HOME: `${facts.directory}/hf`, HF_ENDPOINT: 'http://127.0.0.1:2', ...facts.env },
    cwd: facts.directory,
    userHome: facts.directory,
    stdin: Readable.from([]),
    stdout: sink('stdout'),
    stderr: sink('stderr'),
    terminal: { stdin: false, stdout: false, stderr: false, colour: false, columns: 80 },
    onInterrupt: () => () => {},
    onTerminate: () => () => {},
    exitNow: () => {},
  });
  return { code, ...texts };
}
