import { HearthError } from '../../../core/index.ts';
import { buildAutomaton } from './automaton.ts';
import type { Grammar } from './grammar.ts';
import { createStateSets, type StateSet } from './state-sets.ts';
import type { TokenTrie } from './token-trie.ts';

/** A grammar ready for one vocabulary. */
export interface CompiledGrammar {
  /** A matcher at the beginning of a text. */
  open(): GrammarMatcher;
  /** Nodes of the tree of tokens that all masks so far have cost. */
  readonly visitedNodes: number;
}

export interface GrammarMatcher {
  /** Tokens that may come next: bit i of word i >> 5. The array is shared; it is read only. */
  mask(): Uint32Array;
  /** The token came. false, and no change: the grammar does not allow it. */
  accept(id: number): boolean;
  /** Whether the text may end here. */
  readonly complete: boolean;
  /** Whether it has to end here: nothing may follow. */
  readonly finished: boolean;
  /** The same place in the text, on its own from here on. */
  fork(): GrammarMatcher;
}

/** Masks that are kept for one grammar: 16 KiB each for a vocabulary of 128k. */
const MAX_MASKS = 2_000;

/**
 * A grammar over the tokens of a vocabulary. Nothing is prepared per token: a mask is the walk through the tree of tokens that the automaton
 * follows, and the situations of a text (inside a string, before a comma) come again, so most masks are found among the earlier ones.
 * Throws invalid_value for grammars that no text or no automaton of sensible size fits.
 */
export function compileGrammar(grammar: Grammar, trie: TokenTrie, stopTokens: Iterable<number>): CompiledGrammar {
  const stops = [...stopTokens];
  const sets = createStateSets(buildAutomaton(grammar, trie.maxDepth));
  const { start } = sets;
  if (start === null) throw new HearthError('invalid_value', 'No text matches the grammar.');
  const masks = new Map<string, Uint32Array>();
  let visitedNodes = 0;

  function maskOf(set: StateSet): Uint32Array {
    const key = sets.maskKey(set);
    let mask = masks.get(key);
    if (mask === undefined) {
      if (masks.size >= MAX_MASKS) masks.clear();
      mask = walk(set);
      masks.set(key, mask);
    }
    return mask;
  }

  function walk(set: StateSet): Uint32Array {
    const { size, byte, depth, skip, firstToken, tokens } = trie;
    const mask = new Uint32Array(Math.ceil(trie.vocabularySize / 32));
    if (set.accepts) for (const id of stops) mask[id >> 5]! |= 1 << (id & 31);
    const path: StateSet[] = [set];
    for (let node = 0; node < size; ) {
      visitedNodes++;
      const at = depth[node]!;
      const from = path[at - 1]!;
      const known = from.next[byte[node]!];
      const to = known === undefined ? sets.step(from, byte[node]!) : known;
      if (to === null) {
        node = skip[node]!;
        continue;
      }
      path[at] = to;
      for (let i = firstToken[node]!; i < firstToken[node + 1]!; i++) {
        const id = tokens[i]!;
        mask[id >> 5]! |= 1 << (id & 31);
      }
      node++;
    }
    return mask;
  }

  function matcher(at: StateSet): GrammarMatcher {
    let set = at;
    return {
      mask: () => maskOf(set),
      accept(id) {
        let next: StateSet | null = set;
        const bytes = trie.bytesOf(id);
        for (const value of bytes) {
          next = sets.step(next, value);
          if (next === null) return false;
        }
        set = next;
        return bytes.length > 0;
      },
      get complete() {
        return set.accepts;
      },
      get finished() {
        return set.accepts && set.states.length === 0;
      },
      fork: () => matcher(set),
    };
  }
  return {
    open: () => matcher(start),
    get visitedNodes() {
      return visitedNodes;
    },
  };
}
