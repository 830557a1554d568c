import type { AddedTokenEntry } from './tokenizer-json.ts';

/** A stretch of text between added tokens, or an added token. Offsets count UTF-16 units. */
export type Section = { readonly kind: 'text'; readonly start: number; readonly end: number } | { readonly kind: 'token'; readonly id: number };

interface Node {
  readonly next: Map<number, Node>;
  token: AddedTokenEntry | null;
}

/** Says whether a token may be taken out of the text at `[start, end)`. */
export type Permission = (token: AddedTokenEntry, start: number, end: number) => boolean;

/**
 * Finds added tokens in text: leftmost first, the longest that is permitted at a place, with the rules of
 * `single_word`, `lstrip` and `rstrip` of tokenizer.json.
 */
export function createAddedTokenSplitter(
  tokens: readonly { readonly entry: AddedTokenEntry; readonly text: string }[],
): (text: string, permit: Permission) => Section[] {
  const root: Node = { next: new Map(), token: null };
  for (const { entry, text } of tokens) insert(root, text, entry);
  return (text, permit) => {
    const sections: Section[] = [];
    let start = 0;
    const pushText = (end: number) => {
      if (end > start) sections.push({ kind: 'text', start, end });
    };
    for (let at = 0; at < text.length; ) {
      const found = longest(root, text, at, permit);
      if (found === null) {
        at += 1;
        continue;
      }
      const end = at + found.length;
      if (found.token.single_word && (isWordCharacter(text, at - 1) || isWordCharacter(text, end))) {
        at = end;
        continue;
      }
      pushText(found.token.lstrip ? Math.max(start, at - spaceBefore(text, at)) : at);
      sections.push({ kind: 'token', id: found.token.id });
      start = found.token.rstrip ? end + spaceAfter(text, end) : end;
      at = start;
    }
    pushText(text.length);
    return sections;
  };
}

function insert(root: Node, text: string, token: AddedTokenEntry): void {
  if (text === '') return;
  let node = root;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    let child = node.next.get(unit);
    if (child === undefined) {
      child = { next: new Map(), token: null };
      node.next.set(unit, child);
    }
    node = child;
  }
  node.token ??= token;
}

function longest(root: Node, text: string, start: number, permit: Permission): { token: AddedTokenEntry; length: number } | null {
  let best: { token: AddedTokenEntry; length: number } | null = null;
  let node: Node | undefined = root.next.get(text.charCodeAt(start));
  for (let end = start + 1; node !== undefined; end += 1) {
    if (node.token !== null && permit(node.token, start, end)) best = { token: node.token, length: end - start };
    node = end < text.length ? node.next.get(text.charCodeAt(end)) : undefined;
  }
  return best;
}

const isWordCharacter = (text: string, at: number): boolean =>
  at >= 0 && at < text.length && /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u.test(text[at]!);

/** Units of whitespace that end at, or begin at, a place. Loops, because expressions that end in `$` take quadratic time. */
function spaceBefore(text: string, at: number): number {
  let start = at;
  while (start > 0 && isSpace(text[start - 1]!)) start -= 1;
  return at - start;
}

function spaceAfter(text: string, at: number): number {
  let end = at;
  while (end < text.length && isSpace(text[end]!)) end += 1;
  return end - at;
}

const isSpace = (unit: string): boolean => /^\p{White_Space}$/u.test(unit);

/** The text without whitespace at its ends. */
export function stripSpace(text: string, left: boolean, right: boolean): string {
  const end = right ? text.length - spaceBefore(text, text.length) : text.length;
  const start = left ? Math.min(end, spaceAfter(text, 0)) : 0;
  return text.slice(start, end);
}
