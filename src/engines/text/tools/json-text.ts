/** Where a JSON value that begins at `at` ends; null while it is not complete. Brackets and strings are followed, nothing else is checked. */
export function endOfValue(text: string, at: number): number | null {
  const first = text[at];
  if (first === undefined) return null;
  if (first === '"') return endOfString(text, at);
  if (first !== '{' && first !== '[') {
    const rest = /[\s,\]}]/.exec(text.slice(at));
    return rest === null ? null : at + rest.index;
  }
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const character = text[i];
    if (character === '"') {
      const end = endOfString(text, i);
      if (end === null) return null;
      i = end - 1;
    } else if (character === '{' || character === '[') depth++;
    else if ((character === '}' || character === ']') && --depth === 0) return i + 1;
  }
  return null;
}

function endOfString(text: string, at: number): number | null {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '"') return i + 1;
  }
  return null;
}

export const skipSpace = (text: string, at: number): number => {
  let next = at;
  while (next < text.length && /\s/.test(text[next]!)) next++;
  return next;
};

/** Members of an object as far as they are there: key, and the raw text of the value. */
export interface RawMember {
  readonly key: string;
  readonly start: number;
  /** null: the value goes on. */
  readonly end: number | null;
}

export interface RawObject {
  readonly members: readonly RawMember[];
  /** null: the object goes on. */
  readonly end: number | null;
  readonly problem?: string;
}

/** Reads the object that begins at `at`. */
export function readObject(text: string, at: number): RawObject {
  const members: RawMember[] = [];
  if (text[at] !== '{') return { members, end: null, problem: 'it does not begin with {' };
  let i = skipSpace(text, at + 1);
  if (text[i] === '}') return { members, end: i + 1 };
  for (;;) {
    if (i >= text.length) return { members, end: null };
    if (text[i] !== '"') return { members, end: null, problem: 'a key is not in quotes' };
    const keyEnd = endOfString(text, i);
    if (keyEnd === null) return { members, end: null };
    const key = parsed(text.slice(i, keyEnd));
    if (typeof key !== 'string') return { members, end: null, problem: 'a key cannot be read' };
    i = skipSpace(text, keyEnd);
    if (i >= text.length) return { members, end: null };
    if (text[i] !== ':') return { members, end: null, problem: 'a key has no value' };
    const start = skipSpace(text, i + 1);
    if (start >= text.length) return { members, end: null };
    const end = endOfValue(text, start);
    members.push({ key, start, end });
    if (end === null) return { members, end: null };
    i = skipSpace(text, end);
    if (i >= text.length) return { members, end: null };
    if (text[i] === '}') return { members, end: i + 1 };
    if (text[i] !== ',') return { members, end: null, problem: 'values are not separated by commas' };
    i = skipSpace(text, i + 1);
  }
}

/** undefined for text that is no JSON. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
