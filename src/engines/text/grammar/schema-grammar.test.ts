import { describe, expect, test } from 'vitest';
import { violation } from '../../../../test/support/json-schema-check.ts';
import { compiled, randomNumbers, randomText, takes } from '../../../../test/support/random-text.ts';
import { isHearthError } from '../../../core/index.ts';
import { schemaGrammar } from './schema-grammar.ts';

const person = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 12 },
    age: { type: 'integer', minimum: -3, maximum: 1207 },
    mail: { type: 'string', format: 'email' },
    tags: { type: 'array', items: { enum: ['a', 'b"c', 'ü', 4, null, { k: [1] }] }, minItems: 1, maxItems: 3 },
    score: { type: ['number', 'null'] },
    on: { type: 'boolean' },
  },
  required: ['name', 'tags'],
  additionalProperties: false,
};
const tree = {
  $ref: '#/$defs/node',
  $defs: {
    node: {
      type: 'object',
      properties: { v: { type: 'integer', minimum: 1, maximum: 9 }, kids: { type: 'array', items: { $ref: '#/$defs/node' }, maxItems: 2 } },
      required: ['v', 'kids'],
    },
  },
};
const SCHEMAS: Readonly<Record<string, unknown>> = {
  person,
  tree,
  optional: { type: 'object', properties: { a: { const: 1 }, b: { type: 'null' }, c: { type: 'boolean' } } },
  open: { type: 'object', properties: { name: { const: 'x' }, nam: { type: 'null' } }, required: ['name', 'zip'], additionalProperties: { type: 'integer' } },
  tuple: { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'boolean' }], items: { type: 'null' }, minItems: 1, maxItems: 4 },
  closedTuple: { type: 'array', prefixItems: [{ const: 'a' }, { const: 'b' }], items: false, minItems: 1 },
  formats: {
    type: 'object',
    properties: Object.fromEntries(['date', 'time', 'date-time', 'uuid', 'email', 'ipv4', 'ipv6'].map((format) => [format, { type: 'string', format }])),
    required: ['date', 'time', 'date-time', 'uuid', 'email', 'ipv4', 'ipv6'],
  },
  patterns: {
    type: 'array',
    prefixItems: [
      { type: 'string', pattern: '^[A-Z]{2,3}-\\d+(?:\\.[^x"]{1,2})?$' },
      { type: 'string', pattern: '^(a|b\\\\|"){1,4}$|^\\u00e9?\\w$' },
      { type: 'string', pattern: '^x.y' },
    ],
    minItems: 3,
    maxItems: 3,
  },
  union: {
    anyOf: [
      { type: 'string', maxLength: 3 },
      { type: 'object', properties: { t: { type: 'integer' } }, required: ['t'] },
    ],
  },
  tagged: {
    oneOf: [
      { type: 'object', properties: { kind: { const: 'a' }, n: { type: 'integer' } }, required: ['kind', 'n'] },
      { type: 'object', properties: { kind: { enum: ['b', 'c'] }, s: { type: 'string', maxLength: 2 } }, required: ['kind'] },
      { type: 'null' },
    ],
  },
  merged: {
    allOf: [{ $ref: '#/definitions/base' }, { type: 'object', properties: { b: { type: 'integer', maximum: 5 } }, required: ['b'] }],
    definitions: { base: { type: 'object', properties: { a: { type: 'string', maxLength: 2 }, b: { type: 'integer', minimum: 2 } }, required: ['a'] } },
  },
  bounds: {
    type: 'array',
    items: {
      anyOf: [
        { type: 'integer', minimum: 98 },
        { type: 'integer', maximum: -1 },
        { type: 'integer', minimum: 0, maximum: 0 },
      ],
    },
    maxItems: 4,
  },
  long: { type: 'string', minLength: 1_500, maxLength: 1_600 },
};

const problem = (schema: unknown): { code: string; pointer: unknown } | null => {
  try {
    schemaGrammar(schema);
    return null;
  } catch (error) {
    if (!isHearthError(error)) throw error;
    return { code: error.code, pointer: error.details?.['pointer'] };
  }
};

