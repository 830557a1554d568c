import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { makePrivateDirectory } from '../core/index.ts';

/** One process at a time per model: a file that names its holder, made exclusively, stale when that process is gone (docs/spec/store.md §6). */

interface Holder {
  readonly pid: number;
  /** Tells a process from a later one with the same id; null where the system does not say. */
  readonly startedAt: string | null;
}

const POLL_MS = 200;

export interface StoreLock extends AsyncDisposable {
  /** Another process held the lock when it was asked for. */
  readonly waited: boolean;
}

/** The lock of one model of the cache. */
export const storeLockPath = (stateDirectory: string, modelDirectory: string): string =>
  join(stateDirectory, 'locks', `${createHash('sha256').update(modelDirectory).digest('hex').slice(0, 32)}.pull`);

/** Waits until the lock is free, or until the signal fires; `onWait` is told once who holds it. */
export async function acquireStoreLock(
  path: string,
  context: {
    readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
    readonly signal: AbortSignal;
    readonly onWait?: (pid: number) => void;
  },
): Promise<StoreLock> {
  let waited = false;
  let told = false;
  for (;;) {
    context.signal.throwIfAborted();
    const taken = await takeLock(path);
    if (taken.kind === 'taken') return { waited, [Symbol.asyncDispose]: taken.release };
    waited = true;
    if (taken.kind === 'stale') continue;
    if (!told) context.onWait?.(taken.pid);
    told = true;
    await context.sleep(POLL_MS, context.signal);
  }
}

/** Takes the lock without waiting, or says which process holds it. */
export async function tryStoreLock(path: string): Promise<AsyncDisposable | { readonly pid: number }> {
  for (;;) {
    const taken = await takeLock(path);
    if (taken.kind === 'taken') return { [Symbol.asyncDispose]: taken.release };
    if (taken.kind === 'held') return { pid: taken.pid };
  }
}

type Taken = { readonly kind: 'taken'; readonly release: () => Promise<void> } | { readonly kind: 'stale' } | { readonly kind: 'held'; readonly pid: number };

async function takeLock(path: string): Promise<Taken> {
  await makePrivateDirectory(dirname(path));
  const content = await holderText();
  if (await createExclusive(path, content)) {
    return {
      kind: 'taken',
      release: async () => {
        if ((await readText(path)) === content) await rm(path, { force: true });
      },
    };
  }
  const held = await readText(path);
  if (await removeIfStale(path)) return { kind: 'stale' };
  return { kind: 'held', pid: parseHolder(held ?? '')?.pid ?? 0 };
}

/** Names this process, and this one taking of a lock. */
export const holderText = async (): Promise<string> =>
  JSON.stringify({ pid: process.pid, startedAt: await startTime(process.pid), nonce: randomBytes(8).toString('hex') });

/** Whether the process that such a text names is still there. */
export const isHolderAlive = (text: string): Promise<boolean> => isAlive(parseHolder(text));

/** A link appears with its content: nobody ever reads a half-written holder. */
async function createExclusive(path: string, content: string): Promise<boolean> {
  const own = join(dirname(path), `.${randomBytes(8).toString('hex')}.tmp`);
  await writeFile(own, content, { flag: 'wx', mode: 0o600 });
  try {
    await link(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(own, { force: true });
  }
}

async function removeIfStale(path: string): Promise<boolean> {
  const text = await readText(path);
  if (text === null) return true;
  if (await isAlive(parseHolder(text))) return false;
  // Moved aside and looked at again: what another waiter has just made in its place is put back.
  const aside = `${path}.${randomBytes(8).toString('hex')}.stale`;
  try {
    await rename(path, aside);
  } catch {
    return true;
  }
  if ((await readText(aside)) !== text) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
  return true;
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return null;
  }
}

function parseHolder(text: string): Holder | null {
  try {
    const value = JSON.parse(text) as Partial<Holder>;
    return typeof value.pid === 'number' && Number.isInteger(value.pid) && value.pid > 1 ? { pid: value.pid, startedAt: value.startedAt ?? null } : null;
  } catch {
    return null;
  }
}

async function isAlive(holder: Holder | null): Promise<boolean> {
  if (holder === null) return false;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const started = await startTime(holder.pid);
  return started === null || holder.startedAt === null || started === holder.startedAt;
}

/** Linux: ticks since boot (field 22 of `stat`, counted after the name, which may hold spaces); elsewhere what `ps` prints. */
async function startTime(pid: number): Promise<string | null> {
  try {
    if (process.platform === 'linux') {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
    }
    const { stdout } = await promisify(execFile)('/bin/ps', ['-o', 'lstart=', '-p', String(pid)]);
    return stdout.trim() || null;
  } catch {
    return null;
  }
}
