/** How many tokens each running sequence brings to the next step. Pure. */

export interface StepShare {
  /** Tokens that are not in the cache yet; 1 = the sequence decodes (or is at the last token of its prompt). */
  readonly remaining: number;
  /** All of them in one step, or none. */
  readonly whole?: boolean;
}

export interface StepLimits {
  readonly batchTokens: number;
  readonly prefillChunk: number;
}

/** One token for each decoding sequence, then prefill chunks in queue order (docs/spec/serving.md §4 item 1). */
export function planStep(sequences: readonly StepShare[], limits: StepLimits): number[] {
  const counts: number[] = sequences.map((sequence) => (sequence.remaining === 1 ? 1 : 0));
  const decoding = counts.reduce((sum, n) => sum + n, 0);
  let room = Math.max(0, Math.min(limits.batchTokens - decoding, limits.prefillChunk));
  let untouched = true;
  sequences.forEach((sequence, i) => {
    if (sequence.remaining <= 1) return;
    // What cannot be cut and is first gets the batch, however small the chunk is: it would wait for ever otherwise.
    const most = sequence.whole === true && untouched ? limits.batchTokens - decoding : room;
    const take = sequence.whole === true && sequence.remaining > most ? 0 : Math.min(sequence.remaining, most);
    counts[i] = take;
    room = Math.max(0, room - take);
    if (take > 0) untouched = false;
  });
  return counts;
}

export interface PrefillRate {
  /** A token by itself took so long: among many it takes half of that or less, since they share the reading of the weights. */
  guess(milliseconds: number): void;
  /** A step with `tokens` tokens, at least one of a prefill, took so long. */
  observe(tokens: number, milliseconds: number): void;
  /** Tokens of the next prefill chunk. */
  chunk(somethingDecodes: boolean): number;
}

/** What is done in 250 ms while something decodes and in 500 ms otherwise, by the measured rate; 8 (32) to `largest` tokens. */
export function createPrefillRate(largest: number): PrefillRate {
  let tokensPerMs: number | null = null;
  let guessed = false;
  return {
    guess(milliseconds) {
      if (tokensPerMs !== null || milliseconds <= 0) return;
      tokensPerMs = 2 / milliseconds;
      guessed = true;
    },
    observe(tokens, milliseconds) {
      // Steps of a few tokens measure the reading of the weights, not the rate of a prefill.
      if (tokens < 8 || milliseconds <= 0) return;
      const rate = tokens / milliseconds;
      tokensPerMs = tokensPerMs === null || guessed ? rate : tokensPerMs + (rate - tokensPerMs) / 2;
      guessed = false;
    },
    chunk(somethingDecodes) {
      const least = somethingDecodes ? 8 : 32;
      const wanted = tokensPerMs === null ? least : Math.floor(tokensPerMs * (somethingDecodes ? 250 : 500));
      return Math.min(largest, Math.max(least, wanted));
    },
  };
}