describe('grammars of JSON schemas', () => {
  for (const [name, schema] of Object.entries(SCHEMAS))
    test(`texts drawn at random from the schema ${name} are valid documents of it`, () => {
      const grammar = compiled(schemaGrammar(schema));
      const random = randomNumbers(name.length);
      const runs = name === 'long' ? 1 : 80;
      let finished = 0;
      for (let run = 0; run < runs; run++) {
        const text = randomText(grammar, random);
        if (text === null) continue;
        finished++;
        expect(violation(schema, JSON.parse(text)), text).toBeNull();
      }
      expect(finished).toBeGreaterThan(runs * 0.9);
    });

  test('documents as models write them are taken, compact and indented', () => {
    const grammar = compiled(schemaGrammar(person));
    const value = { name: 'Ann "A" é', age: 1207, mail: 'a.b@c-d.example', tags: ['ü', { k: [1] }], score: -1.5e-7, on: true };
    expect(takes(grammar, JSON.stringify(value))).toBe(true);
    expect(takes(compiled(schemaGrammar({ type: 'object' })), JSON.stringify({ a: [value, [], {}] }, null, 4))).toBe(true);
    expect(takes(compiled(schemaGrammar(tree)), JSON.stringify({ v: 1, kids: [{ v: 2, kids: [] }] }, null, 2))).toBe(true);
    expect(takes(compiled(schemaGrammar(tree)), '{"kids": [], "v": 1}')).toBe(false);
    expect(takes(compiled(schemaGrammar({ type: 'string', maxLength: 2 })), '"\\u00e9\\n"')).toBe(true);
    expect(takes(compiled(schemaGrammar({ type: 'string', maxLength: 2 })), '"abc"')).toBe(false);
  });

  test('[serving V24] an unsupported keyword and a remote reference are refused with their place, and a recursive local reference works', () => {
    const at = (pointer: string) => ({ code: 'invalid_json_schema', pointer });
    expect(problem({ type: 'object', properties: { 'a/b': { type: 'array', uniqueItems: true } } })).toEqual(at('/properties/a~1b/uniqueItems'));
    expect(problem({ $defs: { x: { type: 'integer', multipleOf: 2 } } })).toEqual(at('/$defs/x/multipleOf'));
    expect(problem({ properties: { a: { $ref: 'https://example.com/s.json' } } })).toEqual(at('/properties/a/$ref'));
    expect(problem({ items: { $ref: '#/$defs/none' }, type: 'array' })).toEqual(at('/items/$ref'));
    expect(problem({ type: 'string', pattern: '^(?=a)b$' })).toEqual(at('/pattern'));
    expect(problem({ type: 'string', pattern: '^(a)\\1$' })).toEqual(at('/pattern'));
    expect(problem({ type: 'string', format: 'hostname' })).toEqual(at('/format'));
    expect(problem({ type: 'number', minimum: 1 })).toEqual(at('/minimum'));
    expect(problem({ oneOf: [{ type: 'integer' }, { type: 'number' }] })).toEqual(at('/oneOf'));
    expect(problem({ not: {} })).toEqual(at('/not'));
    expect(problem({ allOf: [{ $ref: '#' }] })).toEqual(at(''));
    expect(problem({ $ref: '#' })).toEqual(at(''));
    expect(problem({ type: 'object', properties: { a: false }, required: ['a'] })).toEqual(at(''));
    expect(problem('x')).toEqual(at(''));
    expect(problem(tree)).toBeNull();
  });

  test('caps hold: bytes, depth, length of patterns', () => {
    expect(problem({ enum: ['x'.repeat(256 * 1024)] })?.code).toBe('invalid_json_schema');
    const deep = Array.from({ length: 40 }).reduce<unknown>((inner) => ({ type: 'array', items: inner }), {});
    expect(problem(deep)?.code).toBe('invalid_json_schema');
    expect(problem({ type: 'string', pattern: 'a'.repeat(1_025) })?.pointer).toBe('/pattern');
  });
});
