import type { Frame } from '../gateway/index.ts';
import { streamedFrames } from './answer-response.ts';
import type { CallContext } from './bind.ts';
import type { Services } from './services.ts';
import { OPENAI_EVENTS } from './sse-dialect.ts';

type ProgressEvent<D> = { readonly kind: 'progress' | 'notice'; readonly [field: string]: unknown } | { readonly kind: 'result'; readonly data: D };

/** Tells of a long verb. */
export interface Teller {
  onProgress(progress: object): void;
  onNotice(message: string): void;
}

/** A verb that takes long, as a stream of its progress and its result; it is cancelled when nobody listens any more. */
export function streamedProgress<D>(services: Services, context: CallContext, run: (teller: Teller, signal: AbortSignal) => Promise<D>): Promise<Response> {
  const gone = new AbortController();
  const signal = AbortSignal.any([context.signal, gone.signal]);
  const frames = progressEvents((teller) => run(teller, signal));
  return streamedFrames(services, context, { frames, gone, dialect: OPENAI_EVENTS });
}

/** The fields that are given: of these functions an absent option is one that is not there. */
export const withoutAbsent = <T extends object>(value: T) =>
  Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> };

/** Runs a verb of the store and gives its progress as events, at most one waiting, its notices, and its result as the last one. */
async function* progressEvents<D>(run: (teller: Teller) => Promise<D>): AsyncGenerator<Frame<ProgressEvent<D>>, void> {
  const waiting = new Map<string, ProgressEvent<D>>();
  let wake = Promise.withResolvers<void>();
  const tell = (key: string, event: ProgressEvent<D>) => {
    waiting.set(key, event);
    wake.resolve();
  };
  let notices = 0;
  const running = run({
    onProgress: (progress) => tell('progress', { kind: 'progress', ...progress }),
    onNotice: (message) => tell(`notice ${++notices}`, { kind: 'notice', message }),
  });
  let done = false;
  const ended = () => {
    done = true;
    wake.resolve();
  };
  running.then(ended, ended);
  while (!done || waiting.size > 0) {
    await wake.promise;
    wake = Promise.withResolvers();
    const events = [...waiting.values()];
    waiting.clear();
    for (const data of events) yield { kind: 'data', data };
    if (done) wake.resolve();
  }
  yield { kind: 'data', data: { kind: 'result', data: await running } };
}
