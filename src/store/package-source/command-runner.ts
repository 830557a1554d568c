import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';

/** Runs a program that the user's machine has, such as pip; its output is kept, never shown as ours. */
export interface CommandRunner {
  /** Absolute path of an executable file of the search path, or null. */
  find(name: string): Promise<string | null>;
  /** Ends when the program ends; an abort ends the program. `output` is the tail of what it printed. */
  run(command: { readonly file: string; readonly args: readonly string[]; readonly cwd: string; readonly signal: AbortSignal }): Promise<CommandResult>;
}

export interface CommandResult {
  /** null: it was ended by a signal or could not be started. */
  readonly exitCode: number | null;
  readonly output: string;
}

const MAX_OUTPUT_CHARACTERS = 16_384;
/** What pip and Python need to find themselves, their configuration and the network; no secret of ours is among them. */
const PASSED =
  /^(PATH|HOME|USER|LANG|LC_\w+|TMPDIR|TEMP|TMP|PIP_\w+|PYENV_\w+|VIRTUAL_ENV|CONDA_\w+|UV_\w+|(https?|all|no)_proxy|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|XDG_\w+|SYSTEMROOT)$/i;

export function createCommandRunner(options: { readonly environment: Readonly<Record<string, string | undefined>> }): CommandRunner {
  const environment = Object.fromEntries(Object.entries(options.environment).filter(([name]) => PASSED.test(name)));
  return {
    find: async (name) => {
      for (const directory of (options.environment['PATH'] ?? '').split(delimiter)) {
        // A relative entry would let the current directory choose the program.
        if (isAbsolute(directory) && (await isExecutable(join(directory, name)))) return join(directory, name);
      }
      return null;
    },
    run: ({ file, args, cwd, signal }) =>
      new Promise((settle) => {
        const child = spawn(file, args, { cwd, env: environment, signal, stdio: ['ignore', 'pipe', 'pipe'], shell: false });
        let output = '';
        const keep = (chunk: Buffer): void => {
          output = (output + chunk.toString('utf8')).slice(-MAX_OUTPUT_CHARACTERS);
        };
        child.stdout.on('data', keep);
        child.stderr.on('data', keep);
        child.on('error', (error) => settle({ exitCode: null, output: output || error.message }));
        child.on('close', (exitCode) => settle({ exitCode, output }));
      }),
  };
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
