import type { Sequence } from './sequence.ts';

/** One sequence that decodes, and how many tokens may be guessed for it. */
export interface DraftWish {
  readonly sequence: Sequence;
  readonly room: number;
}

/** Guesses the tokens that follow (docs/spec/engines.md §2.6). A wrong guess costs time, never a change of the text. */
export interface Drafter {
  /** For each wish at most `room` tokens; none where nothing is guessed. */
  propose(wishes: readonly DraftWish[]): Promise<readonly (readonly number[])[]>;
  /** The sequence has ended or was paused. */
  forget(sequence: Sequence): void;
}

/** Lengths of the last tokens that are looked up, longest first. */
const WIDTHS = [4, 3, 2] as const;
type Width = (typeof WIDTHS)[number];

interface Lookup {
  /** Where what follows a run of tokens starts, latest first seen last. */
  readonly after: Readonly<Record<Width, Map<string, number>>>;
  /** Tokens whose runs are known. */
  indexed: number;
}

/** Guesses that what followed the last tokens earlier in prompt or answer follows again. */
export function createPromptLookup(): Drafter {
  const lookups = new WeakMap<Sequence, Lookup>();
  const of = (sequence: Sequence): Lookup => {
    const found = lookups.get(sequence) ?? { after: { 4: new Map(), 3: new Map(), 2: new Map() }, indexed: 0 };
    lookups.set(sequence, found);
    return found;
  };
  const key = (tokens: readonly number[], end: number, width: Width): string => tokens.slice(end - width, end).join();

  function find(tokens: readonly number[], lookup: Lookup): number | null {
    // Runs that end before the last token: what follows them is known.
    for (; lookup.indexed < tokens.length; lookup.indexed++)
      for (const width of WIDTHS) if (lookup.indexed >= width) lookup.after[width].set(key(tokens, lookup.indexed, width), lookup.indexed);
    for (const width of WIDTHS) {
      const at = tokens.length >= width ? lookup.after[width].get(key(tokens, tokens.length, width)) : undefined;
      if (at !== undefined) return at;
    }
    return null;
  }

  return {
    async propose(wishes) {
      return wishes.map(({ sequence: { tokens }, sequence, room }) => {
        const at = room === 0 ? null : find(tokens, of(sequence));
        const guesses: number[] = [];
        // Beyond the last token the guesses themselves follow: a run that repeats goes on repeating.
        if (at !== null) for (let i = at; guesses.length < room; i++) guesses.push(i < tokens.length ? tokens[i]! : guesses[i - tokens.length]!);
        return guesses;
      });
    },
    forget: (sequence) => lookups.delete(sequence),
  };
}

/** The first drafter that guesses something for a sequence. */
export function firstOf(drafters: readonly Drafter[]): Drafter {
  return {
    async propose(wishes) {
      const guesses: (readonly number[])[] = wishes.map(() => []);
      for (const drafter of drafters) {
        const open = wishes.map((wish, i) => (guesses[i]!.length > 0 ? { ...wish, room: 0 } : wish));
        for (const [i, guess] of (await drafter.propose(open)).entries()) if (guess.length > 0) guesses[i] = guess;
      }
      return guesses;
    },
    forget: (sequence) => {
      for (const drafter of drafters) drafter.forget(sequence);
    },
  };
}

/** Most guesses in one step, over all sequences: a step of a few tokens costs little more than one of a single token. */
const STEP_GUESSES = 16;
const LARGEST = 12;

/** Longest pause after guesses that were all wrong. */
const LONGEST_PAUSE = 32;

/** How many tokens are worth guessing: more after guesses that were all right, fewer after wrong ones, and none for a while after misses in a row. */
export interface DraftLengths {
  /** For the next step of the sequence. */
  length(sequence: Sequence, decoding: number): number;
  observe(sequence: Sequence, guessed: number, right: number): void;
}

export function createDraftLengths(): DraftLengths {
  const states = new WeakMap<Sequence, { length: number; misses: number; pause: number }>();
  const of = (sequence: Sequence) => {
    const found = states.get(sequence) ?? { length: 3, misses: 0, pause: 0 };
    states.set(sequence, found);
    return found;
  };
  return {
    length(sequence, decoding) {
      const state = of(sequence);
      if (state.pause > 0) {
        state.pause--;
        return 0;
      }
      return Math.min(state.length, Math.floor(STEP_GUESSES / Math.max(1, decoding)));
    },
    observe(sequence, guessed, right) {
      if (guessed === 0) return;
      const state = of(sequence);
      state.length = right === guessed ? Math.min(LARGEST, guessed * 2) : right + 1;
      state.misses = right === 0 ? state.misses + 1 : 0;
      state.pause = state.misses < 2 ? 0 : Math.min(LONGEST_PAUSE, 2 ** (state.misses - 1));
    },
  };
}
