import { HearthError } from '../../../core/index.ts';

export type Schema = boolean | SchemaObject;
export type SchemaObject = Readonly<Record<string, unknown>>;

/** What hearth enforces (docs/spec/serving.md §3.3), and what may stand beside it without meaning for the answer. */
const KEYWORDS = new Set(
  'type properties required additionalProperties items prefixItems minItems maxItems enum const anyOf oneOf allOf $ref minLength maxLength pattern format minimum maximum'.split(
    ' ',
  ),
);
const ANNOTATIONS = new Set('title description default example examples $comment $schema $id $defs definitions deprecated readOnly writeOnly'.split(' '));
const TYPES = new Set(['object', 'array', 'string', 'number', 'integer', 'boolean', 'null']);
const COUNTS = new Set(['minItems', 'maxItems', 'minLength', 'maxLength']);
const MAX_BYTES = 256 * 1024;
const MAX_DEPTH = 32;
const MAX_PATTERN = 1_024;

export function schemaProblem(pointer: string, message: string): HearthError {
  return new HearthError('invalid_json_schema', `The JSON schema cannot be enforced at ${pointer === '' ? 'its root' : `#${pointer}`}: ${message}.`, {
    details: { pointer },
  });
}

export const isSchemaObject = (value: unknown): value is SchemaObject => typeof value === 'object' && value !== null && !Array.isArray(value);
export const isAnnotation = (keyword: string): boolean => ANNOTATIONS.has(keyword);
export const below = (pointer: string, ...keys: (string | number)[]): string =>
  pointer + keys.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** Refuses every keyword that would not be kept, values of the wrong kind, and what is over the caps of docs/spec/security.md §7. */
export function checkSchema(schema: unknown): Schema {
  const bytes = Buffer.byteLength(JSON.stringify(schema) ?? '');
  if (bytes > MAX_BYTES) throw schemaProblem('', `it has ${bytes} bytes, and at most ${MAX_BYTES} are taken`);
  checkAt(schema, '', 1);
  return schema as Schema;
}

function checkAt(schema: unknown, pointer: string, depth: number): void {
  if (typeof schema === 'boolean') return;
  if (!isSchemaObject(schema)) throw schemaProblem(pointer, 'a schema is an object, true or false');
  if (depth > MAX_DEPTH) throw schemaProblem(pointer, `it is nested deeper than ${MAX_DEPTH}`);
  for (const [keyword, value] of Object.entries(schema)) {
    const at = below(pointer, keyword);
    if (keyword === '$defs' || keyword === 'definitions' || keyword === 'properties') checkMap(value, at, depth);
    else if (!KEYWORDS.has(keyword)) {
      if (!ANNOTATIONS.has(keyword)) throw schemaProblem(at, `the keyword ${keyword.slice(0, 64)} is not supported`);
    } else checkKeyword(keyword, value, at, depth);
  }
}

function checkMap(value: unknown, pointer: string, depth: number): void {
  if (!isSchemaObject(value)) throw schemaProblem(pointer, 'it has to be an object of schemas');
  for (const [key, schema] of Object.entries(value)) checkAt(schema, below(pointer, key), depth + 1);
}

function checkKeyword(keyword: string, value: unknown, pointer: string, depth: number): void {
  const need = (ok: boolean, what: string): void => {
    if (!ok) throw schemaProblem(pointer, `${keyword} has to be ${what}`);
  };
  switch (keyword) {
    case 'type': {
      const types = Array.isArray(value) ? value : [value];
      need(types.length > 0 && types.every((type) => TYPES.has(type as string)), `one of ${[...TYPES].join(', ')}, or a list of them`);
      break;
    }
    case 'required':
      need(Array.isArray(value) && value.every((key) => typeof key === 'string'), 'a list of names');
      break;
    case 'additionalProperties':
    case 'items':
      checkAt(value, pointer, depth + 1);
      break;
    case 'prefixItems':
    case 'anyOf':
    case 'oneOf':
    case 'allOf':
      need(Array.isArray(value) && value.length > 0, 'a list of schemas');
      for (const [i, schema] of (value as unknown[]).entries()) checkAt(schema, below(pointer, i), depth + 1);
      break;
    case 'enum':
      need(Array.isArray(value) && value.length > 0, 'a list of values');
      break;
    case '$ref':
      need(typeof value === 'string', 'a reference');
      if (!(value as string).startsWith('#'))
        throw schemaProblem(pointer, `only references into the schema itself are followed, not ${(value as string).slice(0, 100)}`);
      break;
    case 'pattern':
      need(typeof value === 'string' && value.length <= MAX_PATTERN, `an expression of at most ${MAX_PATTERN} characters`);
      break;
    case 'format':
      need(typeof value === 'string', 'a name');
      break;
    case 'minimum':
    case 'maximum':
      need(typeof value === 'number' && Number.isFinite(value), 'a number');
      break;
    default:
      if (COUNTS.has(keyword)) need(Number.isSafeInteger(value) && (value as number) >= 0, 'a count');
  }
}
