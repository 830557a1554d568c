import { MEMORY_LEVELS, type MemoryLevel } from '../../contract/index.ts';
import { HARD_SHARE, SOFT_SHARE } from '../scheduler/memory-limits.ts';

/** What the machine says about its memory. */
export interface MemorySample {
  /** Resident memory of the engine processes that were asked about, each by its pid. */
  readonly usedBytes: ReadonlyMap<number, number>;
  /** What the operating system signals by itself. */
  readonly level: MemoryLevel;
  /** Of that signal, for people; empty while there is none. */
  readonly reason: string;
}

export interface MemorySource {
  sample(pids: readonly number[]): Promise<MemorySample>;
}

export interface MemoryWatchOptions {
  readonly source: MemorySource;
  readonly budgetBytes: number;
  readonly sampleMs: number;
  readonly pids: () => readonly number[];
  /** Drops what only saves time: settles when it is gone. */
  readonly dropCaches: () => Promise<void>;
  /** Called at each change, and again with each sample while memory is scarce. */
  readonly onLevel: (level: MemoryLevel, usedBytes: number, reason: string) => void;
}

export interface MemoryWatch extends Disposable {
  readonly usedBytes: number;
  readonly level: MemoryLevel;
  bytesOf(pid: number): number | null;
  /** Takes a sample now, such as after an unload. */
  check(): Promise<void>;
}

/** While memory stays scarce, caches that have filled again are dropped again. */
const DROP_AGAIN_MS = 10_000;

/**
 * Samples the memory of the engines and acts in the order of docs/spec/serving.md §5.2: caches are dropped before anything else, then the
 * level is told, which stops loads, and in the end admissions.
 */
export function createMemoryWatch(options: MemoryWatchOptions): MemoryWatch {
  const { source, budgetBytes } = options;
  let level: MemoryLevel = 'normal';
  let used: ReadonlyMap<number, number> = new Map();
  let droppedAt: number | null = null;
  let checking: Promise<void> | null = null;
  let disposed = false;
  const timer = setInterval(() => void check(), options.sampleMs).unref();
  const total = () => [...used.values()].reduce((sum, bytes) => sum + bytes, 0);

  async function measure(): Promise<{ level: MemoryLevel; reason: string }> {
    const sample = await source.sample(options.pids());
    used = sample.usedBytes;
    const own = levelOf(total(), budgetBytes);
    return own === 'normal' || isWorse(sample.level, own)
      ? sample
      : { level: own, reason: `engines take ${Math.round((100 * total()) / budgetBytes)} % of the memory budget` };
  }

  async function run(): Promise<void> {
    let now = await measure();
    if (now.level !== 'normal' && (droppedAt === null || performance.now() - droppedAt > DROP_AGAIN_MS)) {
      tell('soft', now.reason);
      droppedAt = performance.now();
      await options.dropCaches();
      now = await measure();
    }
    if (now.level === 'normal') droppedAt = null;
    tell(now.level, now.reason);
  }

  function tell(next: MemoryLevel, reason: string): void {
    if (disposed || (next === 'normal' && level === 'normal')) return;
    level = next;
    options.onLevel(next, total(), reason);
  }

  async function check(): Promise<void> {
    checking ??= run()
      .catch(() => {})
      .finally(() => {
        checking = null;
      });
    await checking;
  }

  return {
    get usedBytes() {
      return total();
    },
    get level() {
      return level;
    },
    bytesOf: (pid) => used.get(pid) ?? null,
    check,
    [Symbol.dispose]() {
      disposed = true;
      clearInterval(timer);
    },
  };
}

export const levelOf = (usedBytes: number, budgetBytes: number): MemoryLevel =>
  usedBytes >= budgetBytes * HARD_SHARE ? 'hard' : usedBytes >= budgetBytes * SOFT_SHARE ? 'soft' : 'normal';

const isWorse = (a: MemoryLevel, b: MemoryLevel): boolean => MEMORY_LEVELS.indexOf(a) > MEMORY_LEVELS.indexOf(b);
