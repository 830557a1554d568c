import type { MemoryLevel, UnloadReason } from '../../contract/index.ts';
import type { HearthError } from '../../core/index.ts';

/** What the scheduler may cause. Every answer comes back as an event; nothing is awaited (docs/spec/serving.md §5.1). */
export interface Effects {
  /** Answered by `loaded` or `load-failed`. */
  startLoad(model: string): void;
  /** Answered by `stopped`; `force` ends running requests. */
  stopModel(model: string, force: boolean, reason: UnloadReason): void;
  /** Hands the model to a waiter; false when the waiter is already gone. */
  grant(waiter: number): boolean;
  reject(waiter: number, error: HearthError): void;
  /** Replaces a timer of the same key; answered by `timer`. */
  setTimer(key: string, delayMs: number): void;
  clearTimer(key: string): void;
}

/** `batch` waits while others do. */
export type Priority = 'interactive' | 'batch';

/** A patient request has no longest wait: who orders a load waits as long as it takes. */
export type SchedulerEvent =
  | {
      readonly kind: 'request';
      readonly waiter: number;
      readonly model: string;
      readonly sequences: number;
      readonly patient?: boolean;
      /** Whose request it is; absent: the owner's. */
      readonly owner?: string;
      /** Absent: interactive. */
      readonly priority?: Priority;
    }
  | { readonly kind: 'waiter-gone'; readonly waiter: number }
  | { readonly kind: 'released'; readonly waiter: number }
  | { readonly kind: 'loaded'; readonly model: string; readonly parallelSequences: number; readonly bytes: number }
  /** A loaded model takes more memory, or less, than when it was loaded. */
  | { readonly kind: 'resized'; readonly model: string; readonly bytes: number }
  | { readonly kind: 'load-failed'; readonly model: string; readonly error: HearthError; readonly crashed: boolean }
  | { readonly kind: 'exited'; readonly model: string }
  | { readonly kind: 'stopped'; readonly model: string }
  | { readonly kind: 'unload'; readonly model: string; readonly force: boolean }
  | { readonly kind: 'timer'; readonly key: string }
  /** How scarce memory is; told again while it stays scarce. */
  | { readonly kind: 'memory'; readonly level: MemoryLevel }
  | { readonly kind: 'drain' };

export interface SchedulerOptions {
  /** Waiting requests over all models; one more is refused. */
  readonly queueLimit: number;
  /** Of these, the requests of one API key. */
  readonly ownerQueueLimit: number;
  readonly queueWaitMs: number;
  readonly fairnessMs: number;
  /** Bytes for all loaded models together. */
  readonly memoryBudgetBytes: number;
  readonly restartDelayMs: number;
  readonly restartDelayCapMs: number;
  readonly crashLimit: number;
  readonly crashWindowMs: number;
  /** Health for this long ends a crash loop. */
  readonly stableAfterMs: number;
  readonly breakerMs: number;
  readonly breakerCapMs: number;
}

/** What is known of a model before its first load. */
export interface ModelPlan {
  readonly estimateBytes: number;
  /** Unloaded this long after its last request; null = never. */
  readonly ttlMs: number | null;
  readonly pinned: boolean;
}

export interface Waiting {
  readonly waiter: number;
  readonly sequences: number;
  readonly sinceMs: number;
  readonly owner: string;
  readonly priority: Priority;
}

/** State of one model; only the scheduler writes it. */
export interface ModelState {
  readonly key: string;
  plan: ModelPlan;
  phase: 'unloaded' | 'loading' | 'ready' | 'unloading' | 'failed';
  bytes: number;
  capacity: number;
  /** In order of arrival. */
  queue: Waiting[];
  /** Owner → number of its last turn, while others wait. */
  readonly turns: Map<string, number>;
  /** When each running request was admitted. */
  readonly since: Map<number, number>;
  /** How long a request takes, a mean that forgets slowly. */
  meanServiceMs: number;
  readonly running: Map<number, number>;
  lastUsedMs: number;
  idleSinceMs: number | null;
  crashes: number[];
  failures: number;
  failure: HearthError | null;
  retryAtMs: number;
  breakerUntilMs: number;
  breakerTrips: number;
  readyAtMs: number | null;
  unloadWanted: boolean;
  /** It waits for memory, not for its turn. */
  lacksMemory: boolean;
}
