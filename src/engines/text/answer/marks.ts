/** The first mark in a text, and where text begins that may still become one. */
export interface MarkScan {
  /** Complete, and nothing that began before it can still complete. */
  readonly found: { readonly at: number; readonly mark: string } | null;
  /** Text before this place holds no mark and no beginning of one. */
  readonly safe: number;
}

/** The earliest place wins, whatever the split of the stream; at one place the shorter mark, since it is complete first. `ended`: no more text comes. */
export function scanMarks(text: string, marks: readonly string[], ended = false): MarkScan {
  let found: { at: number; mark: string } | null = null;
  for (const mark of marks) {
    const at = text.indexOf(mark);
    if (at >= 0 && (found === null || at < found.at || (at === found.at && mark.length < found.mark.length))) found = { at, mark };
  }
  let safe = text.length;
  if (!ended)
    for (const mark of marks)
      for (let at = Math.max(0, text.length - mark.length + 1); at < safe; at++) {
        if (mark.startsWith(text.slice(at))) safe = at;
      }
  if (found !== null && found.at > safe) found = null;
  return { found, safe: found === null ? safe : found.at };
}
