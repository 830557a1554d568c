export type Schema = Readonly<Record<string, unknown>>;

const TEXTS = [
  '',
  'x',
  'hi',
  'org/fake',
  'user',
  'assistant',
  'text',
  '../../x',
  'a/b',
  '\u0000',
  '\u202e',
  '😀',
  '%2e%2e',
  '-rf',
  '$(id)',
  '1',
  'true',
  'x'.repeat(300),
];

/** A value that the JSON schema allows, as far as its keywords can tell; `name` is that of its field. */
export function generateJson(schema: Schema, random: () => number, name: string, root: Schema = schema, depth = 0): unknown {
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const inner = (part: unknown, field = name): unknown => generateJson(part as Schema, random, field, root, depth + 1);
  if (typeof schema === 'boolean') return generateOther(random);
  const reference = schema['$ref'];
  if (typeof reference === 'string') return depth > 12 ? null : inner(resolve(root, reference));
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum'])) return pick(schema['enum']);
  for (const keyword of ['anyOf', 'oneOf'] as const) if (Array.isArray(schema[keyword])) return inner(pick(schema[keyword]));
  if (Array.isArray(schema['allOf'])) return Object.assign({}, ...schema['allOf'].map((part) => inner(part)));
  const type = Array.isArray(schema['type']) ? pick(schema['type'] as string[]) : schema['type'];
  switch (type) {
    case 'object': {
      const made: Record<string, unknown> = {};
      const required = (schema['required'] ?? []) as string[];
      for (const [field, part] of Object.entries((schema['properties'] ?? {}) as Record<string, unknown>))
        if (required.includes(field) || random() < (depth === 0 ? 0.25 : 0.4)) made[field] = inner(part, field);
      if (typeof schema['additionalProperties'] === 'object' && random() < 0.3) made[pick(['a', 'b', 'text'])] = inner(schema['additionalProperties']);
      return made;
    }
    case 'array': {
      const least = Number(schema['minItems'] ?? 0);
      const count = Math.max(least, depth > 8 ? 0 : Math.floor(random() * 3));
      return Array.from({ length: count }, () => (schema['items'] === undefined ? generateOther(random) : inner(schema['items'])));
    }
    case 'integer':
    case 'number': {
      const least = Number(schema['minimum'] ?? schema['exclusiveMinimum'] ?? -5);
      // Few tokens: answers are made for each request.
      const most = Math.min(Number(schema['maximum'] ?? schema['exclusiveMaximum'] ?? 20), least + 40);
      const number = least + random() * (most - least);
      return type === 'integer' ? Math.ceil(number) : number;
    }
    case 'boolean':
      return random() < 0.5;
    case 'null':
      return null;
    case 'string': {
      const text =
        name === 'model'
          ? 'org/fake'
          : name === 'role'
            ? pick(['user', 'system', 'assistant', 'tool'])
            : name === 'type'
              ? pick(['text', 'function', 'message'])
              : pick(TEXTS);
      return text.padEnd(Number(schema['minLength'] ?? 0), 'x').slice(0, Number(schema['maxLength'] ?? 1_000));
    }
    default:
      return generateOther(random);
  }
}

/** Anything that JSON can say. */
export function generateOther(random: () => number, depth = 3): unknown {
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const roll = random();
  if (depth > 0 && roll < 0.15) return Array.from({ length: Math.floor(random() * 3) }, () => generateOther(random, depth - 1));
  if (depth > 0 && roll < 0.3)
    return Object.fromEntries(
      ['type', 'text', 'role', 'content', 'name', 'id'].filter(() => random() < 0.3).map((name) => [name, generateOther(random, depth - 1)]),
    );
  return pick([null, true, false, 0, 1, -1, 0.5, 1e9, 2 ** 53, -(2 ** 53), 1e308, ...TEXTS]);
}

const resolve = (root: Schema, reference: string): unknown =>
  reference
    .slice(1)
    .split('/')
    .slice(1)
    .reduce<unknown>((node, key) => (node as Record<string, unknown>)[key.replaceAll('~1', '/').replaceAll('~0', '~')], root);
