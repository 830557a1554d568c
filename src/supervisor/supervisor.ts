import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createJsonLineReader, encodeJsonLine, HearthError } from '../core/index.ts';
import { childEnvironment, commandLine, findSetpriv } from './command-line.ts';
import { createLastLines } from './last-lines.ts';
import type { LaunchJournal } from './launch-journal.ts';
import type { ProcessChannel, ProcessExit, ProcessSpec, SupervisedProcess, Supervisor } from './process-spec.ts';

export interface SupervisorOptions {
  /** The parent's environment, from which the allow-list is taken; empty when absent. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Every line that a child writes. */
  readonly onLine?: (line: string, child: { readonly pid: number; readonly launchId: string; readonly stream: 'stdout' | 'stderr' }) => void;
  /** Path of setpriv, null for none; found by itself when absent. */
  readonly setpriv?: string | null;
  /** Where a daemon writes its children down, for the next one; absent: nowhere. */
  readonly journal?: LaunchJournal;
}

const LAST_LINES = 20;
/** Output that a dead child's descendants may still hold open is not waited for longer than this. */
const DRAIN_MS = 200;
const CONFIRM_MS = 2_500;
/** A child that has closed its channel is expected to end within this time. */
const CHANNEL_END_MS = 1_000;

/** Starts and ends single processes. Disposing it stops all that it started. */
export function createSupervisor(options: SupervisorOptions = {}): Supervisor {
  const setpriv = options.setpriv === undefined ? findSetpriv() : options.setpriv;
  const running = new Set<SupervisedProcess>();
  return {
    async start(spec) {
      const child = await launch(spec, options, setpriv);
      running.add(child);
      void child.channel.exited.then(() => running.delete(child));
      return child;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...running].map((child) => child.stop()));
    },
  };
}

async function launch(spec: ProcessSpec, options: SupervisorOptions, setpriv: string | null): Promise<SupervisedProcess> {
  if (spec.channel !== 'ipc') throw new HearthError('not_implemented', 'Processes that speak over a Unix socket are not built yet.');
  const launchId = randomBytes(16).toString('hex');
  const [command, args] = commandLine(spec, launchId, setpriv);
  const child = spawn(command, args, {
    cwd: spec.cwd,
    env: childEnvironment(spec, options.environment ?? {}),
    detached: true,
    windowsHide: true,
    // Standard input is never written: its end tells the child that we are gone.
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  });
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw new HearthError('file_system_error', `${spec.command} could not be started: ${(error as Error).message}`, { cause: error });
  }
  const supervised = supervise(child, child.pid as number, launchId, spec, options);
  const { journal } = options;
  if (journal === undefined) return supervised;
  void supervised.channel.exited.then(() => journal.remove(launchId));
  await journal.add({ pid: supervised.pid, launchId });
  return supervised;
}

function supervise(child: ChildProcess, pid: number, launchId: string, spec: ProcessSpec, options: SupervisorOptions): SupervisedProcess {
  const output = createLastLines(LAST_LINES, () => {});
  for (const stream of ['stdout', 'stderr'] as const) {
    const lines = createLastLines(0, (line) => {
      output.push(`${line}\n`);
      options.onLine?.(line, { pid, launchId, stream });
    });
    const readable = child[stream] as Readable;
    readable.setEncoding('utf8');
    readable.on('data', (text: string) => lines.push(text));
    readable.on('end', () => lines.end());
  }
  child.stdin?.on('error', () => {});
  child.on('error', () => {});

  const signalGroup = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-pid, signal);
    } catch {
      // ESRCH: the group is empty.
    }
  };
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let violation: string | undefined;
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once('exit', async (code, signal) => {
      signalGroup('SIGKILL');
      await Promise.race([closed, sleep(DRAIN_MS, undefined, { ref: false })]);
      resolve({ code, signal, lastLines: [...output.lines], ...(violation === undefined ? {} : { violation }) });
    });
  });
  const refuse = (reason: string): void => {
    violation ??= reason;
    signalGroup('SIGKILL');
  };
  let stopping: Promise<{ method: 'graceful' | 'forced' | 'gone' }> | undefined;
  const stop = async (): Promise<{ method: 'graceful' | 'forced' | 'gone' }> => {
    if (child.exitCode !== null || child.signalCode !== null) return { method: 'gone' };
    signalGroup('SIGTERM');
    if (await within(exited, spec.stopGraceMs)) return { method: 'graceful' };
    signalGroup('SIGKILL');
    if (await within(exited, CONFIRM_MS)) return { method: 'forced' };
    stopping = undefined;
    throw new HearthError('execution_error', `Process ${pid} did not end after SIGKILL.`);
  };
  return {
    pid,
    channel: openChannel(child.stdio[3] as Duplex, exited, refuse),
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
    kill: () => signalGroup('SIGKILL'),
    async [Symbol.asyncDispose]() {
      await this.stop();
    },
  };
}

function openChannel(socket: Duplex, exited: Promise<ProcessExit>, end: (reason: string) => void): ProcessChannel {
  let listener: ((message: unknown) => void) | undefined;
  const reader = createJsonLineReader((message) => listener?.(message));
  socket.on('error', () => {}); // a dead child shows as its exit
  const read = (bytes: Uint8Array): void => {
    try {
      reader.push(bytes);
    } catch (error) {
      refuse(`it sent something that is no message: ${(error as Error).message}`);
    }
  };
  /** What follows a refused message is not listened to any more. */
  const refuse = (reason: string): void => {
    listener = () => {};
    socket.off('data', read);
    socket.resume();
    end(reason);
  };
  // A child that ends closes it too: only one that stays without a channel is of no use any more.
  socket.once('end', async () => {
    if (!(await within(exited, CHANNEL_END_MS))) refuse('it closed its channel');
  });
  return {
    exited,
    refuse,
    send(message) {
      let line: string;
      try {
        line = encodeJsonLine(message);
      } catch (error) {
        throw new HearthError('request_too_large', `The request is too large for an engine: ${(error as Error).message}.`);
      }
      if (socket.writable) socket.write(line);
    },
    onMessage(next) {
      const first = listener === undefined;
      listener = next;
      if (first) socket.on('data', read);
    },
  };
}

async function within(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  try {
    return await Promise.race([promise.then(() => true), sleep(timeoutMs, false, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}
