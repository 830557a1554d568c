import { describe, expect, test } from 'vitest';
import { createSchemaConverter } from '../grammar/index.ts';
import { enforceablePart } from './enforceable.ts';

const part = (schema: unknown): unknown => enforceablePart(schema, (each) => void createSchemaConverter(each));

describe('the part of a schema that can be enforced', () => {
  test('is the schema where all of it can', () => {
    const schema = {
      type: 'object',
      properties: { a: { type: 'string', maxLength: 3 }, not: { type: 'integer' } },
      required: ['a'],
      additionalProperties: false,
    };
    expect(part(schema)).toEqual(schema);
  });

  test('lacks the keywords that cannot, and keeps what stands beside them', () => {
    expect(
      part({
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'object',
        properties: {
          limit: { type: 'integer', exclusiveMinimum: 0 },
          links: { type: 'array', items: { type: 'string', format: 'uri' }, uniqueItems: true },
          map: { type: 'object', propertyNames: { type: 'string' }, additionalProperties: { type: 'string' } },
          other: { anyOf: [{ type: 'string' }, { $ref: 'https://example.com/x' }] },
        },
        required: ['limit'],
        additionalProperties: false,
      }),
    ).toEqual({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      properties: {
        limit: { type: 'integer' },
        links: { type: 'array', items: { type: 'string' } },
        map: { type: 'object', additionalProperties: { type: 'string' } },
        other: { anyOf: [{ type: 'string' }, {}] },
      },
      required: ['limit'],
      additionalProperties: false,
    });
  });

  test('has no counts that would make a large grammar', () => {
    const findings = {
      type: 'array',
      maxItems: 4,
      items: { type: 'object', properties: { note: { type: 'string', maxLength: 60 }, id: { type: 'string', maxLength: 8 } } },
    };
    expect(part({ type: 'object', properties: { script: { type: 'string', maxLength: 524_288 }, query: { type: 'string', minLength: 2 }, findings } })).toEqual(
      {
        type: 'object',
        properties: {
          script: { type: 'string' },
          query: { type: 'string', minLength: 2 },
          findings: { ...findings, items: { type: 'object', properties: { note: { type: 'string' }, id: { type: 'string', maxLength: 8 } } } },
        },
      },
    );
  });

  test('is any object where nothing is left, and never fails', () => {
    expect(part({ type: 'object', properties: { a: { type: 'string', pattern: '(?=x)' } } })).toEqual({
      type: 'object',
      properties: { a: { type: 'string' } },
    });
    for (const wrong of [
      'text',
      7,
      null,
      [],
      { type: 'thing' },
      { properties: 5 },
      { properties: { properties: 5 } },
      { $ref: '#/nowhere' },
      { enum: [] },
      { allOf: [{ type: 'string' }, { type: 'integer' }] },
    ])
      expect(() => createSchemaConverter(part(wrong))).not.toThrow();
  });
});
