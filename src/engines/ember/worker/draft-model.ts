import { createPageCache, type Ember, type PageTables, type StepSequence } from '../../../ember/index.ts';
import type { Drafter, DraftWish } from './drafts.ts';
import type { Sequence } from './sequence.ts';

/** Tokens of a prompt that the draft model reads before one step of the model itself. */
const CATCH_UP = 64;

interface Held {
  /** Tokens whose cells the draft model holds. */
  readonly tokens: number[];
  pages: PageTables;
}

/** A smaller model of the same vocabulary guesses: one token each step, all sequences together. */
export function createDraftModel(draft: Pick<Ember, 'step' | 'pageGroups'>, batchTokens: number): Drafter {
  const cache = createPageCache(draft.pageGroups);
  const held = new Map<Sequence, Held>();
  const grow = (own: Held, cells: number): boolean => {
    const grown = cache.grow(own.pages, cells);
    if (grown !== null) own.pages = grown;
    return grown !== null;
  };
  /** Cells of guesses that were wrong are written again. */
  const keepCommon = (own: Held, tokens: readonly number[]): void => {
    let common = 0;
    while (common < own.tokens.length && own.tokens[common] === tokens[common]) common++;
    own.tokens.length = Math.min(common, tokens.length - 1);
  };

  /** Evaluates what each lacks, and gives the likeliest next token of those that then lack nothing. Nothing is evaluated where cells are out. */
  async function step(work: readonly { own: Held; sequence: Sequence; wanted: readonly number[] }[]): Promise<(number | null)[]> {
    const most = Math.max(1, Math.min(CATCH_UP, Math.floor(batchTokens / work.length)));
    const batch = work.map(({ own, sequence, wanted }): StepSequence | null => {
      const tokens = wanted.slice(own.tokens.length, own.tokens.length + most);
      const whole = own.tokens.length + tokens.length === wanted.length;
      if (!grow(own, own.tokens.length + tokens.length)) return null;
      return {
        pages: own.pages,
        position: own.tokens.length,
        tokens,
        output: whole ? 'last' : 'none',
        temperature: 0,
        // A bias holds for every token of the answer, so the guesses follow it too.
        adjustments: whole ? sequence.sampler.adjustments() : [],
        candidates: 1,
      };
    });
    const steps = batch.filter((sequence) => sequence !== null);
    const outputs = steps.length === 0 ? [] : await draft.step(steps);
    let n = 0;
    return work.map(({ own, sequence }, i) => {
      if (batch[i] === null) return null;
      own.tokens.push(...batch[i]!.tokens);
      // Guesses may be taken back, tokens of the sequence never.
      cache.slide(own.pages, Math.min(own.tokens.length, sequence.tokens.length - 1));
      return outputs[n++]?.ids[0] ?? null;
    });
  }

  function begin({ sequence, room }: DraftWish): Held | null {
    if (room === 0) return null;
    const own = held.get(sequence) ?? { tokens: [], pages: cache.empty };
    held.set(sequence, own);
    keepCommon(own, sequence.tokens);
    return cache.missing(own.pages, sequence.tokens.length + room)[0]! <= cache.groups[0]!.pool.free ? own : null;
  }

  return {
    async propose(wishes) {
      const guesses: number[][] = wishes.map(() => []);
      // A sequence whose draft falls behind, or has no cells, is decoded without.
      let open = wishes.map((wish, i) => ({ i, own: begin(wish), wish })).filter(({ own }) => own !== null);
      while (open.length > 0) {
        const next = await step(open.map(({ i, own, wish }) => ({ own: own!, sequence: wish.sequence, wanted: [...wish.sequence.tokens, ...guesses[i]!] })));
        for (const [n, id] of next.entries()) if (id !== null) guesses[open[n]!.i]!.push(id);
        open = open.filter(({ i, wish }, n) => next[n] !== null && guesses[i]!.length < wish.room);
      }
      return guesses;
    },
    forget(sequence) {
      const own = held.get(sequence);
      if (own !== undefined) cache.release(own.pages);
      held.delete(sequence);
    },
  };
}
