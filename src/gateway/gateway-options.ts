import { totalmem } from 'node:os';
import { type Clock, type EventSink, type Logger, silentLogger, systemClock } from '../core/index.ts';
import type { Engine } from '../engines/index.ts';
import type { ModelTrust } from '../security/index.ts';
import type { Supervisor } from '../supervisor/index.ts';
import type { MemorySource } from './memory/memory-watch.ts';
import type { ModelSource } from './model-source.ts';
import type { RoutingOptions } from './routing/create-routing.ts';

export interface GatewayOptions {
  readonly models: ModelSource;
  /** In order of preference. */
  readonly engines: readonly Engine[];
  /** Engine of all models whose load names none; null or absent: chosen by the rules of docs/spec/engines.md §5. */
  readonly defaultEngine?: string | null;
  readonly supervisor: Supervisor;
  /** Judges the files of every model before an engine sees them; absent: nothing is judged. */
  readonly trust?: ModelTrust;
  /** Options of each engine by its id; checked by the engine's own schema before a spawn. */
  readonly engineOptions?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Tokens of the cache pool; null = what the engine chooses for the model. */
  readonly contextTokens?: number | null;
  readonly parallelSequences?: number | null;
  /** null = never unload by time. */
  readonly ttlSeconds?: number | null;
  /** New tokens where a request gives none; null = half the context. */
  readonly maxTokens?: number | null;
  readonly sampling?: { readonly temperature?: number; readonly topP?: number; readonly repetitionPenalty?: number };
  readonly queueLimit?: number;
  /** Waiting requests of one API key. */
  readonly ownerQueueLimit?: number;
  readonly queueWaitMs?: number;
  readonly fairnessMs?: number;
  readonly requestMs?: number;
  readonly progressTimeoutMs?: number;
  readonly drainTimeoutMs?: number;
  /** Bytes for all loaded models together; 90 % of the memory that this process may use. */
  readonly memoryBudgetBytes?: number;
  readonly restartDelayMs?: number;
  readonly crashLimit?: number;
  readonly crashWindowMs?: number;
  readonly breakerMs?: number;
  /** Upstreams, routes, aliases and what clouds may cost; absent: models of this machine alone. */
  readonly routing?: RoutingOptions;
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** Hears of loads, unloads, crashes and memory; absent: nobody. */
  readonly events?: EventSink;
  /** Measures the children and asks the operating system; absent: nothing is measured, and memory is what loads are charged with. */
  readonly memory?: MemorySource;
  readonly memorySampleMs?: number;
}

/** Defaults of docs/spec/serving.md and docs/spec/stack.md §2. */
export const withDefaults = (options: GatewayOptions) => ({
  ...options,
  engineOptions: options.engineOptions ?? {},
  contextTokens: options.contextTokens ?? null,
  parallelSequences: options.parallelSequences ?? null,
  ttlSeconds: options.ttlSeconds === undefined ? 300 : options.ttlSeconds,
  maxTokens: options.maxTokens ?? null,
  sampling: { temperature: 0.7, topP: 0.9, repetitionPenalty: 1, ...options.sampling },
  queueLimit: options.queueLimit ?? 512,
  ownerQueueLimit: options.ownerQueueLimit ?? 64,
  queueWaitMs: options.queueWaitMs ?? 60_000,
  fairnessMs: options.fairnessMs ?? 10_000,
  requestMs: options.requestMs ?? 600_000,
  progressTimeoutMs: options.progressTimeoutMs ?? 30_000,
  drainTimeoutMs: options.drainTimeoutMs ?? 30_000,
  memoryBudgetBytes: options.memoryBudgetBytes ?? Math.floor(0.9 * Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem())),
  restartDelayMs: options.restartDelayMs ?? 1000,
  restartDelayCapMs: 300_000,
  crashLimit: options.crashLimit ?? 3,
  crashWindowMs: options.crashWindowMs ?? 600_000,
  stableAfterMs: 300_000,
  breakerMs: options.breakerMs ?? 300_000,
  breakerCapMs: 3_600_000,
  clock: options.clock ?? systemClock,
  logger: options.logger ?? silentLogger,
  events: options.events ?? { emit() {} },
  memorySampleMs: options.memorySampleMs ?? 1000,
});
export type GatewaySettings = ReturnType<typeof withDefaults>;
