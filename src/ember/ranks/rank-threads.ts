import { Worker } from 'node:worker_threads';
import { programUrl } from '../../core/index.ts';

/** Compute threads that wait for their part of a model: a thread takes longer to start than a model to plan. */
export interface RankThreads {
  /** One of those that wait, or a new one. */
  take(): Worker;
}

export function createRankThreads(count: number): RankThreads {
  const waiting = Array.from({ length: count }, start);
  return { take: () => waiting.shift() ?? start() };
}

const start = (): Worker => new Worker(programUrl(import.meta.url, './rank-program'));
