/** A glob as git reads it, matched in linear time: patterns come from a file that somebody else may have written. */
export type Glob = (path: string) => boolean;

type Token =
  | { readonly kind: 'one'; readonly takes: (char: string) => boolean }
  /** Any text within a name. */
  | { readonly kind: 'star' }
  /** Any number of whole directories, each with its `/`. */
  | { readonly kind: 'directories' }
  /** Everything below. */
  | { readonly kind: 'rest' };

/** `rooted`: from the first character of the path, else from the beginning of any name in it. */
export function compileGlob(glob: string, rooted: boolean): Glob {
  const tokens: Token[] = [...(rooted ? [] : [{ kind: 'directories' } as const]), ...tokensOf([...glob])];
  return (path) => matches(tokens, path);
}

function tokensOf(chars: readonly string[]): Token[] {
  const tokens: Token[] = [];
  const push = (token: Token): void => {
    // Several of a kind in a row say no more than one.
    if (token.kind === 'one' || tokens.at(-1)?.kind !== token.kind) tokens.push(token);
  };
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at]!;
    const begins = at === 0 || chars[at - 1] === '/';
    const set = char === '[' ? readSet(chars, at) : null;
    if (char === '\\' && at + 1 < chars.length) push(only(chars[++at]!));
    else if (char === '*' && chars[at + 1] === '*' && begins && chars[at + 2] === '/') {
      push({ kind: 'directories' });
      at += 2;
    } else if (char === '*' && chars[at + 1] === '*' && begins && at + 2 === chars.length) {
      push({ kind: 'rest' });
      at += 1;
    } else if (char === '*') push({ kind: 'star' });
    else if (char === '?') push({ kind: 'one', takes: (other) => other !== '/' });
    else if (set !== null) {
      push({ kind: 'one', takes: set.takes });
      at = set.end;
    } else push(only(char));
  }
  return tokens;
}

const only = (char: string): Token => ({ kind: 'one', takes: (other) => other === char });

/** `[abc]`, `[a-z]`, `[!a]`, `[^a]`; null without an end: then the bracket is itself. */
function readSet(chars: readonly string[], start: number): { readonly takes: (char: string) => boolean; readonly end: number } | null {
  const negated = chars[start + 1] === '!' || chars[start + 1] === '^';
  const first = start + (negated ? 2 : 1);
  const end = chars.indexOf(']', first + 1);
  if (end < 0) return null;
  const ranges: [string, string][] = [];
  for (let at = first; at < end; at++) {
    const from = chars[at]!;
    const ranged = chars[at + 1] === '-' && at + 2 < end;
    ranges.push([from, ranged ? chars[at + 2]! : from]);
    if (ranged) at += 2;
  }
  return { takes: (char) => char !== '/' && ranges.some(([from, to]) => from <= char && char <= to) !== negated, end };
}

/** All positions that the tokens may be at, step by step; inside a directory of `directories` a position counts `tokens.length + 1` more. */
function matches(tokens: readonly Token[], path: string): boolean {
  const inside = tokens.length + 1;
  const reach = (states: Set<number>, state: number): void => {
    if (states.has(state)) return;
    states.add(state);
    const kind = tokens[state]?.kind;
    if (kind === 'star' || kind === 'directories') reach(states, state + 1);
  };
  let states = new Set<number>();
  reach(states, 0);
  for (const char of path) {
    const next = new Set<number>();
    for (const state of states) {
      const token = tokens[state >= inside ? state - inside : state];
      if (token === undefined) continue;
      if (state >= inside) {
        if (char === '/') reach(next, state - inside);
        else next.add(state);
      } else if (token.kind === 'one') {
        if (token.takes(char)) reach(next, state + 1);
      } else if (token.kind === 'star') {
        if (char !== '/') reach(next, state);
      } else if (token.kind === 'directories') {
        if (char !== '/') next.add(state + inside);
      } else {
        reach(next, state);
        reach(next, state + 1);
      }
    }
    states = next;
    if (states.size === 0) return false;
  }
  return states.has(tokens.length);
}
