import type { ProcessSpec } from '../process-spec.ts';

/** What one process with all that it starts may take; the first that is crossed ends it. */
export interface ProcessLimits {
  /** Resident memory. */
  readonly memoryBytes: number;
  readonly threads: number;
  /** Of the processor, over its life; absent: as much as it needs. */
  readonly cpuMs?: number;
  /** Of its life; absent: as long as it is wanted. */
  readonly wallMs?: number;
  /** Written to standard output and standard error together. */
  readonly outputBytes?: number;
}

/** Estimates are right to 15 %: what goes this far over its own is not badly estimated, but running away. */
const MEMORY_FACTOR = 1.5;
/** For small models, whose garbage is larger than themselves. */
const MEMORY_ROOM_BYTES = 1024 ** 3;
/** Node and Python have threads beside those that compute. */
const THREAD_ROOM = 64;

export const limitsOf = ({ memoryBytes, threads, limits }: ProcessSpec): ProcessLimits => ({
  memoryBytes: Math.ceil(memoryBytes * MEMORY_FACTOR) + MEMORY_ROOM_BYTES,
  threads: threads + THREAD_ROOM,
  ...limits,
});
