import type { MemoryLevel, ResidentModel } from '../contract/index.ts';
import type { LoadedModel } from './loaded-model.ts';
import type { ResolvedModel } from './model-source.ts';
import type { Resident, ResidentPlan } from './resident.ts';
import type { Priority } from './scheduler/scheduler-types.ts';

/** A place at a loaded model. */
export interface Lease {
  readonly loaded: LoadedModel;
  /** How long this request waited for the load, and besides that, in milliseconds. */
  readonly loadMs: number;
  readonly queueMs: number;
  release(): void;
}

export interface AcquireHow {
  /** Without a longest wait. */
  readonly patient?: boolean;
  /** Whose request it is: owners take turns. */
  readonly owner?: string | undefined;
  readonly priority?: 'interactive' | 'batch' | undefined;
}

/** `chargedBytes`: what loads were charged with or measured at; `usedBytes`: resident memory of the children, null where nobody measures. */
export interface MemoryState {
  readonly level: MemoryLevel;
  readonly budgetBytes: number;
  readonly chargedBytes: number;
  readonly usedBytes: number | null;
  bytesOf(pid: number): number | null;
}

/** One request that waits. */
export interface QueueRow {
  readonly model: string;
  readonly owner: string;
  readonly priority: Priority;
  readonly sequences: number;
  readonly waitedMs: number;
}

export interface RunLoop {
  /** The model as the loop knows it; made on first use. A plan replaces the one given before. */
  open(model: ResolvedModel, plan?: ResidentPlan): Promise<Resident>;
  find(key: string): Resident | undefined;
  residents(): Iterable<Resident>;
  byId(id: string): Resident | undefined;
  /** EnsureReady: loads if needed and waits for a place; rejects with the reason. `sequences` 0 takes no place; `patient` has no longest wait. */
  acquire(resident: Resident, sequences: number, signal: AbortSignal, how?: AcquireHow): Promise<Lease>;
  /** Settles when the model is unloaded; false when it was not loaded. */
  unload(resident: Resident, force: boolean): Promise<boolean>;
  describe(resident: Resident): ResidentModel;
  /** All models at one moment. */
  snapshot(): { readonly seq: number; readonly models: ResidentModel[] };
  running(): number;
  /** Drops evaluated prefixes, of one model or of all; answers the ids of those that had any. */
  clearCaches(reason: 'admin' | 'pressure', only?: Resident): Promise<string[]>;
  memory(): MemoryState;
  queue(): QueueRow[];
  /** Refuses new requests from now on, and those that wait. */
  drain(): void;
  /** Ends every child, whatever it does. */
  stopAll(): Promise<void>;
}
