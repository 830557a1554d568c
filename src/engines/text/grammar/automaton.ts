import { HearthError } from '../../../core/index.ts';
import { freeTextStates } from './free-text.ts';
import type { CodePointRange, Grammar, GrammarNode } from './grammar.ts';
import { refuseLeftRecursion } from './left-recursion.ts';
import { nullable, nullableRules } from './nullable.ts';
import { type ByteSequence, utf8Sequences } from './utf8-ranges.ts';

/** Byte ranges that lead on, moves without a byte, and calls of rules that return to a state. */
export interface AutomatonState {
  readonly edges: { readonly first: number; readonly last: number; readonly to: number }[];
  readonly moves: number[];
  readonly calls: { readonly rule: number; readonly back: number }[];
  /** The end of a rule, or of the whole grammar. */
  accepts: boolean;
  /** For masks: a state that cannot be told from this one within `lookahead` bytes. */
  alias: number;
}

/** A network of byte automata, one for each rule. */
export interface Automaton {
  readonly states: readonly AutomatonState[];
  readonly start: number;
  /** First state of each rule, by its number. */
  readonly rules: readonly number[];
  /** Whether a state can only return: a call that goes back to one is the end of its caller. */
  onlyReturns(state: number): boolean;
}

/** A grammar of more states is refused: its masks would take too much memory. */
const MAX_STATES = 200_000;
/** Copies of an item that are made a rule of their own where there are many. */
const BLOCK = 64;

/**
 * Builds the automaton of a grammar. Counted repetitions are written out; their copies that lie more than `lookahead` bytes (the longest token)
 * from both borders get one alias. Throws invalid_value for a grammar that is too large or recurses on its left.
 */
