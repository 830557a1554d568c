import { isHearthError } from '../../../core/index.ts';
import { hasFiniteText } from './finite.ts';
import { choice, EMPTY, type Grammar, type GrammarNode, NEVER, optional, repeat, rule, sequence, text } from './grammar.ts';
import { integerRange } from './integer-range.ts';
import {
  ANY_ARRAY,
  ANY_OBJECT,
  ANY_VALUE,
  BOOLEAN,
  CHARACTER,
  COMMA,
  characterOf,
  INTEGER,
  JSON_RULES,
  list,
  member,
  NULL,
  NUMBER,
  quoted,
  STRING,
  stringExcept,
} from './json-grammar.ts';
import { refuseLeftRecursion } from './left-recursion.ts';
import { nullableRules } from './nullable.ts';
import { patternGrammar } from './pattern.ts';
import { below, checkSchema, isSchemaObject, type Schema, type SchemaObject, schemaProblem } from './schema-check.ts';
import { FORMATS } from './schema-formats.ts';
import { constraints, disjoint, mergeSchemas, propertiesOf, requiredOf, resolveReference, typeOfValue, typesOf, valuesOf } from './schema-merge.ts';

const MAX_MERGES = 64;
/** Keywords that say of which type a schema without `type` speaks. */
const IMPLIED: readonly (readonly [string, readonly string[]])[] = [
  ['object', ['properties', 'required', 'additionalProperties']],
  ['array', ['items', 'prefixItems', 'minItems', 'maxItems']],
  ['string', ['minLength', 'maxLength', 'pattern', 'format']],
];

/**
 * The grammar of the JSON texts that satisfy a schema: properties in the schema's order, objects closed unless the schema opens them.
 * Throws invalid_json_schema, with the JSON pointer in `details.pointer`, for what cannot be enforced.
 */
export function schemaGrammar(schema: unknown): Grammar {
  const converter = createSchemaConverter(schema);
  return { root: converter.root, rules: converter.rules };
}

