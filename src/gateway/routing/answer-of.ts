import type { GenerateEvent } from '../../contract/index.ts';
import { HearthError, toHearthError } from '../../core/index.ts';
import type { Answer, Attempt } from '../answer.ts';
import type { UpstreamAnswer, UpstreamUsage } from '../upstream.ts';

export interface AnswerFacts {
  readonly attempts: readonly Attempt[];
  /** When the attempt began, and when its request was sent: between them it waited for a place. */
  readonly arrivedAt: number;
  readonly sentAt: number;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  /** What was asked and could not be said to this upstream. */
  readonly dropped: readonly string[];
  /** The answer broke off after its commit point. */
  readonly onFault: () => void;
  /** Once, whatever happened: what it used, and whether it came to its end. */
  readonly onEnd: (usage: UpstreamUsage | null, complete: boolean) => void;
}

/** An upstream's answer as every other answer of the gateway. */
export function answerOf(given: UpstreamAnswer, facts: AnswerFacts): Answer {
  let lastAt = facts.nowMs();
  let open = true;
  const finish = (complete: boolean) => {
    if (!open) return;
    open = false;
    facts.signal.removeEventListener('abort', gone);
    facts.onEnd(given.usage(), complete);
  };
  // Also when nobody reads it any more.
  const gone = () => finish(false);
  facts.signal.addEventListener('abort', gone, { once: true });

  async function* events(source: AsyncIterable<GenerateEvent>): AsyncGenerator<GenerateEvent, void> {
    let complete = false;
    try {
      for await (const event of source) {
        lastAt = facts.nowMs();
        if (event.kind === 'error') facts.onFault();
        // Before the reader has seen the end: who waits for it finds the cost booked.
        if (event.kind === 'end') {
          complete = true;
          finish(true);
        }
        yield event;
      }
    } finally {
      finish(complete);
    }
  }

  const ended = Promise.withResolvers<unknown>();

  /** Counts and end of an answer whose bytes went out: they come behind those. */
  async function* closing(): AsyncGenerator<GenerateEvent, void> {
    const error = await ended.promise;
    if (error !== null) {
      const { code, message } = toHearthError(error);
      yield { kind: 'error', code, message };
      return;
    }
    const usage = given.usage();
    if (usage !== null) {
      const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = usage;
      yield { kind: 'usage', promptTokens, cachedTokens, completionTokens, reasoningTokens };
    }
    yield { kind: 'end' };
  }

  async function* bytes(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    let complete = false;
    try {
      for await (const piece of source) {
        lastAt = facts.nowMs();
        yield piece;
      }
      complete = true;
      ended.resolve(null);
    } catch (error) {
      if (!facts.signal.aborted) facts.onFault();
      ended.resolve(error);
      throw error;
    } finally {
      finish(complete);
      if (!complete) ended.resolve(new HearthError('cancelled', 'The answer was left before its end.'));
    }
  }

  const common = {
    source: given.source,
    attempts: facts.attempts,
    headers: given.headers,
    usage: () => given.usage(),
    timings: () => ({
      loadMs: 0,
      queueMs: facts.sentAt - facts.arrivedAt,
      prefillMs: given.firstTokenMs,
      decodeMs: Math.max(0, lastAt - facts.sentAt - given.firstTokenMs),
      firstTokenMs: facts.sentAt - facts.arrivedAt + given.firstTokenMs,
    }),
  };
  if (given.kind === 'events') {
    const { dropped } = facts;
    const told = dropped.length === 0 ? common : { ...common, headers: { ...given.headers, 'x-hearth-dropped': dropped.join(',') } };
    return { ...told, events: events(given.events) };
  }
  const { status, contentType, body } = given;
  return { ...common, events: closing(), bytes: { status, contentType, body: bytes(body) } };
}
