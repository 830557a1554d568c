/** Hands values from a pusher to one awaiting reader, in order. */
export interface EventQueue<T> {
  push(value: T): void;
  next(): Promise<T>;
}

export function createEventQueue<T>(): EventQueue<T> {
  const values: T[] = [];
  let waiting: ((value: T) => void) | undefined;
  return {
    push(value) {
      if (waiting === undefined) values.push(value);
      else {
        waiting(value);
        waiting = undefined;
      }
    },
    next() {
      const value = values.shift();
      if (value !== undefined) return Promise.resolve(value);
      return new Promise((resolve) => {
        waiting = resolve;
      });
    },
  };
}
