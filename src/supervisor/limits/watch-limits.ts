import type { OverLimit } from '../process-spec.ts';
import type { GroupUsage } from './group-usage.ts';
import type { ProcessLimits } from './process-limits.ts';

export interface LimitWatch extends Disposable {
  /** Whether the last look could be taken: where the system tells nothing, nothing is watched. */
  readonly active: boolean;
  readonly limits: ProcessLimits;
  /** Bytes beside those of the limit, such as of adapters that were loaded later. */
  grantMemory(bytes: number): void;
  /** Counts what was written. */
  wrote(bytes: number): void;
}

export interface WatchOptions {
  readonly limits: ProcessLimits;
  /** Called once. */
  readonly onOver: (over: OverLimit) => void;
  readonly usage: () => GroupUsage | null;
  readonly now?: () => number;
  readonly intervalMs?: number;
  readonly firstIntervalMs?: number;
}

/** A process grows fastest while it loads: it is looked at this often at first (docs/spec/security.md §8). */
const FIRST_INTERVAL_MS = 50;
const INTERVAL_MS = 250;
const FIRST_FOR_MS = 30_000;

/** The second layer of limits: what the whole group of a process takes is looked at again and again. */
export function watchLimits(options: WatchOptions): LimitWatch {
  const { limits, usage, onOver, now = () => performance.now(), intervalMs = INTERVAL_MS, firstIntervalMs = FIRST_INTERVAL_MS } = options;
  const since = now();
  let [granted, written, active, ended] = [0, 0, false, false];

  function judge(): OverLimit | null {
    const { memoryBytes, threads, cpuMs, wallMs, outputBytes } = limits;
    if (outputBytes !== undefined && written > outputBytes) return { reason: 'output', limit: outputBytes, value: written };
    const wall = now() - since;
    if (wallMs !== undefined && wall > wallMs) return { reason: 'wall', limit: wallMs, value: Math.round(wall) };
    const used = usage();
    active = used !== null;
    if (used === null) return null;
    if (used.residentBytes > memoryBytes + granted) return { reason: 'oom', limit: memoryBytes + granted, value: used.residentBytes };
    if (cpuMs !== undefined && used.cpuMs > cpuMs) return { reason: 'cpu', limit: cpuMs, value: used.cpuMs };
    return used.threads > threads ? { reason: 'threads', limit: threads, value: used.threads } : null;
  }

  function look(): void {
    if (ended) return;
    const over = judge();
    ended = over !== null;
    if (over !== null) onOver(over);
    else timer = setTimeout(look, now() - since < FIRST_FOR_MS ? firstIntervalMs : intervalMs).unref();
  }
  let timer = setTimeout(look, firstIntervalMs).unref();

  return {
    get active() {
      return active;
    },
    limits,
    grantMemory(bytes) {
      granted = Math.max(0, bytes);
    },
    wrote(bytes) {
      written += bytes;
    },
    [Symbol.dispose]() {
      ended = true;
      clearTimeout(timer);
    },
  };
}
