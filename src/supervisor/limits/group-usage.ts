import { readdirSync, readFileSync } from 'node:fs';

/** What a process and all its descendants take together. */
export interface GroupUsage {
  readonly residentBytes: number;
  readonly cpuMs: number;
  readonly threads: number;
  /** Process numbers, the first one first. */
  readonly pids: readonly number[];
}

const PAGE_BYTES = 4096;
/** Units of the times in /proc/PID/stat: the kernel tells user space 100 a second on every processor. */
const MS_PER_TICK = 10;
const MOST_PROCESSES = 4096;

/** null where the process is gone or the system tells nothing (no /proc). Fields: man 5 proc, /proc/PID/stat. */
export function groupUsage(root: number): GroupUsage | null {
  let [residentBytes, cpuMs, threads] = [0, 0, 0];
  const pids: number[] = [];
  for (const waiting = [root]; waiting.length > 0 && pids.length < MOST_PROCESSES; ) {
    const pid = waiting.shift()!;
    const fields = statOf(pid);
    if (fields === null) continue;
    pids.push(pid);
    // From field 3 (state) on: utime 14, stime 15, num_threads 20, rss 24.
    cpuMs += (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
    threads += Number(fields[17]);
    residentBytes += Number(fields[21]) * PAGE_BYTES;
    waiting.push(...childrenOf(pid));
  }
  return pids[0] === root ? { residentBytes, cpuMs, threads, pids } : null;
}

function statOf(pid: number): readonly string[] | null {
  try {
    // The name in brackets may hold anything, also brackets and blanks.
    return readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
  } catch {
    return null;
  }
}

/** A child belongs to the thread that forked it. */
export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
      try {
        return readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean).map(Number);
      } catch {
        return []; // the thread has ended
      }
    });
  } catch {
    return [];
  }
}

/** The program inside wrappers of that name, as the machine numbers it; the process itself while it has none. */
export function innermost(pid: number, isWrapper: (name: string) => boolean): { readonly pid: number; readonly found: boolean } {
  let current = pid;
  for (let depth = 0; depth < 8; depth += 1) {
    const name = nameOf(current);
    if (name === null) return { pid, found: false };
    if (!isWrapper(name)) return { pid: current, found: true };
    const [child] = childrenOf(current);
    if (child === undefined) return { pid, found: false };
    current = child;
  }
  return { pid, found: false };
}

function nameOf(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return null;
  }
}
