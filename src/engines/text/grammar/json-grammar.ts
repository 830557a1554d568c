import {
  type CodePointRange,
  choice,
  complementRanges,
  EMPTY,
  type Grammar,
  type GrammarNode,
  intersectRanges,
  oneOf,
  optional,
  repeat,
  rule,
  sequence,
  text,
} from './grammar.ts';

/** JSON as models write it: whitespace is bounded, numbers stay finite, and escapes make no lone surrogates. */

/** Before a value, a key or a closing bracket: nothing, a space, or a new line with its indentation. */
export const SPACE = optional(choice(text(' '), sequence(text('\n'), choice(repeat(text(' '), 0, 40), repeat(text('\t'), 1, 12)))));
const AFTER_COLON = optional(text(' '));

/** Code points that need an escape in a JSON string. */
const ESCAPED: readonly CodePointRange[] = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];
const PLAIN = complementRanges(ESCAPED);
const hex = oneOf('0-9', 'a-f', 'A-F');
const ESCAPE = sequence(
  text('\\'),
  choice(
    oneOf('"', '\\', '/', 'b', 'f', 'n', 'r', 't'),
    sequence(
      text('u'),
      choice(sequence(oneOf('0-9', 'a-c', 'e-f', 'A-C', 'E-F'), repeat(hex, 3, 3)), sequence(oneOf('d', 'D'), oneOf('0-7'), repeat(hex, 2, 2))),
    ),
  ),
);
/** Any character inside a string. */
export const CHARACTER: GrammarNode = choice({ kind: 'class', ranges: PLAIN }, ESCAPE);
const SHORT_ESCAPES: Readonly<Record<number, string>> = { 8: '\\b', 9: '\\t', 10: '\\n', 12: '\\f', 13: '\\r', 34: '\\"', 92: '\\\\' };

/** One code point of a class as it is written inside a JSON string. */
export function characterOf(ranges: readonly CodePointRange[]): GrammarNode {
  const plain = intersectRanges(ranges, PLAIN);
  const escaped = ESCAPED.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i))
    .filter((point) => ranges.some(([first, last]) => first <= point && point <= last))
    .map((point) => text(SHORT_ESCAPES[point] ?? `\\u${point.toString(16).padStart(4, '0')}`));
  return choice(...(plain.length > 0 ? [{ kind: 'class' as const, ranges: plain }] : []), ...escaped);
}

export const quoted = (inside: GrammarNode): GrammarNode => sequence(text('"'), inside, text('"'));
export const STRING = quoted(repeat(CHARACTER, 0, null));
export const NULL = text('null');
export const BOOLEAN = choice(text('true'), text('false'));
const digit = oneOf('0-9');
/** Up to 15 digits, so that every number is exact where it is read. */
const DIGITS = choice(text('0'), sequence(oneOf('1-9'), repeat(digit, 0, 14)));
export const INTEGER = sequence(optional(text('-')), DIGITS);
export const NUMBER = sequence(
  INTEGER,
  optional(sequence(text('.'), repeat(digit, 1, 17))),
  optional(sequence(oneOf('e', 'E'), optional(oneOf('+', '-')), repeat(digit, 1, 2))),
);

/** `[`, items by commas, `]`; `rest` is what may follow the items that have to be there. */
export const list = (open: string, items: GrammarNode | null, close: string): GrammarNode =>
  sequence(text(open), SPACE, ...(items === null ? [] : [items, SPACE]), text(close));
export const COMMA = sequence(text(','), SPACE);
export const member = (key: GrammarNode, value: GrammarNode): GrammarNode => sequence(key, text(':'), AFTER_COLON, value);

const many = (item: GrammarNode): GrammarNode => sequence(item, repeat(sequence(COMMA, item), 0, null));

/** Names of the rules below, and of those that make up any value. */
export const ANY_VALUE = rule('json value');
export const ANY_OBJECT = rule('json object');
export const ANY_ARRAY = rule('json array');
export const JSON_RULES: ReadonlyMap<string, GrammarNode> = new Map([
  ['json value', choice(ANY_OBJECT, ANY_ARRAY, STRING, NUMBER, BOOLEAN, NULL)],
  ['json object', choice(list('{', null, '}'), list('{', many(member(STRING, ANY_VALUE)), '}'))],
  ['json array', choice(list('[', null, ']'), list('[', many(ANY_VALUE), ']'))],
]);

/** What `json_object` asks for. */
export const JSON_OBJECT_GRAMMAR: Grammar = { root: ANY_OBJECT, rules: JSON_RULES };

/** Any string but these. Keys are written without escapes, so that none of them comes back in disguise. */
export function stringExcept(words: readonly string[]): GrammarNode {
  const tails = (rest: readonly string[]): GrammarNode => {
    const byFirst = new Map<string, string[]>();
    for (const word of rest) {
      const [first] = word;
      if (first === undefined) continue;
      byFirst.set(first, [...(byFirst.get(first) ?? []), word.slice(first.length)]);
    }
    const taken = [...byFirst.keys()].map((first): CodePointRange => [first.codePointAt(0)!, first.codePointAt(0)!]);
    const other = intersectRanges(PLAIN, complementRanges(taken));
    return choice(
      ...(rest.includes('') ? [] : [EMPTY]),
      sequence({ kind: 'class', ranges: other }, repeat({ kind: 'class', ranges: PLAIN }, 0, null)),
      ...[...byFirst].map(([first, words]) => sequence(text(JSON.stringify(first).slice(1, -1)), tails(words))),
    );
  };
  return quoted(tails(words));
}
