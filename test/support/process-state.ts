import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Whether the process runs; one that only waits to be reaped by its new parent does not. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    if (process.platform !== 'linux') return true;
    return !readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .startsWith('Z');
  } catch {
    return false;
  }
}

/** Waits for the end of a process; false when it still runs after that time. */
export async function hasEnded(pid: number, withinMs = 10_000): Promise<boolean> {
  const until = performance.now() + withinMs;
  while (isRunning(pid) && performance.now() < until) await sleep(50);
  return !isRunning(pid);
}
