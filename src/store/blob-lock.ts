import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HearthError, makePrivateDirectory } from '../core/index.ts';
import { holderText, isHolderAlive } from './store-lock.ts';

/**
 * The lock that tools of the shared cache take while they write a blob: flock(2) on `.locks/<repository>/<blob>.lock` (docs/spec/store.md §6).
 * Where it cannot be taken (no `flock` program, a network disk without locks) the work goes on: partial files have names of
 * our own and get the blob's name only after their digest was checked, so that two writers cost bytes and never the content.
 */
export interface BlobLock extends AsyncDisposable {
  /** Another process held it when it was asked for. */
  readonly waited: boolean;
}

const POLL_MS = 200;
/** macOS: lock in the same step as opening. */
const O_EXLOCK = 0x20;
const FLOCK_PROGRAMS = ['/usr/bin/flock', '/bin/flock'];

/** Waits until the lock is free, or until the signal fires; the file is removed with the lock. */
export async function acquireBlobLock(
  path: string,
  context: { readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>; readonly signal: AbortSignal; readonly onWait?: () => void },
): Promise<BlobLock> {
  let waited = false;
  for (;;) {
    context.signal.throwIfAborted();
    const handle = await tryLock(path);
    if (handle === 'again') continue;
    if (handle !== 'held') {
      return {
        waited,
        [Symbol.asyncDispose]: async () => {
          if (await isNamed(handle, path)) await rm(path, { force: true });
          await handle.close();
        },
      };
    }
    if (!waited) context.onWait?.();
    waited = true;
    await context.sleep(POLL_MS, context.signal);
  }
}

async function tryLock(path: string): Promise<FileHandle | 'held' | 'again'> {
  const handle = await openLockFile(path);
  if (handle === 'held') return handle;
  try {
    const outcome = process.platform === 'darwin' ? 'locked' : await flock(handle.fd);
    if (outcome === 'held') {
      await handle.close();
      return 'held';
    }
    // Who held it before may have removed the file since it was opened: a lock without a name guards nothing.
    if (!(await isNamed(handle, path))) {
      await handle.close();
      return 'again';
    }
    await handle.truncate(0);
    await handle.write(await holderText(), 0);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function isNamed(handle: FileHandle, path: string): Promise<boolean> {
  const [own, named] = await Promise.all([handle.stat(), stat(path).catch(() => null)]);
  return named !== null && named.ino === own.ino && named.dev === own.dev;
}

async function openLockFile(path: string): Promise<FileHandle | 'held'> {
  await makePrivateDirectory(dirname(path));
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const planted = () => new HearthError('unsafe_path', `${path} is no lock file of hearth (a link, a directory or another name of a file); remove it.`);
  let handle: FileHandle;
  try {
    handle = await open(path, process.platform === 'darwin' ? flags | O_EXLOCK : flags, 0o600);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['EAGAIN', 'EWOULDBLOCK'].includes(code)) return 'held';
    throw ['ELOOP', 'EMLINK', 'EISDIR'].includes(code) ? planted() : error;
  }
  // It is going to be emptied: what has a second name is the file of somebody else.
  const facts = await handle.stat();
  if (facts.isFile() && facts.nlink <= 1) return handle;
  await handle.close();
  throw planted();
}

/** The program locks the open file that it inherits, and that is ours too: the lock stays when the program has ended. */
async function flock(fd: number): Promise<'locked' | 'held' | 'unknown'> {
  for (const program of FLOCK_PROGRAMS) {
    const exitCode = await new Promise<number | null>((resolve) => {
      const child = spawn(program, ['-n', '-x', '3'], { stdio: ['ignore', 'ignore', 'ignore', fd], env: {} });
      child.on('error', () => resolve(null));
      child.on('close', resolve);
    });
    if (exitCode === null) continue;
    return exitCode === 0 ? 'locked' : exitCode === 1 ? 'held' : 'unknown';
  }
  return 'unknown';
}

export type LockFileState = 'held' | 'left' | 'free';

/**
 * What a lock file of the cache means: `held` by a living process, `free` when a hearth process that is gone left it,
 * `left` for an empty file that nobody locks: most tools leave theirs behind.
 */
export async function lockFileState(path: string): Promise<LockFileState> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK | (process.platform === 'darwin' ? O_EXLOCK : 0));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'free' : 'held';
  }
  try {
    if (process.platform !== 'darwin' && (await flock(handle.fd)) === 'held') return 'held';
    const text = (await handle.readFile('utf8')).slice(0, 1000);
    if (!text.startsWith('{"pid"')) return 'left';
    return (await isHolderAlive(text)) ? 'held' : 'free';
  } finally {
    await handle.close();
  }
}
