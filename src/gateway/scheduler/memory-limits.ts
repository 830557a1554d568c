import { HearthError } from '../../core/index.ts';
import type { ModelState, Waiting } from './scheduler-types.ts';

/** Nothing is allocated past this share of the memory budget (docs/spec/serving.md §4 item 4). */
export const GUARD_SHARE = 0.95;
/** Shares of the budget at which the pressure is soft and hard (§5.2). */
export const SOFT_SHARE = 0.85;
export const HARD_SHARE = 0.95;

export const guardBytes = (memoryBudgetBytes: number): number => Math.floor(memoryBudgetBytes * GUARD_SHARE);

/** Who is turned away while memory is at its end: the newer half of those who wait, over all models. */
export function newestWaiting(models: Iterable<Readonly<ModelState>>): readonly { readonly model: string; readonly waiting: Waiting }[] {
  const all = [...models].flatMap(({ key, queue }) => queue.map((waiting) => ({ model: key, waiting })));
  all.sort((a, b) => b.waiting.sinceMs - a.waiting.sinceMs || b.waiting.waiter - a.waiting.waiter);
  return all.slice(0, Math.ceil(all.length / 2));
}

export const memoryError = (message: string, retryAfterS = 10): HearthError => new HearthError('memory_budget', message, { details: { retryAfterS } });

/** It waited for memory that others hold, or for its turn. */
export function waitedTooLong({ lacksMemory, phase }: ModelState, queueWaitMs: number): HearthError {
  const seconds = queueWaitMs / 1000;
  if (lacksMemory && phase !== 'ready')
    return memoryError(`The request waited ${seconds} seconds, and other models still hold the memory that its model needs.`);
  return new HearthError('queue_timeout', `The request waited ${seconds} seconds for its turn.`, { details: { retryAfterS: 10 } });
}

export const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
