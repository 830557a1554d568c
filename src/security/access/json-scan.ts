import { REQUEST_LIMITS } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';

export interface JsonLimits {
  readonly depth: number;
  readonly keys: number;
  /** What messages call the text; `The body`. */
  readonly subject?: string;
  /** NaN and Infinity, which Python writes, read as null. */
  readonly bareNumbers?: boolean;
  /** A file of words: any text may be a key, and the value is built by JSON.parse, which makes own properties of all of them. */
  readonly vocabulary?: boolean;
}

const JSON_LIMITS: JsonLimits = { depth: REQUEST_LIMITS.jsonDepth, keys: REQUEST_LIMITS.jsonKeys };

/**
 * Parses JSON after an own scan: depth, number of keys, duplicate keys, keys that reach a prototype, lone surrogates.
 * Throws invalid_json naming the place (docs/spec/security.md §7).
 */
export function parseJsonStrictly(text: string, limits: JsonLimits = JSON_LIMITS): unknown {
  const bare = scan(text, limits);
  try {
    return JSON.parse(bare ? withoutBareNumbers(text) : text);
  } catch (error) {
    const at = /position \d+/.exec(error instanceof Error ? error.message : '')?.[0];
    throw new HearthError('invalid_json', `${limits.subject ?? 'The body'} is not valid JSON${at ? ` (at ${at})` : ''}.`, { cause: error });
  }
}

interface Frame {
  /** Keys seen so far; null for an array. */
  readonly keys: Set<string> | null;
  /** The key whose value this frame is. */
  readonly name: string | null;
  lastKey: string | null;
}

const withoutBareNumbers = (text: string): string => text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (found) => (found.startsWith('"') ? found : 'null'));

/** Looks at structure and strings only; whether the rest is JSON is for JSON.parse to say. Gives whether it holds bare numbers. */
function scan(text: string, limits: JsonLimits): boolean {
  const { subject = 'The body' } = limits;
  const stack: Frame[] = [];
  let keys = 0;
  let bare = false;
  for (let index = 0; index < text.length; index += 1) {
    const char = text[index];
    if (char === '{' || char === '[') {
      if (stack.length === limits.depth) throw refused(`${subject} is nested deeper than ${limits.depth} levels.`);
      stack.push({ keys: char === '{' ? new Set() : null, name: stack.at(-1)?.lastKey ?? null, lastKey: null });
    } else if (char === '}' || char === ']') {
      stack.pop();
    } else if (char === 'N' || char === 'I') {
      bare = true;
      // No JSON holds these outside a string; JSON.parse could not say which field it is.
      if (limits.bareNumbers !== true) throw refused('NaN and Infinity are no JSON numbers.', pathOf(stack));
    } else if (char === '"') {
      const end = stringEnd(text, index);
      const frame = stack.at(-1);
      if (frame?.keys && isKey(text, end)) {
        keys += 1;
        if (keys > limits.keys) throw refused(`${subject} has more than ${limits.keys} keys.`);
        takeKey(frame, decode(text, index, end), limits.vocabulary === true);
      } else if (text.slice(index, end).includes('\\u')) {
        decode(text, index, end);
      }
      index = end - 1;
    }
  }
  return bare;
}

function takeKey(frame: Frame, key: string, vocabulary: boolean): void {
  const reaches = key === '__proto__' || (key === 'prototype' && frame.name === 'constructor');
  if (reaches && !vocabulary) throw refused(`The key ${key} is not allowed.`, key);
  if (frame.keys!.has(key)) throw refused(`The key ${key.slice(0, 100)} occurs twice in one object.`, key);
  frame.keys!.add(key);
  frame.lastKey = key;
}

/** Where the scan is, as names joined by dots. */
const pathOf = (stack: readonly Frame[]): string => [...stack.slice(1).map(({ name }) => name), stack.at(-1)?.lastKey].filter(Boolean).join('.');

/** Index after the closing quote. */
function stringEnd(text: string, start: number): number {
  for (let index = start + 1; index < text.length; index += 1) {
    if (text[index] === '\\') index += 1;
    else if (text[index] === '"') return index + 1;
  }
  throw refused('A string has no end.');
}

function isKey(text: string, after: number): boolean {
  let index = after;
  while (text[index] === ' ' || text[index] === '\n' || text[index] === '\r' || text[index] === '\t') index += 1;
  return text[index] === ':';
}

function decode(text: string, start: number, end: number): string {
  let value: string;
  try {
    value = JSON.parse(text.slice(start, end)) as string;
  } catch (error) {
    throw new HearthError('invalid_json', 'A string is not valid JSON.', { cause: error });
  }
  if (!value.isWellFormed()) throw refused('A string holds half of a surrogate pair.');
  return value;
}

const refused = (message: string, param?: string): HearthError =>
  new HearthError('invalid_json', message, { details: param === undefined ? {} : { param: param.slice(0, 100) } });
