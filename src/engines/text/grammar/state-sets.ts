import { HearthError } from '../../../core/index.ts';
import type { Automaton } from './automaton.ts';

/** All that a text so far may be in the middle of. Sets are unique: the same situation is the same object. */
export interface StateSet {
  /** Pairs of a state with byte edges and the returns that are open above it. */
  readonly states: readonly number[];
  readonly returns: readonly number[];
  /** The text may end here. */
  readonly accepts: boolean;
  /** By byte; null: no text goes on so. Filled as it is asked for. */
  readonly next: (StateSet | null | undefined)[];
}

export interface StateSets {
  readonly start: StateSet | null;
  step(from: StateSet, byte: number): StateSet | null;
  /** Equal for sets that allow the same tokens. */
  maskKey(set: StateSet): string;
}

/** More readings of one text than this are an ambiguity that no sensible grammar has. */
const MAX_READINGS = 2_000;
/** Unique sets that are kept; above it they are found anew, those in use live on. */
const MAX_SETS = 50_000;

/** The automaton's sets of states, found lazily. Stacks of returns are shared lists: one number for each (return, rest). */
export function createStateSets(automaton: Automaton): StateSets {
  const { states, rules, onlyReturns } = automaton;
  const parents = [-1];
  const backs = [-1];
  /** The stack with aliases in place of states, for masks. */
  const aliases = [0];
  const stacks = new Map<string, number>();
  const aliasStacks = new Map<string, number>();
  let sets = new Map<string, StateSet>();

  const push = (back: number, parent: number): number => {
    const key = `${back},${parent}`;
    let stack = stacks.get(key);
    if (stack === undefined) {
      stack = parents.length;
      parents.push(parent);
      backs.push(back);
      stacks.set(key, stack);
      const aliasKey = `${states[back]!.alias},${aliases[parent]!}`;
      const known = aliasStacks.get(aliasKey);
      if (known === undefined) aliasStacks.set(aliasKey, stack);
      aliases.push(known ?? stack);
    }
    return stack;
  };

  /** Follows moves, calls and returns from the given pairs until only states with byte edges are left. */
  function close(pairs: [state: number, stack: number][]): StateSet | null {
    const seen = new Set<number>();
    const found: [number, number][] = [];
    let accepts = false;
    const reach = (state: number, stack: number): void => {
      const key = stack * states.length + state;
      if (seen.has(key)) return;
      if (seen.size >= MAX_READINGS) throw new HearthError('invalid_value', 'The grammar is too ambiguous: one text can be read in thousands of ways.');
      seen.add(key);
      pairs.push([state, stack]);
    };
    for (const [state, stack] of pairs.splice(0)) reach(state, stack);
    for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
      const [at, stack] = pair;
      const state = states[at]!;
      if (state.edges.length > 0) found.push([at, stack]);
      for (const to of state.moves) reach(to, stack);
      // A call at the end of a rule returns to where the rule itself returns.
      for (const { rule, back } of state.calls) reach(rules[rule]!, onlyReturns(back) ? stack : push(back, stack));
      if (!state.accepts) continue;
      if (stack === 0) accepts = true;
      else reach(backs[stack]!, parents[stack]!);
    }
    if (found.length === 0 && !accepts) return null;
    found.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const key = `${accepts}|${found.join(';')}`;
    let set = sets.get(key);
    if (set === undefined) {
      if (sets.size >= MAX_SETS) sets = new Map();
      set = { states: found.map(([state]) => state), returns: found.map(([, stack]) => stack), accepts, next: [] };
      sets.set(key, set);
    }
    return set;
  }

  return {
    start: close([[automaton.start, 0]]),
    step(from, byte) {
      const known = from.next[byte];
      if (known !== undefined) return known;
      const pairs: [number, number][] = [];
      from.states.forEach((at, i) => {
        for (const { first, last, to } of states[at]!.edges) if (byte >= first && byte <= last) pairs.push([to, from.returns[i]!]);
      });
      const next = pairs.length === 0 ? null : close(pairs);
      from.next[byte] = next;
      return next;
    },
    maskKey: (set) => `${set.accepts}|${[...new Set(set.states.map((state, i) => `${states[state]!.alias},${aliases[set.returns[i]!]!}`))].sort().join(';')}`,
  };
}
