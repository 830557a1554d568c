import { describe, expect, test } from 'vitest';
import { compiled, takes } from '../../../../test/support/random-text.ts';
import { isHearthError } from '../../../core/index.ts';
import { parseGbnf } from './gbnf.ts';
import { free, oneOf, repeat, rule, sequence, text } from './grammar.ts';
import { integerRange } from './integer-range.ts';

const grammar = (source: string) => compiled(parseGbnf(source));
const failure = (source: string): { code: string; line: unknown } | null => {
  try {
    compiled(parseGbnf(source));
    return null;
  } catch (error) {
    if (!isHearthError(error)) throw error;
    return { code: error.code, line: error.details?.['line'] };
  }
};

describe('GBNF', () => {
  test('the notation of llama.cpp is read: comments, groups over lines, classes, counts, escapes, any character', () => {
    const move = grammar(`# chess
root ::= (
  "1. " move " " move "\\n"   # first
  | [2-9] "." .{2,4}
)
move ::= piece? [a-h] [1-8]+
piece ::= [KQ\\x52] | "\\u00e9"
`);
    expect(takes(move, '1. Ka1 b23\n')).toBe(true);
    expect(takes(move, '1. Ra1 éb2\n')).toBe(true);
    expect(takes(move, '7.🌍xé')).toBe(true);
    expect(takes(move, '7.x')).toBe(false);
    expect(takes(move, '1. Za1 b2\n')).toBe(false);
  });

  test('rules may recurse behind what they match, and a negated class takes characters of several bytes', () => {
    const nested = grammar('root ::= "(" root? ")" | [^()]*');
    expect(takes(nested, '((()))')).toBe(true);
    expect(takes(nested, '(é語🌍)')).toBe(true);
    expect(takes(nested, '(()')).toBe(false);
  });

  test('mistakes are told with their line', () => {
    expect(failure('root ::= "a"\nx ::= y')).toEqual({ code: 'invalid_value', line: 2 });
    expect(failure('root ::= "a\n')).toEqual({ code: 'invalid_value', line: 1 });
    expect(failure('root ::= [z-a]')).toEqual({ code: 'invalid_value', line: 1 });
    expect(failure('\n\nroot ::= ("a"')).toEqual({ code: 'invalid_value', line: 3 });
    expect(failure('x ::= "a"')?.code).toBe('invalid_value');
    expect(failure('root ::= root "a" | "b"')?.code).toBe('invalid_value');
    expect(failure('root ::= a\na ::= "x"? b\nb ::= a')?.code).toBe('invalid_value');
    expect(failure(Array.from({ length: 2_049 }, (_, i) => `r${i} ::= "x"`).join('\n'))?.code).toBe('invalid_value');
    expect(failure('root ::= (("a"{0,10000}){0,10000}){0,10000}')?.code).toBe('invalid_value');
  });
});

describe('matching', () => {
  test('free text holds no mark, whatever comes before it, and the mark may follow', () => {
    const lazy = compiled({
      root: sequence(free('<call>'), repeat(rule('call'), 0, null)),
      rules: new Map([['call', sequence(text('<call>{}'), free('<call>'))]]),
    });
    expect(takes(lazy, 'a < b, <<cal> 語 <call')).toBe(true);
    expect(takes(lazy, '<<call>{} and <call>{}')).toBe(true);
    expect(takes(lazy, 'x <call>{')).toBe(false);
    expect(takes(lazy, 'x <call>x')).toBe(false);
  });

  test('counted repetitions end exactly at their borders, in blocks and without', () => {
    for (const [min, max] of [
      [0, 3],
      [2, 2],
      [100, 150],
      [0, 1_100],
      [1_030, 1_030],
      [70, 1_099],
    ] as const) {
      const counted = compiled({ root: repeat(oneOf('a-c'), min, max), rules: new Map() });
      for (const length of new Set([0, 1, min - 1, min, min + 1, max - 1, max, max + 1]))
        if (length >= 0) expect(takes(counted, 'b'.repeat(length)), `${length} of ${min} to ${max}`).toBe(length >= min && length <= max);
    }
  });

  test('ranges of integers hold exactly their numbers', () => {
    for (const [min, max] of [
      [-12, 105],
      [0, 9],
      [7, 7],
      [95, 1_020],
      [-30, -28],
    ] as const) {
      const range = compiled({ root: integerRange(min, max), rules: new Map() });
      for (let n = -130; n <= 1_100; n++) expect(takes(range, String(n)), `${n} in ${min} … ${max}`).toBe(n >= min && n <= max);
      expect(takes(range, '007')).toBe(false);
    }
  });

  test('a fork goes its own way', () => {
    const matcher = grammar('root ::= "ab" | "ac"').open();
    expect(matcher.accept(97)).toBe(true);
    const other = matcher.fork();
    expect(other.accept(98)).toBe(true);
    expect([matcher.complete, other.complete]).toEqual([false, true]);
    expect(matcher.accept(120)).toBe(false);
    expect(matcher.accept(99)).toBe(true);
  });
});
