/** Cuts a stream of text at the first stop string (docs/spec/serving.md §3.1). */
export interface StopMatcher {
  /** Takes whole characters; gives the text that may be shown now, and the stop string once it is found. Nothing may be pushed after that. */
  push(text: string): { readonly text: string; readonly stopString?: string };
  /** The held text, when the stream ends for another reason. */
  flush(): { readonly text: string; readonly stopString?: string };
}

/**
 * The earliest position in the whole text wins, whatever the split of the stream: where a complete stop string is seen, but a longer one that
 * began before it may still complete, the decision waits. At one position the shorter one wins, since it is complete first. Held is the longest
 * suffix that is a proper prefix of a stop string, so no part of a stop string is ever shown.
 */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
  const wanted = [...new Set(stops)].filter((stop) => stop !== '').sort((a, b) => a.length - b.length);
  let held = '';

  const complete = (): { at: number; stop: string } | undefined => {
    let best: { at: number; stop: string } | undefined;
    for (const stop of wanted) {
      const at = held.indexOf(stop);
      if (at >= 0 && (best === undefined || at < best.at)) best = { at, stop };
    }
    return best;
  };
  /** Start of the longest suffix of `held` that may still grow into a stop string. */
  const openFrom = (): number => {
    let from = held.length;
    for (const stop of wanted) {
      for (let at = Math.max(0, held.length - stop.length + 1); at < from; at++) {
        if (stop.startsWith(held.slice(at))) from = at;
      }
    }
    return from;
  };
  const cut = (at: number): string => {
    const text = held.slice(0, at);
    held = held.slice(at);
    return text;
  };
  const end = (match: { at: number; stop: string }): { text: string; stopString: string } => {
    const text = cut(match.at);
    held = '';
    return { text, stopString: match.stop };
  };
  return {
    push(text) {
      if (wanted.length === 0) return { text };
      held += text;
      const match = complete();
      const open = openFrom();
      if (match !== undefined && match.at <= open) return end(match);
      return { text: cut(open) };
    },
    flush() {
      const match = complete();
      return match === undefined ? { text: cut(held.length) } : end(match);
    },
  };
}
