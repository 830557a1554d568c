// Owns: grammars of answers: JSON schemas, GBNF, patterns, and their masks over a vocabulary.
// Refuses: sampling, models, where a grammar begins in an answer; everything here is pure.
// Called by: the rest of engines/text.

export { parseGbnf } from './gbnf.ts';
export { choice, EMPTY, free, type Grammar, type GrammarNode, oneOf, optional, repeat, rule, sequence, text } from './grammar.ts';
export { JSON_OBJECT_GRAMMAR, JSON_RULES } from './json-grammar.ts';
export { checkGrammar } from './left-recursion.ts';
export { type CompiledGrammar, compileGrammar, type GrammarMatcher } from './matcher.ts';
export { createSchemaConverter } from './schema-grammar.ts';
export { buildTokenTrie, createTokenTrie, type TokenTrie } from './token-trie.ts';
