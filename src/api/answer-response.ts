import type { Answer, AnswerCall, Frame } from '../gateway/index.ts';
import { answerHeaders } from './answer-headers.ts';
import type { CallContext } from './bind.ts';
import { hasBytes, rawFrames } from './passthrough.ts';
import type { Services } from './services.ts';
import { type Frames, sseResponse } from './sse.ts';
import type { SseDialect } from './sse-dialect.ts';

/** An answer as a stream of events: headers wait for its first content, heartbeats tell how far the prompt is. */
export async function streamedAnswer<T>(
  services: Services,
  context: CallContext,
  call: Pick<AnswerCall, 'name' | 'decode' | 'raw'>,
  dialect: SseDialect,
  encode: (answer: Answer) => AsyncGenerator<Frame<T>, void>,
): Promise<Response> {
  const { gateway } = context;
  const gone = new AbortController();
  const { signal } = gone;
  if (context.signal.aborted) gone.abort(context.signal.reason);
  else context.signal.addEventListener('abort', () => gone.abort(context.signal.reason), { once: true });
  const progress: { comment?: string } = {};
  const { promise: admitted, resolve: onAdmitted } = Promise.withResolvers<void>();
  const onProgress = (done: number, total: number) => {
    progress.comment = `prefill ${done}/${total}`;
  };
  async function open(): Promise<Frames<T>> {
    const answer = await gateway.answer({ ...call, stream: true, onAdmitted, onProgress, signal });
    context.note.answer = answer;
    return hasBytes(answer) ? rawFrames<T>(answer) : encode(answer);
  }
  return await streamedFrames(services, context, { frames: opened(open), gone, dialect, admitted, comment: () => progress.comment });
}

/** The frames of a source that is opened with the first look at it. One that nobody looks at is not opened. */
function opened<T>(open: () => Promise<Frames<T>>): Frames<T> {
  let source: Promise<Frames<T>> | null = null;
  let frames: Frames<T> | null = null;
  let left = false;
  return {
    next() {
      if (left) return Promise.resolve({ done: true, value: undefined });
      if (frames !== null) return frames.next();
      source ??= open().then((made) => {
        frames = made;
        return made;
      });
      return source.then((made) => made.next());
    },
    async return() {
      left = true;
      await (await source)?.return();
      return { done: true, value: undefined };
    },
  };
}

/** The same for frames of several answers; `context.note.answer` is set before the first one. */
export async function streamedFrames<T>(
  services: Services,
  context: CallContext,
  stream: {
    readonly frames: Frames<T>;
    /** Ends the answers when the client is gone. */
    readonly gone: AbortController;
    readonly dialect: SseDialect;
    /** Headers wait for it, however long it takes; absent: for nothing but the first event. */
    readonly admitted?: Promise<void>;
    readonly comment?: () => string | undefined;
  },
): Promise<Response> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const { note } = context;
  note.stream = promise;
  return await sseResponse(stream.frames, {
    requestId: context.requestId,
    caller: context.caller,
    dialect: stream.dialect,
    heartbeatMs: services.heartbeatMs,
    headerHoldMs: services.headerHoldMs,
    slowClientTimeoutMs: services.slowClientTimeoutMs,
    onGone: () => stream.gone.abort(),
    cut: context.cut,
    onEnd: resolve,
    admitted: stream.admitted ?? Promise.resolve(),
    comment: stream.comment ?? (() => undefined),
    answerHeaders: () => (note.answer ? answerHeaders(note.answer) : null),
  });
}
