/** A caller's signal joined with a timer that is set back whenever something arrives: a request hangs on it from the first byte to the last. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  /** The timer ran out, as opposed to the caller having stopped. */
  readonly expired: boolean;
  readonly ms: number;
  restart(): void;
}

/** One controller with plain listeners: composed signals may be collected while only a timer holds them. */
export function createDeadline(parent: AbortSignal, ms: number): Deadline {
  const controller = new AbortController();
  let expired = false;
  let timer: NodeJS.Timeout | null = null;
  const onParent = (): void => controller.abort(parent.reason);
  const stop = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
  };
  if (parent.aborted) onParent();
  else parent.addEventListener('abort', onParent);
  return {
    signal: controller.signal,
    ms,
    get expired() {
      return expired;
    },
    restart: () => {
      // Once per piece of a download: setting it back is cheaper than a new one.
      if (timer !== null) {
        timer.refresh();
        return;
      }
      timer = setTimeout(() => {
        expired = true;
        controller.abort(new Error('no byte came for too long'));
      }, ms);
    },
    [Symbol.dispose]: () => {
      stop();
      parent.removeEventListener('abort', onParent);
    },
  };
}
