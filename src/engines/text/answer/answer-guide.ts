import type { GrammarMatcher } from '../grammar/index.ts';

/** Holds the tokens of one answer to what it has to be. */
export interface AnswerGuide {
  /** Tokens that may come next: bit i of word i >> 5; null: all. */
  mask(): Uint32Array | null;
  /** The token that comes next whatever is likely; null: none is forced. */
  forced(): number | null;
  /** The token came. false: the grammar does not allow it. */
  accept(id: number): boolean;
  /** Nothing may follow. */
  readonly finished: boolean;
}

export interface GuideOptions {
  readonly matcher: GrammarMatcher | null;
  /** After `tokens` tokens of reasoning the tokens `closing` are forced. */
  readonly budget: { readonly tokens: number; readonly closing: readonly number[] } | null;
  /** Tokens of the reasoning part so far, and whether it is open. */
  readonly reasoning: () => { readonly tokens: number; readonly open: boolean };
}

export function createAnswerGuide({ matcher, budget, reasoning }: GuideOptions): AnswerGuide {
  let closing: readonly number[] | null = null;
  let closed = 0;
  const forced = (): number | null => {
    if (budget === null) return null;
    const { tokens, open } = reasoning();
    if (closing === null && open && tokens >= budget.tokens) closing = budget.closing;
    return closing?.[closed] ?? null;
  };
  return {
    mask: () => (forced() === null ? (matcher?.mask() ?? null) : null),
    forced,
    accept(id) {
      if (closing?.[closed] === id) closed++;
      return matcher?.accept(id) ?? true;
    },
    get finished() {
      return matcher?.finished ?? false;
    },
  };
}
