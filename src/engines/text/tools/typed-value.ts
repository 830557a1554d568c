import { parsed } from './json-text.ts';

type SchemaObject = Readonly<Record<string, unknown>>;

/** Types that a parameter's schema allows; null where it says nothing. anyOf, oneOf, lists and enums count. */
export function typesOfParameter(schema: unknown): ReadonlySet<string> | null {
  if (typeof schema !== 'object' || schema === null) return null;
  const { type, anyOf, oneOf, enum: values, const: constant } = schema as SchemaObject;
  if (type !== undefined) return new Set((Array.isArray(type) ? type : [type]) as string[]);
  const branches = (anyOf ?? oneOf) as unknown[] | undefined;
  if (Array.isArray(branches)) {
    const types = branches.map(typesOfParameter);
    return types.includes(null) ? null : new Set(types.flatMap((some) => [...some!]));
  }
  const listed = Array.isArray(values) ? values : constant === undefined ? null : [constant];
  if (listed !== null) return new Set(listed.map((value) => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value)));
  return null;
}

export const isStringOnly = (schema: unknown): boolean => {
  const types = typesOfParameter(schema);
  return types !== null && types.size === 1 && types.has('string');
};

/** JSON text of a value that was written without quotes or types (docs/spec/agents-training.md §1.6). */
export function typedValue(raw: string, schema: unknown): string {
  const types = typesOfParameter(schema);
  const text = raw.trim();
  const value = parsed(text);
  const json = (): string => JSON.stringify(value);
  if (types === null) return value === undefined ? JSON.stringify(raw) : json();
  const has = (type: string): boolean => types.has(type);
  if (has('string') && types.size === 1) return JSON.stringify(raw);
  if (text === 'null' && (has('null') || !has('string'))) return 'null';
  if (typeof value === 'boolean' && has('boolean')) return json();
  if (/^(true|false)$/i.test(text) && has('boolean')) return text.toLowerCase();
  if (typeof value === 'number' && (has('number') || (has('integer') && Number.isInteger(value)))) return json();
  if (Array.isArray(value) && has('array')) return json();
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && has('object')) return json();
  if (has('string')) return JSON.stringify(raw);
  return value === undefined ? JSON.stringify(raw) : json();
}
