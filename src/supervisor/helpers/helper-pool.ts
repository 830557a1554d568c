import { setTimeout as sleep } from 'node:timers/promises';
import {
  HearthError,
  type HelperAnswer,
  type HelperJob,
  type HelperPool,
  helperParts,
  installPaths,
  makePrivateDirectory,
  readGrants,
} from '../../core/index.ts';
import type { ProcessSpec, SupervisedProcess, Supervisor } from '../process-spec.ts';

export interface HelperPoolOptions {
  readonly supervisor: Supervisor;
  /** Working directory of the helpers, which they may not write to; made when it is first needed. */
  readonly directory: string;
  /** Helpers at once; 2. Jobs beyond wait. */
  readonly size?: number;
  /** A helper without work is ended after this time; 30 s. */
  readonly idleMs?: number;
}

const START_MS = 10_000;
const STOP_GRACE_MS = 500;

interface Helper {
  readonly key: string;
  readonly process: SupervisedProcess;
  idle: NodeJS.Timeout | undefined;
  busy: boolean;
}

/** Helper processes, one job at a time each, kept for the next job of the same program. Disposing it ends them. */
export function createHelperPool({ supervisor, directory, size = 2, idleMs = 30_000 }: HelperPoolOptions): HelperPool & AsyncDisposable {
  const helpers = new Set<Helper>();
  const waiting: (() => void)[] = [];
  let taken = 0;

  const drop = (helper: Helper): void => {
    clearTimeout(helper.idle);
    helpers.delete(helper);
    helper.process.kill();
  };
  const acquire = async (job: HelperJob): Promise<Helper> => {
    const key = `${job.program}\n${job.limits.memoryBytes}`;
    const ready = [...helpers].find((each) => !each.busy && each.key === key);
    if (ready !== undefined) {
      clearTimeout(ready.idle);
      ready.busy = true;
      return ready;
    }
    await makePrivateDirectory(directory);
    const helper: Helper = { key, process: await supervisor.start(helperSpec(job, directory)), idle: undefined, busy: true };
    helpers.add(helper);
    void helper.process.channel.exited.then(() => {
      clearTimeout(helper.idle);
      helpers.delete(helper);
    });
    try {
      await started(helper.process);
    } catch (error) {
      drop(helper);
      throw error;
    }
    return helper;
  };
  const release = (helper: Helper): void => {
    helper.busy = false;
    helper.idle = setTimeout(() => drop(helper), idleMs).unref();
  };

  return {
    async run(job, signal) {
      while (taken >= size) await new Promise<void>((go) => waiting.push(go));
      taken += 1;
      try {
        signal?.throwIfAborted();
        const helper = await acquire(job);
        try {
          const answer = await ask(helper.process, job, signal);
          release(helper);
          return answer;
        } catch (error) {
          if (error instanceof ProgramError) {
            release(helper);
            throw error.reason;
          }
          drop(helper);
          throw error;
        }
      } finally {
        taken -= 1;
        waiting.shift()?.();
      }
    },
    async [Symbol.asyncDispose]() {
      const left = [...helpers];
      for (const helper of left) drop(helper);
      await Promise.all(left.map((helper) => helper.process.channel.exited));
    },
  };
}

async function started(child: SupervisedProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const failed = (why: string): void => reject(new HearthError('execution_error', `A helper process could not be started: ${why}`));
  const timer = setTimeout(() => failed(`it was not ready after ${START_MS / 1_000} s.`), START_MS);
  child.channel.onMessage(() => resolve());
  void child.channel.exited.then(({ lastLines }) => failed(lastLines.join(' ').slice(0, 1_000)));
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
}

/** The program itself says no: the helper is sound. */
class ProgramError extends Error {
  readonly reason: HearthError;
  constructor(reason: HearthError) {
    super(reason.message);
    this.reason = reason;
  }
}

async function ask(child: SupervisedProcess, job: HelperJob, signal: AbortSignal | undefined): Promise<unknown> {
  const { limits, overLimit } = job;
  const over = (what: string): HearthError => new HearthError(overLimit.code, `${overLimit.subject} ${what}.`);
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  let text = '';
  child.channel.onMessage((message) => {
    const answer = message as HelperAnswer;
    if ('ready' in answer) return;
    if ('code' in answer) return reject(new ProgramError(new HearthError(answer.code as HearthError['code'], answer.message)));
    text += answer.part;
    if (text.length > limits.outputCharacters) reject(over(`wrote more than ${Math.round(limits.outputCharacters / 2 ** 20)} MiB`));
    else if (answer.last) resolve(JSON.parse(text));
  });
  const ended = new AbortController();
  void child.channel.exited.then(({ lastLines }) => {
    const memory = child.overLimit?.()?.reason === 'oom' || lastLines.some((line) => /heap|out of memory/i.test(line));
    reject(memory ? over(`took more than ${Math.round(limits.memoryBytes / 2 ** 20)} MB of memory`) : over('ended the process that worked on it'));
  });
  const abort = (): void => reject(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  const running = sleep(limits.wallMs, undefined, { signal: ended.signal }).then(
    () => reject(over(`took longer than ${limits.wallMs / 1_000} s`)),
    () => {},
  );
  try {
    for (const part of helperParts(JSON.stringify(job.input))) child.channel.send(part);
    return await promise;
  } finally {
    ended.abort();
    signal?.removeEventListener('abort', abort);
    await running;
  }
}

/** A Node process that may read its own program and nothing else: no write, no child, no thread, no addon; strings are on its capped heap. */
function helperSpec({ program, packages, limits }: HelperJob, directory: string): ProcessSpec {
  const readPaths = installPaths(packages);
  return {
    command: process.execPath,
    args: [
      '--permission',
      `--max-old-space-size=${Math.floor(limits.memoryBytes / 2 ** 20 / 2)}`,
      '--max-semi-space-size=8',
      ...readGrants(readPaths),
      program,
    ],
    cwd: directory,
    env: {},
    channel: 'ipc',
    readPaths,
    writePaths: [],
    devices: 'none',
    memoryBytes: limits.memoryBytes,
    threads: 1,
    startTimeoutMs: START_MS,
    stopGraceMs: STOP_GRACE_MS,
  };
}
