import { openFileLock } from '../../core/index.ts';

export interface DaemonLock {
  release(): void;
}

/** Takes the lock of a home for as long as this process lives; null when another process holds it. */
export function takeDaemonLock(path: string): DaemonLock | null {
  const lock = openFileLock(path);
  const taken = lock.take();
  if (!taken) lock.close();
  return taken ? { release: () => lock.close() } : null;
}
