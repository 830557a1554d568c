import { createStopMatcher } from './stop-matcher.ts';

/** What the text of one answer is made with; formats' Detokenizer fits. */
export interface TokenToText {
  push(id: number): string;
  flush(): string;
}

export interface AnswerText {
  /** Text that may be shown after this token, and the stop string that ended the answer. */
  push(id: number): { readonly text: string; readonly stopString?: string };
  /** What is still held when the answer ends for another reason. */
  flush(): { readonly text: string; readonly stopString?: string };
}

/** Tokens → whole characters → stop strings → text (docs/spec/serving.md §3.1). */
export function createAnswerText(detokenizer: TokenToText, stops: readonly string[]): AnswerText {
  const matcher = createStopMatcher(stops);
  return {
    push: (id) => matcher.push(detokenizer.push(id)),
    flush() {
      const last = matcher.push(detokenizer.flush());
      if (last.stopString !== undefined) return last;
      const rest = matcher.flush();
      return { ...rest, text: last.text + rest.text };
    },
  };
}
