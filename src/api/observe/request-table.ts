import type { AnswerObservation } from '../../contract/index.ts';
import type { TraceContext } from '../../core/index.ts';

/** Where a request is: being read and checked, waiting for a place, in its prompt, in its answer. */
export type RequestPhase = 'checking' | 'waiting' | 'prefill' | 'answering';

/** A request that is not over; only its own middleware and the watcher of its answers write to it. */
export interface LiveRequest {
  readonly id: string;
  readonly clientRequestId: string | null;
  readonly method: string;
  readonly path: string;
  readonly trace: TraceContext;
  readonly startedAtMs: number;
  /** Of the clock that never goes back. */
  readonly arrivedAt: number;
  keyId: string;
  /** Of a TCP client. */
  readonly remoteAddress: string | null;
  readonly origin: string | null;
  /** What its key may not do. */
  refusedScope: string | null;
  route: string;
  scope: string;
  phase: RequestPhase;
  streaming: boolean;
  model: string | null;
  upstream: string | null;
  /** Pieces of the answer so far. */
  pieces: number;
  /** Of the error that it was answered with. */
  code: string | null;
  readonly answers: AnswerObservation[];
  /** Answers whose events are read; each settles with its observation. */
  readonly open: Promise<void>[];
}

/** Every request that this process answers at the moment, by its id. */
export type RequestTable = Map<string, LiveRequest>;

/** The request that an answer belongs to: one of several prompts has a number behind the id. */
export const findRequest = (table: RequestTable, id: string): LiveRequest | undefined => table.get(id) ?? table.get(id.replace(/\.\d+$/, ''));
