import type { Frame } from '../gateway/index.ts';
import type { Caller } from '../security/index.ts';
import { publicError } from './errors.ts';
import type { SseDialect } from './sse-dialect.ts';
import { type Texts, TextsResponse } from './text-response.ts';

export interface SseOptions {
  readonly requestId: string;
  readonly caller: Caller;
  readonly dialect: SseDialect;
  /** Comments keep the connection alive in this interval once headers are out. */
  readonly heartbeatMs: number;
  /** Headers wait for it: who is still in a queue gets a real HTTP status when that fails. */
  readonly admitted: Promise<void>;
  /** Headers wait this long after it for the first event, for the same reason. */
  readonly headerHoldMs: number;
  /** A reader that does not bring a full buffer down to a quarter within this time is cut off. */
  readonly slowClientTimeoutMs: number;
  /** Aborts the source: the client is gone. */
  readonly onGone: () => void;
  /** Ends the connection at once. */
  readonly cut: () => void;
  /** How the stream ended: `ok`, `client_cancel`, `slow_client` or the code of the error in it. The first call counts. */
  readonly onEnd: (outcome: string) => void;
  /** What to say in a heartbeat while no event says more. */
  readonly comment: () => string | undefined;
  /** Who answers; null before that is known. Later than the headers, it goes out as a comment before the first event. */
  readonly answerHeaders: () => Readonly<Record<string, string>> | null;
}

/** What is to be written, in order; `return` ends it early. */
export type Frames<T> = Pick<AsyncGenerator<Frame<T>, void>, 'next' | 'return'>;

const HEADERS = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' };
/** Of events that go out in one write. */
const TOGETHER_CHARACTERS = 16 * 1024;

/**
 * The one writer of server-sent events. Throws what the source throws before headers are out; later failures become one
 * error event in place of the end (docs/spec/serving.md §2.1 items 7 to 9, 12).
 */
export async function sseResponse<T>(frames: Frames<T>, options: SseOptions): Promise<Response> {
  const { dialect } = options;
  const source = dataFrames(frames);
  const first = source.next();
  await Promise.race([options.admitted, first.catch(() => {})]);
  const held = await raceTimeout(first, options.headerHoldMs);
  if (held.kind === 'thrown') throw held.error;

  const told = options.answerHeaders();
  let begun = false;
  let raw = false;
  let pending: typeof first | null = first;
  let closed = false;
  const texts: Texts = {
    slowMs: options.slowClientTimeoutMs,
    onSlow() {
      options.onEnd('slow_client');
      options.cut();
    },
    async next() {
      if (closed) return null;
      pending ??= source.next();
      const outcome = await raceTimeout(pending, options.heartbeatMs);
      if (closed) return null;
      if (outcome.kind === 'timeout') return dialect.heartbeat(source.comment() ?? options.comment() ?? 'keep-alive', begun);
      // Events that are there already go out together: one write for what came in one piece.
      const turn = allSettled();
      let now: Outcome<IteratorResult<DataFrame<T>, void>> | null = outcome;
      let text = '';
      while (now?.kind === 'value' && !now.value.done) {
        const frame = now.value.value;
        raw = frame.kind === 'raw';
        text += (begun || told ? '' : lateHeaders(options.answerHeaders())) + (frame.kind === 'raw' ? frame.text : dialect.data(frame.data, frame.event));
        begun = true;
        pending = source.next();
        now = text.length < TOGETHER_CHARACTERS ? await Promise.race([outcomeOf(pending), turn]) : null;
        if (closed) return null;
      }
      if (now === null) return text;
      const error = now.kind === 'thrown' ? publicError(now.error, options.caller) : null;
      closed = true;
      options.onEnd(error?.code ?? 'ok');
      return text + (error ? dialect.error(error, options.requestId) : raw ? '' : dialect.end);
    },
    cancel() {
      closed = true;
      options.onEnd('client_cancel');
      options.onGone();
      void frames.return().catch(() => {});
    },
  };
  return new TextsResponse(texts, { headers: { ...HEADERS, ...told } });
}

const lateHeaders = (headers: Readonly<Record<string, string>> | null): string =>
  Object.entries(headers ?? {})
    .map(([name, value]) => `: ${name}: ${value}\n\n`)
    .join('');

type Outcome<T> = { readonly kind: 'value'; readonly value: T } | { readonly kind: 'thrown'; readonly error: unknown } | { readonly kind: 'timeout' };

const outcomeOf = <T>(promise: Promise<T>): Promise<Outcome<T>> =>
  promise.then(
    (value) => ({ kind: 'value', value }),
    (error: unknown) => ({ kind: 'thrown', error }),
  );

/** null once all promises that can settle by now have: a tick comes after them, and before the next event of any connection. */
const allSettled = (): Promise<null> => new Promise((resolve) => process.nextTick(resolve, null));

function raceTimeout<T>(promise: Promise<T>, ms: number): Promise<Outcome<T>> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms, { kind: 'timeout' });
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve({ kind: 'value', value });
      },
      (error: unknown) => {
        clearTimeout(timer);
        resolve({ kind: 'thrown', error });
      },
    );
  });
}

type DataFrame<T> = Extract<Frame<T>, { kind: 'data' | 'raw' }>;

/** Data alone; the newest comment is kept for the next heartbeat. */
function dataFrames<T>(frames: Frames<T>): { next(): Promise<IteratorResult<DataFrame<T>, void>>; comment(): string | undefined } {
  let comment: string | undefined;
  return {
    comment: () => comment,
    async next() {
      for (;;) {
        const { done, value } = await frames.next();
        if (done) return { done: true, value: undefined };
        if (value.kind !== 'comment') return { done: false, value };
        comment = value.text;
      }
    },
  };
}
