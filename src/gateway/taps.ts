/** What looks at each item of an iteration, and hears once of its end, however that comes. */
export interface Tap<T> {
  /** What it throws ends the iteration, as a fault of the source would. */
  readonly onItem: (item: T) => void;
  readonly onEnd?: () => void;
}

/** The same items, each seen by the tap: in place of a generator around another one, whose turns cost more than the work between them. */
export function tapped<T>(source: AsyncIterable<T>, { onItem, onEnd = () => {} }: Tap<T>): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const items = source[Symbol.asyncIterator]();
      let open = true;
      const end = (): void => {
        if (!open) return;
        open = false;
        onEnd();
      };
      const see = (result: IteratorResult<T>): IteratorResult<T> | Promise<never> => {
        if (result.done === true) {
          end();
          return result;
        }
        try {
          onItem(result.value);
          return result;
        } catch (error) {
          end();
          return Promise.resolve(items.return?.()).then(() => Promise.reject(error));
        }
      };
      const fail = (error: unknown): never => {
        end();
        throw error;
      };
      return {
        next: () => (open ? items.next().then(see, fail) : Promise.resolve({ done: true, value: undefined })),
        return() {
          end();
          return Promise.resolve(items.return?.()).then(() => ({ done: true, value: undefined }));
        },
      };
    },
  };
}

/** Items that are there already, then those that come. */
export function following<T>(held: readonly T[], rest: AsyncIterator<T>): AsyncIterable<T> {
  let given = 0;
  const iterator: AsyncIterator<T> = {
    next: () => (given < held.length ? Promise.resolve({ done: false, value: held[given++]! }) : rest.next()),
    return() {
      given = held.length;
      return Promise.resolve(rest.return?.()).then(() => ({ done: true, value: undefined }));
    },
  };
  return { [Symbol.asyncIterator]: () => iterator };
}
