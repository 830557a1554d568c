import { isHearthError } from '../../../core/index.ts';

/** Keywords that are taken away one by one, before the whole schema is given up. */
const MOST_STEPS = 200;

/**
 * What of a schema can be enforced: wherever `check` refuses a place, the place is left open, until it refuses none. Each step allows more, so that
 * all that fits the schema fits the result.
 */
export function enforceablePart(schema: unknown, check: (schema: unknown) => void): unknown {
  const part = withoutHighCounts(schema, 1);
  for (let step = 0; step < MOST_STEPS; step += 1) {
    try {
      check(part);
      return part;
    } catch (error) {
      if (!isHearthError(error)) throw error;
      const pointer = error.details['pointer'];
      if (typeof pointer !== 'string' || pointer === '' || !leaveOpen(part, pointer)) break;
    }
  }
  return { type: 'object' };
}

/** Copies of one item that are written out, in lists inside of lists together: more would make the grammar of many tools too large. */
const MOST_COPIES = 64;
const COUNTS = ['minLength', 'maxLength', 'minItems', 'maxItems'];

function withoutHighCounts(schema: unknown, copies: number): unknown {
  if (Array.isArray(schema)) return schema.map((item) => withoutHighCounts(item, copies));
  if (typeof schema !== 'object' || schema === null) return schema;
  const tooHigh = ([key, value]: [string, unknown]): boolean => COUNTS.includes(key) && typeof value === 'number' && value * copies > MOST_COPIES;
  const kept = Object.entries(schema).filter((entry) => !tooHigh(entry));
  const { maxItems } = Object.fromEntries(kept) as { maxItems?: unknown };
  const inside = typeof maxItems === 'number' ? copies * Math.max(1, maxItems) : copies;
  return Object.fromEntries(kept.map(([key, value]) => [key, withoutHighCounts(value, inside)]));
}

/** Members of these are schemas by names: a name that is gone would be forbidden, or missed by a reference. */
const MAPS = new Set(['properties', '$defs', 'definitions']);

/** Takes the keyword at the place away; a schema in a list or under a name becomes one that allows anything. false: there is no such place. */
function leaveOpen(schema: unknown, pointer: string): boolean {
  const keys = pointer
    .slice(1)
    .split('/')
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  let parent = schema;
  for (const key of keys.slice(0, -1)) parent = child(parent, key);
  const last = keys.at(-1)!;
  if (typeof parent !== 'object' || parent === null || !Object.hasOwn(parent, last)) return false;
  const holder = parent as Record<string, unknown>;
  const named = Array.isArray(parent) || (MAPS.has(keys.at(-2) ?? '') && !MAPS.has(keys.at(-3) ?? ''));
  if (!named) delete holder[last];
  else if (holder[last] === true) return false;
  else holder[last] = true;
  return true;
}

const child = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
