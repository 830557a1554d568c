/**
 * The object that the beginning of a JSON text tells so far: what was not complete is left out. Clients of streams read an input that a token limit
 * cut in the same way.
 */
export function readIncompleteObject(json: string): Record<string, unknown> {
  const closers: string[] = [];
  /** The longest beginning that closers make whole. */
  let best = '{}';
  const keep = (end: number): void => {
    best = json.slice(0, end) + closers.toReversed().join('');
  };
  let afterColon = false;
  for (let i = 0; i < json.length; i += 1) {
    const char = json[i]!;
    if (char === '{' || char === '[') {
      closers.push(char === '{' ? '}' : ']');
      afterColon = char === '[';
      keep(i + 1);
    } else if (char === '}' || char === ']') {
      closers.pop();
      keep(i + 1);
      afterColon = closers.at(-1) === ']';
    } else if (char === ':') afterColon = true;
    else if (char === ',') afterColon = closers.at(-1) === ']';
    else if (char === '"') {
      const end = stringEnd(json, i);
      if (end === null) break;
      if (afterColon) keep(end);
      i = end - 1;
    } else if (/[-\dtfn]/.test(char)) {
      const scalar = /^(?:true|false|null|-?\d[\d.eE+-]*)/.exec(json.slice(i))?.[0];
      // More digits may have been to come.
      if (scalar === undefined || (!/[a-z]$/.test(scalar) && i + scalar.length === json.length)) break;
      keep(i + scalar.length);
      i += scalar.length - 1;
    }
  }
  const value: unknown = parse(json) ?? parse(best);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** Index after the closing quote; null when there is none. */
function stringEnd(json: string, start: number): number | null {
  for (let i = start + 1; i < json.length; i += 1) {
    if (json[i] === '\\') i += 1;
    else if (json[i] === '"') return i + 1;
  }
  return null;
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
