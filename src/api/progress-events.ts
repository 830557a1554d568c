import type { Frame } from '../gateway/index.ts';

export type ProgressEvent<D> = { readonly kind: 'progress' | 'notice'; readonly [field: string]: unknown } | { readonly kind: 'result'; readonly data: D };

/** Tells of a long verb. */
export interface Teller {
  onProgress(progress: object): void;
  onNotice(message: string): void;
}

/** Runs a verb of the store and gives its progress as events, at most one waiting, its notices, and its result as the last one. */
export async function* progressEvents<D>(run: (teller: Teller) => Promise<D>): AsyncGenerator<Frame<ProgressEvent<D>>, void> {
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