/** The same for use inside another grammar: `root` needs `rules`, whose names begin with `prefix`. */
export function createSchemaConverter(given: unknown, prefix = ''): { readonly root: GrammarNode; readonly rules: ReadonlyMap<string, GrammarNode> } {
  const document = checkSchema(given);
  const rules = new Map<string, GrammarNode>(JSON_RULES);
  let count = 0;
  const define = (node: GrammarNode): GrammarNode => {
    const name = `${prefix}part ${count++}`;
    rules.set(name, node);
    return rule(name);
  };
  const isNever = (node: GrammarNode): boolean => node.kind === 'choice' && node.items.length === 0;
  const either = (nodes: readonly GrammarNode[]): GrammarNode => choice(...nodes.filter((node) => !isNever(node)));

  function convert(schema: Schema, pointer: string, merges: number): GrammarNode {
    if (merges > MAX_MERGES) throw schemaProblem(pointer, 'it refers to itself without an end');
    if (schema === false) return NEVER;
    if (schema === true) return ANY_VALUE;
    const own = constraints(schema);
    const { $ref: reference, allOf, anyOf, oneOf, ...rest } = own;
    if (reference !== undefined) {
      const target = resolveReference(document, reference as string, below(pointer, '$ref'));
      if (Object.keys(own).length === 1) return referred(target);
      const { $ref: _, ...beside } = own;
      return convert(mergeSchemas(target.schema, beside, pointer), pointer, merges + 1);
    }
    if (allOf !== undefined) {
      const { allOf: _, ...beside } = own;
      const merged = (allOf as Schema[]).reduce((sum: Schema, branch, i) => mergeSchemas(sum, follow(branch, below(pointer, 'allOf', i)), pointer), beside);
      return convert(merged, pointer, merges + 1);
    }
    if (oneOf !== undefined) {
      const branches = oneOf as Schema[];
      const resolve = (branch: Schema): Schema => follow(branch, pointer);
      if (branches.some((branch, i) => branches.slice(i + 1).some((other) => !disjoint(branch, other, resolve))))
        throw schemaProblem(
          below(pointer, 'oneOf'),
          'it cannot be shown that no value fits two of the branches; use anyOf, or a property with different const values',
        );
      const { oneOf: _, ...beside } = own;
      return convert(mergeSchemas(beside, { anyOf: branches }, pointer), pointer, merges + 1);
    }
    if (anyOf !== undefined) {
      const alone = Object.keys(rest).length === 0;
      const branch = (one: Schema, i: number): GrammarNode => {
        const at = below(pointer, 'anyOf', i);
        return alone ? convert(one, at, merges) : convert(mergeSchemas(rest, follow(one, at), at), at, merges + 1);
      };
      return either((anyOf as Schema[]).map(branch));
    }
    const values = valuesOf(own);
    return values === null ? byType(own, pointer, merges) : listed(own, values, pointer);
  }

  function follow(schema: Schema, pointer: string): Schema {
    let at = schema;
    for (let steps = 0; isSchemaObject(at) && at['$ref'] !== undefined; steps++) {
      if (steps > MAX_MERGES) throw schemaProblem(pointer, 'it refers to itself without an end');
      const { $ref: reference, ...beside } = constraints(at);
      at = mergeSchemas(resolveReference(document, reference as string, pointer).schema, beside, pointer);
    }
    return at;
  }

  function referred(target: { readonly schema: Schema; readonly pointer: string }): GrammarNode {
    const name = `${prefix}at ${target.pointer}`;
    if (!rules.has(name)) {
      rules.set(name, NEVER);
      rules.set(name, convert(target.schema, target.pointer, 0));
    }
    return rule(name);
  }

  function listed(schema: SchemaObject, values: readonly unknown[], pointer: string): GrammarNode {
    const { enum: _, const: __, type: ___, ...others } = schema;
    const types = typesOf(schema);
    const fits = (value: unknown): boolean => {
      const type = typeOfValue(value);
      return types === null || types.includes(type) || (type === 'number' && types.includes('integer') && Number.isInteger(value));
    };
    const left = values.filter(fits);
    const needless = Object.keys(others).find((keyword) =>
      left.some((value) => IMPLIED.find(([, keywords]) => keywords.includes(keyword))?.[0] === typeOfValue(value) || typeof value === 'number'),
    );
    if (needless !== undefined)
      throw schemaProblem(below(pointer, needless), `${needless} beside a list of values cannot be enforced; list the values that fit it`);
    return either([...new Set(left.map((value) => JSON.stringify(value)))].map(text));
  }

  function byType(schema: SchemaObject, pointer: string, merges: number): GrammarNode {
    const types = typesOf(schema);
    if (types !== null) return either(types.map((type) => ofType(type, schema, pointer, merges)));
    const implied = IMPLIED.filter(([, keywords]) => keywords.some((keyword) => schema[keyword] !== undefined)).map(([type]) => type);
    const bound = ['minimum', 'maximum'].find((keyword) => schema[keyword] !== undefined);
    if (bound !== undefined) throw schemaProblem(below(pointer, bound), `${bound} needs "type": "integer" beside it`);
    if (implied.length > 1) throw schemaProblem(pointer, 'it needs a type: it has keywords of several');
    return implied.length === 0 ? ANY_VALUE : ofType(implied[0]!, schema, pointer, merges);
  }

  function ofType(type: string, schema: SchemaObject, pointer: string, merges: number): GrammarNode {
    switch (type) {
      case 'object':
        return object(schema, pointer, merges);
      case 'array':
        return array(schema, pointer, merges);
      case 'string':
        return string(schema, pointer);
      case 'boolean':
        return BOOLEAN;
      case 'null':
        return NULL;
      default:
        return number(type, schema, pointer);
    }
  }

  function number(type: string, schema: SchemaObject, pointer: string): GrammarNode {
    const [min, max] = [schema['minimum'] as number | undefined, schema['maximum'] as number | undefined];
    if (min === undefined && max === undefined) return type === 'integer' ? INTEGER : NUMBER;
    const keyword = min === undefined ? 'maximum' : 'minimum';
    if (type !== 'integer') throw schemaProblem(below(pointer, keyword), `${keyword} is enforced for integers only`);
    const safe = [min, max].every((bound) => bound === undefined || Math.abs(bound) <= 999_999_999_999_999);
    if (!safe) throw schemaProblem(below(pointer, keyword), 'bounds have at most 15 digits');
    return integerRange(min === undefined ? null : Math.ceil(min), max === undefined ? null : Math.floor(max));
  }

  /** Strings of one kind are one rule. */
  function string(schema: SchemaObject, pointer: string): GrammarNode {
    const { minLength, maxLength, pattern, format } = schema;
    const name = `${prefix}string ${JSON.stringify([minLength, maxLength, pattern, format])}`;
    if (!rules.has(name)) rules.set(name, stringBody(schema, pointer));
    return isNever(rules.get(name)!) ? NEVER : rule(name);
  }

  function stringBody(schema: SchemaObject, pointer: string): GrammarNode {
    const { minLength, maxLength, pattern, format } = schema as { minLength?: number; maxLength?: number; pattern?: string; format?: string };
    const shape = pattern ?? format;
    if (shape === undefined) {
      if (minLength === undefined && maxLength === undefined) return STRING;
      return maxLength !== undefined && maxLength < (minLength ?? 0) ? NEVER : quoted(repeat(CHARACTER, minLength ?? 0, maxLength ?? null));
    }
    const keyword = pattern === undefined ? 'format' : 'pattern';
    const also = ['minLength', 'maxLength', 'format'].find((other) => other !== keyword && schema[other] !== undefined);
    if (also !== undefined) throw schemaProblem(below(pointer, also), `${also} cannot be enforced together with ${keyword}; put it into a pattern`);
    const source = pattern ?? FORMATS.get(shape);
    if (source === undefined)
      throw schemaProblem(below(pointer, 'format'), `the format ${shape.slice(0, 64)} is not supported (${[...FORMATS.keys()].join(', ')} are)`);
    try {
      return quoted(patternGrammar(source, characterOf));
    } catch (error) {
      throw isHearthError(error) ? schemaProblem(below(pointer, keyword), error.message.replace(/\.$/, '')) : error;
    }
  }

  function array(schema: SchemaObject, pointer: string, merges: number): GrammarNode {
    const prefixes = ((schema['prefixItems'] ?? []) as Schema[]).map((item, i) => convert(item, below(pointer, 'prefixItems', i), merges));
    const [min, max] = [(schema['minItems'] ?? 0) as number, (schema['maxItems'] ?? null) as number | null];
    if (prefixes.length === 0 && schema['items'] === undefined && min === 0 && max === null) return ANY_ARRAY;
    const other = convert((schema['items'] ?? true) as Schema, below(pointer, 'items'), merges);
    const most = isNever(other) ? Math.min(prefixes.length, max ?? prefixes.length) : max;
    if (most !== null && most < min) return NEVER;
    const item = other.kind === 'rule' || isNever(other) ? other : define(other);
    const more = (least: number, limit: number | null): GrammarNode => {
      if (isNever(item) || limit === 0) return least > 0 ? NEVER : EMPTY;
      return repeat(sequence(COMMA, item), Math.max(0, least), limit);
    };
    /** What follows when the items before `i` are written. */
    const tail = (i: number): GrammarNode => {
      if (i === prefixes.length && i > 0) return more(min - i, most === null ? null : most - i);
      const next = i < prefixes.length ? prefixes[i]! : item;
      const open = most === null || i < most;
      const after = i < prefixes.length ? tail(i + 1) : more(min - 1, most === null ? null : most - 1);
      if (isNever(next) || isNever(after) || !open) return i > 0 && i >= min ? EMPTY : NEVER;
      const here = sequence(...(i === 0 ? [] : [COMMA]), next, after);
      return i > 0 && i >= min ? optional(here) : here;
    };
    const items = most === 0 ? NEVER : tail(0);
    return either([...(min === 0 ? [list('[', null, ']')] : []), ...(isNever(items) ? [] : [list('[', items, ']')])]);
  }

  function object(schema: SchemaObject, pointer: string, merges: number): GrammarNode {
    const properties = propertiesOf(schema);
    const required = requiredOf(schema);
    const additional = schema['additionalProperties'] as Schema | undefined;
    if (properties.size === 0 && required.length === 0 && (additional === undefined || additional === true)) return ANY_OBJECT;
    const unnamed = required.filter((key) => !properties.has(key));
    const entries = [...properties, ...unnamed.map((key) => [key, additional ?? true] as const)];
    const members: { readonly node: GrammarNode; readonly needed: boolean }[] = [];
    for (const [key, value] of entries) {
      const node = convert(value, properties.has(key) ? below(pointer, 'properties', key) : below(pointer, 'additionalProperties'), merges);
      const needed = required.includes(key);
      if (!isNever(node)) members.push({ node: member(text(JSON.stringify(key)), node), needed });
      else if (needed) return NEVER;
    }
    let more: GrammarNode | null = null;
    if (additional !== undefined && additional !== false) {
      const value = convert(additional, below(pointer, 'additionalProperties'), merges);
      if (!isNever(value)) more = define(member(stringExcept(entries.map(([key]) => key)), value));
    }
    return closedBy(members, more);
  }

  /** `{`, members in their order, `}`. `first` stands before any member, `later` behind one. */
  function closedBy(members: readonly { readonly node: GrammarNode; readonly needed: boolean }[], more: GrammarNode | null): GrammarNode {
    let later: GrammarNode = more === null ? EMPTY : repeat(sequence(COMMA, more), 0, null);
    let first: GrammarNode[] = more === null ? [] : [sequence(more, later)];
    let mayBeEmpty = true;
    for (const { node, needed } of members.toReversed()) {
      const after = later.kind === 'rule' || later === EMPTY ? later : define(later);
      const here = sequence(COMMA, node, after);
      first = [sequence(node, after), ...(needed ? [] : first)];
      later = needed ? here : choice(here, after);
      mayBeEmpty &&= !needed;
    }
    return either([...(mayBeEmpty ? [list('{', null, '}')] : []), ...first.map((inside) => list('{', inside, '}'))]);
  }

  const root = convert(document, '', 0);
  if (isNever(root)) throw schemaProblem('', 'no value fits it');
  const endless = (): Error => schemaProblem('', 'it refers to itself without an end');
  if (!hasFiniteText({ root, rules })) throw endless();
  try {
    refuseLeftRecursion({ root, rules }, nullableRules(rules));
  } catch (error) {
    throw isHearthError(error) ? endless() : error;
  }
  return { root, rules };
}