export function buildAutomaton(grammar: Grammar, lookahead: number): Automaton {
  const empty = nullableRules(grammar.rules);
  refuseLeftRecursion(grammar, empty);
  // Known from the text of the grammar, before the first of them is made.
  if ([grammar.root, ...grammar.rules.values()].reduce((sum, node) => sum + leastStates(node), 0) > MAX_STATES) throw tooLarge();
  const states: AutomatonState[] = [];
  const ruleNumbers = new Map([...grammar.rules.keys()].map((name, i) => [name, i]));
  const add = (): number => {
    if (states.length >= MAX_STATES) throw tooLarge();
    states.push({ edges: [], moves: [], calls: [], accepts: false, alias: states.length });
    return states.length - 1;
  };
  const move = (from: number, to: number): void => void states[from]!.moves.push(to);
  const edge = (from: number, first: number, last: number, to: number): void => void states[from]!.edges.push({ first, last, to });

  /** Puts a node behind a state, and gives the state behind the node. */
  function put(node: GrammarNode, from: number): number {
    switch (node.kind) {
      case 'text': {
        let at = from;
        for (const byte of Buffer.from(node.text, 'utf8')) {
          const next = add();
          edge(at, byte, byte, next);
          at = next;
        }
        return at;
      }
      case 'class':
        return putClass(node.ranges, from);
      case 'sequence':
        return node.items.reduce((at, item) => put(item, at), from);
      case 'choice': {
        const end = add();
        for (const item of node.items) {
          const begin = add();
          move(from, begin);
          move(put(item, begin), end);
        }
        return end;
      }
      case 'repeat':
        return node.max === null ? loop(node.item, node.min, from) : counted(node.item, node.min, node.max, from);
      case 'rule': {
        const number = ruleNumbers.get(node.name);
        if (number === undefined) throw new HearthError('invalid_value', `The grammar uses the rule ${node.name}, which it does not define.`);
        const back = add();
        states[from]!.calls.push({ rule: number, back });
        return back;
      }
      case 'free': {
        const table = freeTextStates(node.marks);
        const first = states.length;
        const end = add();
        for (const _ of table) add();
        table.forEach((edges, i) => {
          for (const { from: low, to: high, next } of edges) edge(first + 1 + i, low, high, first + 1 + next);
          move(first + 1 + i, end);
        });
        move(from, first + 1);
        return end;
      }
    }
  }

  /** Sequences that go on alike share their states. */
  function putClass(ranges: readonly CodePointRange[], from: number): number {
    const end = add();
    const shared = new Map<string, number>([['', end]]);
    const lead = (at: number, bytes: ByteSequence): void => {
      const [first, ...rest] = bytes;
      const key = rest.join(';');
      let next = shared.get(key);
      if (next === undefined) {
        next = add();
        shared.set(key, next);
        lead(next, rest);
      }
      edge(at, first![0], first![1], next);
    };
    for (const range of ranges) for (const bytes of utf8Sequences(range)) lead(from, bytes);
    return end;
  }

  function loop(item: GrammarNode, min: number, from: number): number {
    let at = from;
    for (let i = 0; i < min; i++) at = put(item, at);
    const hub = add();
    move(at, hub);
    const begin = add();
    move(hub, begin);
    move(put(item, begin), hub);
    const end = add();
    move(hub, end);
    return end;
  }

  /** Many copies are runs of blocks, each a call of one rule, so that their number of states stays small. */
  function counted(item: GrammarNode, min: number, max: number, from: number): number {
    if (max < 16 * BLOCK || item.kind === 'rule' || nullable(item, empty)) return copies(item, min, max, from);
    const name = `block ${ruleNumbers.size}`;
    const block: GrammarNode = { kind: 'rule', name };
    ruleNumbers.set(name, ruleNumbers.size);
    const begin = add();
    rules.push(begin);
    finish({ kind: 'repeat', item, min: BLOCK, max: BLOCK }, begin);
    const [blocks, rest] = [Math.floor((max - min) / BLOCK), (max - min) % BLOCK];
    const required = copies(item, min % BLOCK, min % BLOCK, copies(block, Math.floor(min / BLOCK), Math.floor(min / BLOCK), from));
    const end = add();
    if (blocks > 0) move(copies(item, 0, BLOCK - 1, copies(block, 0, blocks - 1, required)), end);
    move(copies(item, 0, rest, copies(block, blocks, blocks, required)), end);
    return end;
  }

  function copies(item: GrammarNode, min: number, max: number, from: number): number {
    const end = add();
    let at = from;
    const starts: number[] = [];
    for (let i = 0; i < max; i++) {
      // A state of its own, so that all copies are alike.
      const begin = add();
      move(at, begin);
      starts.push(begin);
      if (i >= min) move(begin, end);
      at = put(item, begin);
    }
    move(at, end);
    if (!nullable(item, empty)) alias(starts, min, max);
    return end;
  }

  function alias(starts: readonly number[], min: number, max: number): void {
    const size = (starts[1] ?? states.length) - starts[0]!;
    // All copies, also the last one, take the same number of states in the same order.
    const same = (copy: number, other: number): void => {
      for (let i = 0; i < size; i++) states[starts[copy]! + i]!.alias = states[starts[other]! + i]!.alias;
    };
    for (let copy = 1; min - copy > lookahead; copy++) same(copy, 0);
    for (let copy = min + 1; max - copy > lookahead; copy++) same(copy, min);
  }

  const rules = [...grammar.rules.keys()].map(() => add());
  const finish = (node: GrammarNode, begin: number): void => {
    states[put(node, begin)]!.accepts = true;
  };
  for (const [i, node] of [...grammar.rules.values()].entries()) finish(node, rules[i]!);
  const start = add();
  finish(grammar.root, start);
  return { states, start, rules, onlyReturns: (state) => onlyReturns(states, state) };
}

const tooLarge = (): HearthError => new HearthError('invalid_value', 'The grammar is too large: repetitions with high counts inside each other make it so.');

/** States that a node surely needs: each part of the grammar is looked at once, however often it repeats. */
export function leastStates(node: GrammarNode): number {
  switch (node.kind) {
    case 'text':
      return node.text.length;
    case 'class':
      return 1;
    case 'sequence':
      return node.items.reduce((sum, item) => sum + leastStates(item), 0);
    case 'choice':
      return node.items.reduce((sum, item) => sum + 1 + leastStates(item), 1);
    case 'repeat': {
      const each = leastStates(node.item) + 1;
      if (node.max === null) return node.min * (each - 1) + 3;
      // Long runs are made of blocks, each a call.
      return node.max < 16 * BLOCK ? node.max * each : Math.min(node.max * each, BLOCK * each + node.max / BLOCK);
    }
    case 'rule':
    case 'free':
      return 1;
  }
}

function onlyReturns(states: readonly AutomatonState[], start: number): boolean {
  const seen = new Set([start]);
  let accepts = false;
  for (const at of seen) {
    const state = states[at]!;
    if (state.edges.length > 0 || state.calls.length > 0) return false;
    accepts ||= state.accepts;
    for (const next of state.moves) seen.add(next);
  }
  return accepts;
}
