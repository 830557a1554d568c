import type { Readable } from 'node:stream';

/** The body of an answer, piece by piece: one reader, one `next` at a time. */
export interface Pieces extends AsyncIterable<Uint8Array> {
  /** Nobody reads on: what still comes is thrown away. */
  drop(): void;
}

interface Taker {
  resolve(result: IteratorResult<Uint8Array, undefined>): void;
  reject(error: unknown): void;
}

/**
 * By events: the iterator of a stream costs more than all else that is done for a short answer. Leaving the loop closes nothing, since the connection
 * may be used again. Rejects where the stream breaks off; what came before is given first.
 */
export function readPieces(source: Readable): Pieces {
  const waiting: Uint8Array[] = [];
  let taker: Taker | null = null;
  let over: { readonly error: unknown } | null = null;
  let dropped = false;

  const settle = (error: unknown): void => {
    over ??= { error };
    const { error: told } = over;
    const asked = taker;
    taker = null;
    if (told === null) asked?.resolve({ done: true, value: undefined });
    else asked?.reject(told);
  };
  source.on('data', (piece: Uint8Array) => {
    if (dropped) return;
    const asked = taker;
    taker = null;
    if (asked !== null) {
      asked.resolve({ done: false, value: piece });
      return;
    }
    waiting.push(piece);
    source.pause();
  });
  source.on('end', () => settle(null));
  // It stays: without a listener an error after the last reader has gone would end the process.
  source.on('error', settle);
  source.on('close', () => settle(new Error('the connection was closed')));

  const next = (): Promise<IteratorResult<Uint8Array, undefined>> => {
    const piece = waiting.shift();
    if (piece !== undefined) return Promise.resolve({ done: false, value: piece });
    if (over !== null) return over.error === null ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(over.error);
    if (source.isPaused()) source.resume();
    return new Promise((resolve, reject) => {
      taker = { resolve, reject };
    });
  };
  return {
    drop() {
      dropped = true;
      waiting.length = 0;
      source.resume();
    },
    [Symbol.asyncIterator]: () => ({ next }),
  };
}
