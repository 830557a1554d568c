import { type CompiledGrammar, compileGrammar, createTokenTrie, type Grammar, type TokenTrie } from '../../src/engines/text/grammar/index.ts';

/** Every byte, and tokens over borders of everything: quotes with commas, spaces, halves of characters. The last one ends the text. */
const WORDS = [
  '"',
  '":',
  '","',
  '": "',
  '{"',
  '"}',
  '}}',
  '[{',
  '],',
  ' true',
  'null',
  '-1',
  '10',
  '0.',
  'e+',
  '  ',
  '\n  ',
  'name',
  'na',
  'é',
  '🌍',
  'the quick',
  '\\"',
  '\\u00',
  '</',
  '<tool',
  '_call>',
  '>{',
];
export const vocabulary: readonly Uint8Array[] = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...WORDS.map((word) => new TextEncoder().encode(word)),
  new TextEncoder().encode('é🌍').subarray(1, 4),
  new Uint8Array(),
];
export const END = vocabulary.length - 1;
export const trie: TokenTrie = createTokenTrie(vocabulary.length, (id) => vocabulary[id]!);

export const compiled = (grammar: Grammar): CompiledGrammar => compileGrammar(grammar, trie, [END]);

/** A repeatable stream of numbers in [0, 1). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A text of tokens drawn evenly among those that the mask allows; null when it is not complete after `limit` tokens. */
export function randomText(grammar: CompiledGrammar, random: () => number, limit = 4_000): string | null {
  const matcher = grammar.open();
  const bytes: number[] = [];
  for (let count = 0; count < limit; count++) {
    const mask = matcher.mask();
    const allowed = [...vocabulary.keys()].filter((id) => ((mask[id >> 5]! >>> (id & 31)) & 1) === 1);
    if (allowed.length === 0) throw new Error(`no token may follow ${Buffer.from(bytes).toString()}`);
    const id = allowed[Math.floor(random() * allowed.length)]!;
    if (id === END || (allowed.includes(END) && random() < 0.2)) return Buffer.from(bytes).toString('utf8');
    if (!matcher.accept(id)) throw new Error(`token ${id} is allowed and refused`);
    bytes.push(...vocabulary[id]!);
  }
  return null;
}

/** Whether the grammar takes the text, byte by byte, and may end there. */
export function takes(grammar: CompiledGrammar, text: string): boolean {
  const matcher = grammar.open();
  return [...Buffer.from(text)].every((byte) => matcher.accept(byte)) && matcher.complete;
}
