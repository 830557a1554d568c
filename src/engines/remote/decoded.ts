import type { GenerateEvent } from '../../contract/index.ts';
import type { UpstreamUsage } from './call.ts';

/** One event of an upstream, read. */
export interface Decoded {
  readonly events: readonly GenerateEvent[];
  /** `terminator`: nothing follows; `surplus`: to be left out (docs/spec/serving.md §6.4 F13); `rewritten`: in part. */
  readonly kind: 'data' | 'terminator' | 'surplus' | 'rewritten';
  /** The event's data without what is surplus. */
  readonly data?: string;
}

/** Reads the events of one answer in their order. Throws UpstreamFault for what no answer may hold. */
export interface AnswerDecoder {
  /** `data` of one event, with its name. */
  push(name: string | null, data: string): Decoded;
  /** The whole answer as one JSON value. */
  whole(value: unknown): readonly GenerateEvent[];
  /** After the last event. Answers what is still to be said: counts and end. Throws where the answer is not whole. */
  finish(): readonly GenerateEvent[];
  /** What a stream that lacks its terminator is ended with. */
  readonly terminator: string;
  readonly terminated: boolean;
  /** What the upstream calls its model. */
  readonly model: string | null;
  usage(): UpstreamUsage | null;
}

/** Tokens of a text, guessed from its length. */
export const guessTokens = (chars: number): number => Math.ceil(chars / 4);

/** Events that a client sees: from the first one on nothing may be replayed (docs/spec/serving.md §6.3). */
export const isContent = (event: GenerateEvent): boolean =>
  event.kind === 'text-delta' || event.kind === 'reasoning-delta' ? event.text !== '' : event.kind.startsWith('tool-') || event.kind === 'finish';
