import { scanMarks } from './answer/marks.ts';

/** Cuts a stream of text at the first stop string (docs/spec/serving.md §3.1). */
export interface StopMatcher {
  /** Takes whole characters; gives the text that may be shown now, and the stop string once it is found. Nothing may be pushed after that. */
  push(text: string): { readonly text: string; readonly stopString?: string };
  /** The held text, when the stream ends for another reason. */
  flush(): { readonly text: string; readonly stopString?: string };
}

/** Held is the longest suffix that is a proper prefix of a stop string, so no part of a stop string is ever shown. */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
  const wanted = stops.filter((stop) => stop !== '');
  let held = '';
  const cut = (ended: boolean): { text: string; stopString?: string } => {
    const { found, safe } = scanMarks(held, wanted, ended);
    const text = held.slice(0, safe);
    held = found === null ? held.slice(safe) : '';
    return found === null ? { text } : { text, stopString: found.mark };
  };
  return {
    push(text) {
      held += text;
      return cut(false);
    },
    flush: () => cut(true),
  };
}
