import type { GrammarMatcher } from '../grammar/index.ts';

/** Holds the tokens of one answer to what it has to be. */
export interface AnswerGuide {
  /** Tokens that may come next: bit i of word i >> 5; null: all. */
  mask(): Uint32Array | null;
  /** The token that comes next whatever is likely; null: none is forced. */
  forced(): number | null;
  /** The token came. false: the grammar does not allow it. */
  accept(id: number): boolean;
  /** The reasoning part is closed from the next token on, and the answer follows; false: none is open. */
  endReasoning(): boolean;
  /** It may change what is drawn. */
  readonly binding: boolean;
  /** Nothing may follow. */
  readonly finished: boolean;
}

export interface GuideOptions {
  readonly matcher: GrammarMatcher | null;
  /** After `tokens` tokens of reasoning, which may be without end, or when asked to, the tokens `closing` are forced. */
  readonly budget: { readonly tokens: number; closing(): readonly number[] } | null;
  /** Tokens of the reasoning part so far, and whether it is open. */
  readonly reasoning: () => { readonly tokens: number; readonly open: boolean };
  /** The forced tokens have closed the part; the model may still write a mark of its own. */
  readonly onClosed?: () => void;
}

export function createAnswerGuide({ matcher, budget, reasoning, onClosed }: GuideOptions): AnswerGuide {
  let closing: readonly number[] | null = null;
  let closed = 0;
  const forced = (): number | null => {
    if (budget === null) return null;
    const { tokens, open } = reasoning();
    if (closing === null && open && tokens >= budget.tokens) closing = budget.closing();
    // A token that was drawn before the end was asked for has closed the part: a second mark would be content.
    if (closing !== null && closed === 0 && !open) closing = [];
    return closing?.[closed] ?? null;
  };
  return {
    mask: () => (forced() === null ? (matcher?.mask() ?? null) : null),
    forced,
    accept(id) {
      if (closing?.[closed] === id && ++closed === closing.length) onClosed?.();
      return matcher?.accept(id) ?? true;
    },
    endReasoning() {
      if (budget === null || closing !== null || !reasoning().open) return false;
      closing = budget.closing();
      return true;
    },
    get binding() {
      return matcher !== null || closing !== null || Number.isFinite(budget?.tokens ?? Number.POSITIVE_INFINITY);
    },
    get finished() {
      return matcher?.finished ?? false;
    },
  };
}
