import type { Frame } from '../gateway/index.ts';
import type { Caller } from '../security/index.ts';
import type { CallContext } from './bind.ts';
import { errorBody, publicError } from './errors.ts';
import type { Services } from './services.ts';

export interface SseOptions {
  readonly requestId: string;
  readonly caller: Caller;
  /** Comments keep the connection alive in this interval once headers are out. */
  readonly heartbeatMs: number;
  /** Headers wait this long for the first event, so that an early failure is a real HTTP status. */
  readonly headerHoldMs: number;
  /** A reader that takes nothing for this long while the buffer is full is cut off. */
  readonly slowClientTimeoutMs: number;
  /** Aborts the source: the client is gone. */
  readonly onGone: () => void;
  /** Ends the connection at once. */
  readonly cut: () => void;
  /** How the stream ended: `ok`, `client_cancel`, `slow_client` or the code of the error in it. The first call counts. */
  readonly onEnd: (outcome: string) => void;
  readonly headers?: Readonly<Record<string, string>>;
}

const HEADERS = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' };
/** Bytes that may wait for a slow reader before the source is no longer pulled. */
const BUFFER_BYTES = 256 * 1024;

/**
 * The one writer of server-sent events. Throws what the source throws before headers are out; later failures become one
 * `data: {"error":…}` without [DONE] (docs/spec/serving.md §2.1 items 7 to 9, 12).
 */
export async function sseResponse<T>(frames: AsyncGenerator<Frame<T>, void>, options: SseOptions): Promise<Response> {
  const source = dataFrames(frames);
  const first = source.next();
  const held = await raceTimeout(first, options.headerHoldMs);
  if (held.kind === 'thrown') throw held.error;

  const encoder = new TextEncoder();
  let pending: Promise<IteratorResult<T, void>> | null = first;
  let closed = false;
  let slow: NodeJS.Timeout | undefined;
  const cutSlow = () => {
    options.onEnd('slow_client');
    options.cut();
  };
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const write = (text: string) => {
          if (closed) return;
          controller.enqueue(encoder.encode(text));
          // Nobody pulls again until the reader has taken enough.
          if ((controller.desiredSize ?? 0) <= 0) slow = setTimeout(cutSlow, options.slowClientTimeoutMs).unref();
        };
        clearTimeout(slow);
        pending ??= source.next();
        const outcome = await raceTimeout(pending, options.heartbeatMs);
        if (closed) return;
        if (outcome.kind === 'timeout') return write(`: ${source.comment()}\n\n`);
        pending = null;
        if (outcome.kind === 'value' && !outcome.value.done) return write(`data: ${JSON.stringify(outcome.value.value)}\n\n`);
        const error = outcome.kind === 'thrown' ? publicError(outcome.error, options.caller) : null;
        write(error ? `data: ${JSON.stringify(errorBody(error, options.requestId))}\n\n` : 'data: [DONE]\n\n');
        options.onEnd(error?.code ?? 'ok');
        closed = true;
        clearTimeout(slow);
        controller.close();
      },
      cancel() {
        closed = true;
        clearTimeout(slow);
        options.onEnd('client_cancel');
        options.onGone();
        void frames.return().catch(() => {});
      },
    },
    { highWaterMark: BUFFER_BYTES, size: (chunk) => chunk.byteLength },
  );
  return new Response(body, { status: 200, headers: { ...HEADERS, ...options.headers } });
}

type Outcome<T> = { readonly kind: 'value'; readonly value: T } | { readonly kind: 'thrown'; readonly error: unknown } | { readonly kind: 'timeout' };

async function raceTimeout<T>(promise: Promise<T>, ms: number): Promise<Outcome<T>> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<Outcome<T>>((resolve) => {
    timer = setTimeout(resolve, ms, { kind: 'timeout' });
  });
  const settled = promise.then(
    (value): Outcome<T> => ({ kind: 'value', value }),
    (error: unknown): Outcome<T> => ({ kind: 'thrown', error }),
  );
  try {
    return await Promise.race([settled, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Data alone; the newest comment is kept for the next heartbeat. */
function dataFrames<T>(frames: AsyncGenerator<Frame<T>, void>): { next(): Promise<IteratorResult<T, void>>; comment(): string } {
  let comment = 'keep-alive';
  return {
    comment: () => comment,
    async next() {
      for (;;) {
        const { done, value } = await frames.next();
        if (done) return { done: true, value: undefined };
        if (value.kind === 'data') return { done: false, value: value.data };
        comment = value.text.replaceAll(/[\r\n]/g, ' ');
      }
    },
  };
}

/** Options of a stream that answers this call. */
export function streamOptions(services: Services, context: CallContext, gone: AbortController, headers: Readonly<Record<string, string>> = {}): SseOptions {
  const { promise, resolve } = Promise.withResolvers<string>();
  context.note.stream = promise;
  return {
    requestId: context.requestId,
    caller: context.caller,
    heartbeatMs: services.heartbeatMs,
    headerHoldMs: services.headerHoldMs,
    slowClientTimeoutMs: services.slowClientTimeoutMs,
    onGone: () => gone.abort(),
    cut: context.cut,
    onEnd: resolve,
    headers,
  };
}
