import { spawn } from 'node:child_process';
import { HearthError } from '../core/index.ts';
import { createLastLines } from './last-lines.ts';

export interface Command {
  /** Absolute path of the program. */
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** Its whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** A program that writes nothing for this long is ended. */
  readonly silenceMs: number;
  readonly onLine?: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  /** Of both outputs. */
  readonly lastLines: readonly string[];
}

const LARGEST_OUTPUT = 1024 * 1024;

/** Runs a program to its end, without a shell and in a process group of its own. Throws cancelled, request_timeout, file_system_error. */
export async function runCommand({ command, args, cwd, env, silenceMs, onLine, signal }: Command): Promise<CommandResult> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  const child = spawn(command, args, { cwd, env, detached: true, windowsHide: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // ESRCH: it has ended.
    }
  };
  let refusal: HearthError | undefined;
  const refuse = (error: HearthError): void => {
    refusal ??= error;
    end();
  };
  const cancel = (): void => refuse(new HearthError('cancelled', 'The operation was cancelled.'));
  const silence = setTimeout(() => refuse(new HearthError('request_timeout', `${command} gave no sign for ${silenceMs / 1_000} s and was ended.`)), silenceMs);
  const lines = createLastLines(20, (line) => onLine?.(line));
  let stdout = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      silence.refresh();
      if (stream === child.stdout && stdout.length < LARGEST_OUTPUT) stdout += text;
      lines.push(text);
    });
  }
  signal.addEventListener('abort', cancel, { once: true });
  child.once('error', (cause) => reject(new HearthError('file_system_error', `${command} could not be started: ${cause.message}`, { cause })));
  child.once('close', (code) => {
    lines.end();
    if (refusal === undefined) resolve({ code, stdout, lastLines: [...lines.lines] });
    else reject(refusal);
  });
  try {
    return await promise;
  } finally {
    clearTimeout(silence);
    signal.removeEventListener('abort', cancel);
    end();
  }
}
