import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex, Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createJsonLineReader, createStreamRedactor, encodeJsonLine, HearthError } from '../core/index.ts';
import { childEnvironment, commandLine } from './command-line.ts';
import { createEnclosure, type Enclosed, type Enclosure } from './enclosure.ts';
import { createLastLines } from './last-lines.ts';
import type { LaunchJournal } from './launch-journal.ts';
import { createLineRate } from './line-rate.ts';
import type { OverLimit, ProcessChannel, ProcessExit, ProcessSpec, SupervisedProcess, Supervisor } from './process-spec.ts';

export interface SupervisorOptions {
  /** The parent's environment, from which the allow-list is taken; empty when absent. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Every line that a child writes. */
  readonly onLine?: (line: string, child: { readonly pid: number; readonly launchId: string; readonly stream: 'stdout' | 'stderr' }) => void;
  /** Walls and limits of every child; absent: the parent-death signal alone. */
  readonly enclosure?: Enclosure;
  /** Where a daemon writes its children down, for the next one; absent: nowhere. */
  readonly journal?: LaunchJournal;
}

const LAST_LINES = 20;
/** Output that a dead child's descendants may still hold open is not waited for longer than this. */
const DRAIN_MS = 200;
const CONFIRM_MS = 2_500;
/** A child that has closed its channel is expected to end within this time. */
const CHANNEL_END_MS = 1_000;
/** From the request to end to the end, for a child that took too much of something other than memory. */
const OVER_GRACE_MS = 1_000;

/** Starts and ends single processes. Disposing it stops all that it started. */
export function createSupervisor(options: SupervisorOptions = {}): Supervisor {
  const enclosure = options.enclosure ?? createEnclosure({ mode: 'off', limits: 'none' });
  const running = new Set<SupervisedProcess>();
  const forgetting = new Set<Promise<void>>();
  /** Takes a child out of the journal at its end; whoever ends this supervisor waits for it. */
  const forget = (child: SupervisedProcess, launchId: string): void => {
    const done = child.channel.exited.then(() => options.journal?.remove(launchId)).finally(() => forgetting.delete(done));
    forgetting.add(done);
  };
  return {
    warm: () => void enclosure.ready().catch(() => {}),
    async start(spec) {
      const child = await launch(spec, options, enclosure, forget);
      running.add(child);
      void child.channel.exited.then(() => running.delete(child));
      return child;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...running].map((child) => child.stop()));
      await Promise.all(forgetting);
    },
  };
}

async function launch(
  spec: ProcessSpec,
  options: SupervisorOptions,
  enclosure: Enclosure,
  forget: (child: SupervisedProcess, launchId: string) => void,
): Promise<SupervisedProcess> {
  if (spec.channel !== 'ipc') throw new HearthError('not_implemented', 'Processes that speak over a Unix socket are not built yet.');
  const launchId = randomBytes(16).toString('hex');
  const environment = childEnvironment(spec, options.environment ?? {});
  const own = commandLine(spec, launchId);
  const enclosed = await enclosure.enclose(own, spec);
  const [command, ...args] = enclosed.argv;
  const child = spawn(command, args, {
    cwd: spec.cwd,
    env: { ...environment, ...enclosed.environment },
    detached: true,
    windowsHide: true,
    // Standard input is never written: its end tells the child that we are gone. The fifth feeds the cage.
    stdio: ['pipe', 'pipe', 'pipe', 'pipe', ...(enclosed.feed === undefined ? [] : (['pipe'] as const))],
  });
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw new HearthError('file_system_error', `${spec.command} could not be started: ${(error as Error).message}`, { cause: error });
  }
  if (enclosed.feed !== undefined) {
    const pipe = child.stdio[enclosed.feed.descriptor] as Writable;
    pipe.on('error', () => {});
    pipe.end(enclosed.feed.bytes);
  }
  const supervised = supervise(child, launchId, spec, options, enclosed);
  const { journal } = options;
  if (journal === undefined) return supervised;
  forget(supervised, launchId);
  await journal.add({ pid: child.pid as number, launchId });
  return supervised;
}

function supervise(child: ChildProcess, launchId: string, spec: ProcessSpec, options: SupervisorOptions, enclosed: Enclosed): SupervisedProcess {
  /** Leader of the group: the program itself, or the innermost wrapper that stays around it. */
  const leader = child.pid as number;
  const program = enclosed.programOf(leader);
  const output = createLastLines(LAST_LINES, () => {});

  const signalGroup = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-leader, signal);
    } catch {
      // ESRCH: the group is empty.
    }
  };
  /** What is around a program dies of the signal at once, and takes it along: the program alone is asked. */
  const askToEnd = (): void => {
    const pid = program();
    try {
      process.kill(pid === leader ? -leader : pid, 'SIGTERM');
    } catch {
      // ESRCH: it has ended.
    }
  };
  let over: OverLimit | null = null;
  const watch = enclosed.watch(leader, (crossed) => {
    over = crossed;
    // What eats memory gets no time to eat more.
    if (crossed.reason !== 'oom') askToEnd();
    setTimeout(() => signalGroup('SIGKILL'), crossed.reason === 'oom' ? 0 : OVER_GRACE_MS).unref();
  });
  for (const stream of ['stdout', 'stderr'] as const) {
    const rate = createLineRate((line) => options.onLine?.(line, { pid: program(), launchId, stream }));
    const lines = createLastLines(0, (line) => {
      output.push(`${line}\n`);
      rate.push(line);
    });
    const readable = child[stream] as Readable;
    readable.setEncoding('utf8');
    // Before the lines are parted: a key in PEM lies over many.
    const clean = createStreamRedactor();
    readable.on('data', (text: string) => {
      watch?.wrote(Buffer.byteLength(text));
      lines.push(clean.push(text));
    });
    readable.on('end', () => {
      lines.push(clean.end());
      lines.end();
      rate.end();
    });
  }
  child.stdin?.on('error', () => {});
  child.on('error', () => {});

  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let violation: string | undefined;
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once('exit', async (code, signal) => {
      watch?.[Symbol.dispose]();
      signalGroup('SIGKILL');
      await Promise.race([closed, sleep(DRAIN_MS, undefined, { ref: false })]);
      resolve({ ...enclosed.exitOf(code, signal), lastLines: [...output.lines], ...(violation === undefined ? {} : { violation }) });
    });
  });
  const refuse = (reason: string): void => {
    violation ??= reason;
    signalGroup('SIGKILL');
  };
  let stopping: Promise<{ method: 'graceful' | 'forced' | 'gone' }> | undefined;
  const stop = async (): Promise<{ method: 'graceful' | 'forced' | 'gone' }> => {
    if (child.exitCode !== null || child.signalCode !== null) return { method: 'gone' };
    askToEnd();
    if (await within(exited, spec.stopGraceMs)) return { method: 'graceful' };
    signalGroup('SIGKILL');
    if (await within(exited, CONFIRM_MS)) return { method: 'forced' };
    stopping = undefined;
    throw new HearthError('execution_error', `Process ${leader} did not end after SIGKILL.`);
  };
  return {
    get pid() {
      return program();
    },
    overLimit: () => over,
    protection: () => enclosed.protection(program(), watch),
    grantMemory: (bytes) => watch?.grantMemory(bytes),
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
