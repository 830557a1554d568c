/** Grammars of answers, over code points: what JSON schemas, GBNF texts, patterns and tool formats become before they are matched. */
export type GrammarNode =
  | { readonly kind: 'text'; readonly text: string }
  /** One code point of the ranges, both ends included. */
  | { readonly kind: 'class'; readonly ranges: readonly CodePointRange[] }
  | { readonly kind: 'sequence'; readonly items: readonly GrammarNode[] }
  | { readonly kind: 'choice'; readonly items: readonly GrammarNode[] }
  /** `max` null: no limit. */
  | { readonly kind: 'repeat'; readonly item: GrammarNode; readonly min: number; readonly max: number | null }
  | { readonly kind: 'rule'; readonly name: string }
  /** Any bytes that hold none of the marks; also the beginning of one at the end. */
  | { readonly kind: 'free'; readonly marks: readonly string[] };

export type CodePointRange = readonly [first: number, last: number];

export interface Grammar {
  readonly root: GrammarNode;
  readonly rules: ReadonlyMap<string, GrammarNode>;
}

export const MAX_CODE_POINT = 0x10ffff;

export const text = (value: string): GrammarNode => ({ kind: 'text', text: value });
export const sequence = (...items: GrammarNode[]): GrammarNode => (items.length === 1 ? items[0]! : { kind: 'sequence', items });
export const choice = (...items: GrammarNode[]): GrammarNode => (items.length === 1 ? items[0]! : { kind: 'choice', items });
export const repeat = (item: GrammarNode, min: number, max: number | null): GrammarNode => ({ kind: 'repeat', item, min, max });
export const optional = (item: GrammarNode): GrammarNode => repeat(item, 0, 1);
export const rule = (name: string): GrammarNode => ({ kind: 'rule', name });
export const free = (...marks: string[]): GrammarNode => ({ kind: 'free', marks });
export const EMPTY: GrammarNode = { kind: 'sequence', items: [] };
/** Matches nothing at all. */
export const NEVER: GrammarNode = { kind: 'choice', items: [] };

/** Sorted, joined, without overlaps. */
export function normaliseRanges(ranges: readonly CodePointRange[]): CodePointRange[] {
  const sorted = ranges.filter(([first, last]) => first <= last).sort((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [first, last] of sorted) {
    const previous = joined.at(-1);
    if (previous !== undefined && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

/** All code points that the ranges lack; surrogates are in none. */
export function complementRanges(ranges: readonly CodePointRange[]): CodePointRange[] {
  const rest: CodePointRange[] = [];
  let next = 0;
  for (const [first, last] of normaliseRanges([...ranges, [0xd800, 0xdfff]])) {
    if (first > next) rest.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= MAX_CODE_POINT) rest.push([next, MAX_CODE_POINT]);
  return rest;
}

export const intersectRanges = (a: readonly CodePointRange[], b: readonly CodePointRange[]): CodePointRange[] =>
  complementRanges([...complementRanges(a), ...complementRanges(b)]);

/** A class from characters and `a-z` pairs, such as `oneOf('a-z', '_')`. */
export function oneOf(...parts: string[]): GrammarNode {
  const ranges = parts.map((part): CodePointRange => {
    const points = Array.from(part, (character) => character.codePointAt(0)!);
    return points.length === 3 && part[1] === '-' ? [points[0]!, points[2]!] : [points[0]!, points[0]!];
  });
  return { kind: 'class', ranges: normaliseRanges(ranges) };
}
