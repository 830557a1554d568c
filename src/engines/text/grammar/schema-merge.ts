import { below, isAnnotation, isSchemaObject, type Schema, type SchemaObject, schemaProblem } from './schema-check.ts';

/** Follows `#`, `#/a/b` and percent-encoded forms of it. Throws invalid_json_schema for a place that does not exist. */
export function resolveReference(root: Schema, reference: string, pointer: string): { readonly schema: Schema; readonly pointer: string } {
  let path: string;
  try {
    path = decodeURIComponent(reference.slice(1));
  } catch {
    throw schemaProblem(pointer, `${reference.slice(0, 100)} is not a reference`);
  }
  if (path !== '' && !path.startsWith('/'))
    throw schemaProblem(pointer, `references by name (${reference.slice(0, 100)}) are not followed; write a path such as #/$defs/name`);
  let at: unknown = root;
  for (const key of path.split('/').slice(1)) {
    const name = key.replaceAll('~1', '/').replaceAll('~0', '~');
    at = typeof at === 'object' && at !== null && Object.hasOwn(at, name) ? (at as Record<string, unknown>)[name] : undefined;
  }
  if (typeof at !== 'boolean' && !isSchemaObject(at)) throw schemaProblem(pointer, `the reference ${reference.slice(0, 100)} leads nowhere`);
  return { schema: at, pointer: path };
}

/** Types that a schema names; null where it names none. */
export function typesOf(schema: SchemaObject): readonly string[] | null {
  const type = schema['type'];
  return type === undefined ? null : ((Array.isArray(type) ? type : [type]) as string[]);
}

/** Values that a schema lists by enum or const; null where it lists none. */
export function valuesOf(schema: SchemaObject): readonly unknown[] | null {
  if (Object.hasOwn(schema, 'const')) return [schema['const']];
  return (schema['enum'] as unknown[] | undefined) ?? null;
}

/** Keywords without annotations. */
export const constraints = (schema: SchemaObject): SchemaObject => Object.fromEntries(Object.entries(schema).filter(([keyword]) => !isAnnotation(keyword)));

const MAX_BRANCHES = 256;
const LARGER = new Set(['minLength', 'minItems', 'minimum']);
const SMALLER = new Set(['maxLength', 'maxItems', 'maximum']);

/** One schema that holds where both hold. References are resolved by the caller. Throws invalid_json_schema where there is no such form. */
export function mergeSchemas(a: Schema, b: Schema, pointer: string): Schema {
  if (a === false || b === false) return false;
  if (a === true) return b;
  if (b === true) return a;
  const merged: Record<string, unknown> = { ...constraints(a) };
  for (const [keyword, value] of Object.entries(constraints(b))) {
    const other = merged[keyword];
    if (keyword === 'properties' || keyword === 'additionalProperties') continue;
    if (keyword === 'enum' || keyword === 'const') continue;
    if (other === undefined || JSON.stringify(other) === JSON.stringify(value)) merged[keyword] = value;
    else if (keyword === 'type') merged[keyword] = commonTypes(typesOf(a)!, typesOf(b)!);
    else if (keyword === 'required') merged[keyword] = [...new Set([...(other as string[]), ...(value as string[])])];
    else if (LARGER.has(keyword)) merged[keyword] = Math.max(other as number, value as number);
    else if (SMALLER.has(keyword)) merged[keyword] = Math.min(other as number, value as number);
    else if (keyword === 'items') merged[keyword] = { allOf: [other, value] };
    else if (keyword === 'allOf') merged[keyword] = [...(other as unknown[]), ...(value as unknown[])];
    else if (keyword === 'anyOf') merged[keyword] = pairs(other as Schema[], value as Schema[], below(pointer, keyword));
    else throw schemaProblem(below(pointer, keyword), `two different values of ${keyword} meet here, which cannot be enforced together`);
  }
  mergeValues(a, b, merged);
  mergeProperties(a, b, merged);
  return merged;
}

const commonTypes = (a: readonly string[], b: readonly string[]): string[] => {
  const has = (list: readonly string[], type: string): boolean => list.includes(type) || (type === 'integer' && list.includes('number'));
  return [...new Set([...a, ...b])].filter((type) => has(a, type) && has(b, type));
};

