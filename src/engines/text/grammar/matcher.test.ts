import { expect, test } from 'vitest';
import { leastStates } from './automaton.ts';
import { parseGbnf } from './gbnf.ts';
import { type GrammarNode, repeat } from './grammar.ts';
import { compileGrammar } from './matcher.ts';
import { buildTokenTrie, createTokenTrie } from './token-trie.ts';

const STOP = 0;
/** A stop token, all bytes, words with and without a blank in front, marks, and words of two scripts. */
function vocabulary(): Uint8Array[] {
  const texts = ['<stop>', '"', '\\', '",', '": "', '\n', '\n\n', 'ä', 'größe', '世', '世界', '…"'];
  const syllables = ['ka', 'ro', 'mi', 'ten', 'sol', 'du', 'ing', 'er', 'e', 'pla'];
  for (const a of syllables) for (const b of syllables) for (const c of ['', 's', ' ', 'ly"']) for (const blank of ['', ' ']) texts.push(blank + a + b + c);
  const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  return [...texts.map((text) => new Uint8Array(Buffer.from(text))), ...bytes];
}
const tokens = vocabulary();
const bytesOf = (id: number): Uint8Array => (id === STOP ? new Uint8Array() : (tokens[id] ?? new Uint8Array()));
const trie = createTokenTrie(tokens.length, bytesOf);
const allows = (mask: Uint32Array, id: number): boolean => ((mask[id >> 5]! >> (id & 31)) & 1) === 1;

/** Accepts `count` allowed tokens, one after another of the vocabulary, and takes the mask at each. */
function follow(text: string, count: number) {
  const grammar = compileGrammar(parseGbnf(text), trie, [STOP]);
  const matcher = grammar.open();
  for (let i = 0, at = 1; i < count; i++) {
    const mask = matcher.mask();
    for (let tried = 0; at === STOP || !allows(mask, at); tried++) {
      if (tried > tokens.length) throw new Error('no token may follow');
      at = (at + 37) % tokens.length;
    }
    expect(matcher.accept(at)).toBe(true);
    at = (at + 37) % tokens.length;
  }
  return grammar;
}

test('Free text through a grammar costs a few walks of the tree of tokens, however many tokens come', () => {
  for (const text of ['root ::= .*', 'root ::= [^\\x00]*', 'root ::= "\\"" ([^"\\\\] | "\\\\" .)*']) {
    const short = follow(text, 50).visitedNodes;
    const long = follow(text, 600).visitedNodes;
    // Situations: between characters, and inside those of two, three and four bytes.
    expect(long).toBeLessThan(10 * trie.size);
    expect(long - short).toBeLessThan(6 * trie.size);
  }
});

test('Requests of one grammar share its masks', () => {
  const grammar = follow('root ::= ([a-z]+ " "?)*', 100);
  const visited = grammar.visitedNodes;
  const again = grammar.open();
  expect(again.mask()).toBe(grammar.open().mask());
  expect(grammar.visitedNodes).toBe(visited);
});

test('A mask allows a token exactly where the automaton takes its bytes', () => {
  const grammar = compileGrammar(parseGbnf('root ::= "\\"" [a-zäöü世 ]{2,9} "\\"" "\\n"?'), trie, [STOP]);
  const matcher = grammar.open();
  for (const text of ['"', 'ka', ' ', '世']) {
    const mask = matcher.mask();
    for (let id = 0; id < tokens.length; id++) if (id !== STOP) expect(allows(mask, id)).toBe(matcher.fork().accept(id));
    expect(allows(mask, STOP)).toBe(matcher.complete);
    for (const byte of Buffer.from(text)) expect(matcher.accept(tokens.length - 256 + byte)).toBe(true);
  }
});

test('The tree of tokens holds every token at the end of its bytes, in steps or at once', () => {
  const seen = new Map<number, string>();
  const path: number[] = [];
  for (let node = 0; node < trie.size; node++) {
    path.length = trie.depth[node]! - 1;
    path.push(trie.byte[node]!);
    for (let i = trie.firstToken[node]!; i < trie.firstToken[node + 1]!; i++) seen.set(trie.tokens[i]!, Buffer.from(path).toString('hex'));
    expect(trie.skip[node]).toBeGreaterThan(node);
  }
  expect(seen.size).toBe(tokens.length - 1);
  for (const [id, hex] of seen) {
    expect(hex).toBe(Buffer.from(bytesOf(id)).toString('hex'));
    expect(Buffer.from(trie.bytesOf(id)).toString('hex')).toBe(hex);
  }
  const work = buildTokenTrie(tokens.length, bytesOf);
  let pauses = 0;
  let step = work.next();
  for (; step.done !== true; step = work.next()) pauses++;
  expect(pauses).toBeGreaterThan(4);
  expect(step.value.tokens).toEqual(trie.tokens);
});

test('The size of a grammar is known from its text: repetitions inside each other are counted, not made', () => {
  let node: GrammarNode = { kind: 'class', ranges: [[97, 97]] };
  for (let depth = 0; depth < 30; depth += 1) node = repeat(node, 0, 999);
  expect(leastStates(node)).toBeGreaterThan(1e60);
  // Not more than there are: what is taken today stays so.
  for (const [source, max] of [
    ['[ab]{0,500}', 500 * 4],
    ['[ab]{0,9999}', 3_000],
  ] as const)
    expect(leastStates(parseGbnf(`root ::= ${source}`).rules.get('root')!)).toBeLessThan(max);
});
