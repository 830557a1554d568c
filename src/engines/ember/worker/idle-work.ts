/** Work in one go, at most, so that whatever comes in waits no longer. */
const SLICE_MS = 4;
/** How soon an engine that is busy is looked at again. */
const LATER_MS = 50;

/** Takes the steps of some work while nothing else is to be done. What fails is left to be tried when it is needed, where the error can be told. */
export function workWhenIdle(work: Iterator<unknown, void>, busy: () => boolean): void {
  const slice = (): void => {
    if (busy()) {
      setTimeout(slice, LATER_MS).unref();
      return;
    }
    const end = performance.now() + SLICE_MS;
    try {
      do {
        if (work.next().done === true) return;
      } while (performance.now() < end);
    } catch {
      return;
    }
    setImmediate(slice);
  };
  setImmediate(slice);
}