function pairs(a: readonly Schema[], b: readonly Schema[], pointer: string): Schema[] {
  if (a.length * b.length > MAX_BRANCHES) throw schemaProblem(pointer, 'too many alternatives meet here');
  return a.flatMap((one) => b.map((other) => ({ allOf: [one, other] })));
}

function mergeValues(a: SchemaObject, b: SchemaObject, merged: Record<string, unknown>): void {
  const [ours, theirs] = [valuesOf(a), valuesOf(b)];
  if (ours === null && theirs === null) return;
  const wanted = theirs?.map((value) => JSON.stringify(value));
  delete merged['const'];
  merged['enum'] = ours === null || wanted === undefined ? (ours ?? theirs) : ours.filter((value) => wanted.includes(JSON.stringify(value)));
}

/** A closed object allows its own properties only, also where another schema names more. */
function mergeProperties(a: SchemaObject, b: SchemaObject, merged: Record<string, unknown>): void {
  const [ours, theirs] = [propertiesOf(a), propertiesOf(b)];
  const both = (one: Schema, other: Schema): Schema => {
    if (one === false || other === false) return false;
    if (one === true || other === true) return one === true ? other : one;
    return { allOf: [one, other] };
  };
  const keys = new Set([...ours.keys(), ...theirs.keys()]);
  const [oursElse, theirsElse] = [additionalOf(a), additionalOf(b)];
  if (keys.size > 0) merged['properties'] = Object.fromEntries([...keys].map((key) => [key, both(ours.get(key) ?? oursElse, theirs.get(key) ?? theirsElse)]));
  if (a['additionalProperties'] !== undefined || b['additionalProperties'] !== undefined) merged['additionalProperties'] = both(oursElse, theirsElse);
}

export const propertiesOf = (schema: SchemaObject): ReadonlyMap<string, Schema> =>
  new Map(Object.entries((schema['properties'] ?? {}) as Record<string, Schema>));
const additionalOf = (schema: SchemaObject): Schema => (schema['additionalProperties'] as Schema | undefined) ?? true;
export const requiredOf = (schema: SchemaObject): readonly string[] => (schema['required'] as string[] | undefined) ?? [];

const ALL_TYPES = ['object', 'array', 'string', 'number', 'boolean', 'null'];

/** Whether no value can satisfy both; false also where that cannot be shown. `resolve` follows references. */
export function disjoint(a: Schema, b: Schema, resolve: (schema: Schema) => Schema, depth = 0): boolean {
  const [one, other] = [resolve(a), resolve(b)];
  if (one === false || other === false) return true;
  if (one === true || other === true || depth > 8) return false;
  const [ours, theirs] = [valuesOf(one), valuesOf(other)];
  if (ours !== null && theirs !== null) return ours.every((value) => theirs.every((their) => JSON.stringify(value) !== JSON.stringify(their)));
  const [types, theirTypes] = [possibleTypes(one), possibleTypes(other)];
  const common = types.filter((type) => theirTypes.includes(type));
  if (common.length === 0) return true;
  if (common.some((type) => type !== 'object')) return false;
  const [required, theirRequired] = [requiredOf(one), requiredOf(other)];
  if (required.some((key) => isClosedTo(other, key)) || theirRequired.some((key) => isClosedTo(one, key))) return true;
  return required.some((key) => {
    const [mine, their] = [propertiesOf(one).get(key), propertiesOf(other).get(key)];
    return theirRequired.includes(key) && mine !== undefined && their !== undefined && disjoint(mine, their, resolve, depth + 1);
  });
}

const isClosedTo = (schema: SchemaObject, key: string): boolean => schema['additionalProperties'] === false && !propertiesOf(schema).has(key);

function possibleTypes(schema: SchemaObject): readonly string[] {
  const values = valuesOf(schema);
  if (values !== null) return [...new Set(values.map(typeOfValue))];
  return (typesOf(schema) ?? ALL_TYPES).map((type) => (type === 'integer' ? 'number' : type));
}

export function typeOfValue(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value;
}
