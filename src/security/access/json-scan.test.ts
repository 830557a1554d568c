import { describe, expect, test } from 'vitest';
import { parseJsonStrictly } from './json-scan.ts';

const refusal = (text: string): unknown => {
  try {
    return parseJsonStrictly(text);
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('the strict JSON scan', () => {
  test('takes what JSON.parse takes: escapes, pairs of surrogates, equal keys in different objects, keys in strings', () => {
    for (const value of [
      { text: '"}{][,:', emoji: '😀', nested: [{ a: 1 }, { a: 2 }, { a: { a: 3 } }] },
      { constructor: 1, prototype: 2, 'a\\"b': [true, false, null, -1.5e-3] },
      'text',
      [[[]]],
      { 'key:with:colons': ':', empty: '' },
    ]) {
      expect(parseJsonStrictly(JSON.stringify(value))).toEqual(value);
      expect(parseJsonStrictly(JSON.stringify(value, null, 2))).toEqual(value);
    }
    expect(parseJsonStrictly('{"a":"\\ud83d\\ude00"}')).toEqual({ a: '😀' });
    expect(parseJsonStrictly(`${'['.repeat(64)}${']'.repeat(64)}`)).toBeInstanceOf(Array);
  });

  test('refuses traps and broken JSON with invalid_json', () => {
    for (const text of [
      '{"a":1,"a":2}',
      '{"\\u0061":1,"a":2}',
      '[{"x":{"__proto__":1}}]',
      '{"constructor":{"prototype":{}}}',
      '{"a":"\\udc00"}',
      '{"a":"\\ud83d"}',
      '{"\\ud800":1}',
      '"no end',
      '{"a" "b"}',
      '[1,]',
      '{"a":01}',
      '"\\x"',
      '',
      ' ',
      '}',
      '"',
      '"\\',
      `${'['.repeat(65)}${']'.repeat(65)}`,
    ]) {
      expect(refusal(text)).toBe('invalid_json');
    }
  });

  test('agrees with JSON.parse on random texts of JSON characters', () => {
    const alphabet = ['{', '}', '[', ']', '"', ':', ',', 'a', '1', ' ', '\\', 'u', 'true', '"k"'];
    let state = 7;
    const pick = (): string => {
      state = (state * 1103515245 + 12345) % 2147483648;
      return alphabet[Math.floor((state / 2147483648) * alphabet.length)]!;
    };
    let valid = 0;
    for (let round = 0; round < 20_000; round += 1) {
      const text = Array.from({ length: 1 + (round % 9) }, pick).join('');
      let expected: unknown;
      try {
        expected = JSON.parse(text);
        valid += 1;
      } catch {
        expected = 'invalid_json';
      }
      const got = refusal(text);
      // Duplicate keys are the only valid JSON of this alphabet that the scan refuses.
      if (got === 'invalid_json' && expected !== 'invalid_json') expect(text).toMatch(/"(.*?)"[\s\S]*"\1"/);
      else expect(got).toEqual(expected);
    }
    expect(valid).toBeGreaterThan(500);
  });
});
