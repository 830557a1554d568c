import { HearthError } from '../../../core/index.ts';
import { type CodePointRange, choice, complementRanges, EMPTY, type GrammarNode, MAX_CODE_POINT, normaliseRanges, repeat, sequence } from './grammar.ts';

const ANY: readonly CodePointRange[] = complementRanges([[10, 10]]);
const DIGIT: readonly CodePointRange[] = [[48, 57]];
const WORD: readonly CodePointRange[] = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const BLANK: readonly CodePointRange[] = [
  [9, 13],
  [32, 32],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const CLASSES: Readonly<Record<string, readonly CodePointRange[]>> = {
  d: DIGIT,
  D: complementRanges(DIGIT),
  w: WORD,
  W: complementRanges(WORD),
  s: BLANK,
  S: complementRanges(BLANK),
};
const CONTROL: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, 0: 0 };
const MAX_COUNT = 10_000;

/**
 * A regular expression as a grammar of whole strings: where it is not anchored, anything may stand beside the match. Look-around,
 * back-references, word borders and anchors inside are refused (invalid_value): a grammar that goes from left to right cannot keep them.
 * `character` writes one code point of a class, as a JSON string does.
 */
export function patternGrammar(source: string, character: (ranges: readonly CodePointRange[]) => GrammarNode): GrammarNode {
  const points = Array.from(source);
  let at = 0;
  const fail = (what: string): never => {
    throw new HearthError('invalid_value', `The pattern ${JSON.stringify(source.slice(0, 100))} cannot be enforced: ${what}.`);
  };
  const take = (expected: string): boolean => {
    if (points.slice(at, at + expected.length).join('') !== expected) return false;
    at += expected.length;
    return true;
  };

  function alternatives(depth: number): GrammarNode {
    if (depth > 32) fail('its groups are nested deeper than 32');
    const branches = [branch(depth)];
    while (take('|')) branches.push(branch(depth));
    return choice(...branches);
  }

  function branch(depth: number): GrammarNode {
    const items: GrammarNode[] = [];
    while (at < points.length && points[at] !== '|' && points[at] !== ')' && points[at] !== '$') items.push(quantified(atom(depth)));
    return items.length === 0 ? EMPTY : sequence(...items);
  }

  function quantified(item: GrammarNode): GrammarNode {
    let counted = item;
    if (take('*')) counted = repeat(item, 0, null);
    else if (take('+')) counted = repeat(item, 1, null);
    else if (take('?')) counted = repeat(item, 0, 1);
    else {
      const bounds = /^\{(\d{1,5})(,(\d{1,5})?)?\}/.exec(points.slice(at, at + 16).join(''));
      if (bounds === null) return item;
      at += bounds[0].length;
      const min = Number(bounds[1]);
      const max = bounds[2] === undefined ? min : bounds[3] === undefined ? null : Number(bounds[3]);
      if (min > MAX_COUNT || (max !== null && (max > MAX_COUNT || max < min))) fail(`the count ${bounds[0]} is out of range`);
      counted = repeat(item, min, max);
    }
    // A lazy quantifier matches the same whole strings.
    take('?');
    if (points[at] === '*' || points[at] === '+') fail('a quantifier follows another one');
    return counted;
  }

  function atom(depth: number): GrammarNode {
    const point = points[at++]!;
    switch (point) {
      case '.':
        return character(ANY);
      case '[':
        return character(set());
      case '(':
        return group(depth);
      case '\\':
        return character(escaped(false));
      case '^':
        return fail('^ stands inside of it');
      case '*':
      case '+':
      case '?':
        return fail(`${point} has nothing to repeat`);
      default:
        return character([single(point)]);
    }
  }

  function group(depth: number): GrammarNode {
    if (take('?') && !take(':') && !named()) fail('look-around is not taken');
    const inside = alternatives(depth + 1);
    if (points[at] === '$') fail('$ stands inside of it');
    if (!take(')')) fail('a group is not closed');
    return inside;
  }

  function named(): boolean {
    const name = /^<[A-Za-z_]\w*>/.exec(points.slice(at, at + 64).join(''));
    at += name?.[0].length ?? 0;
    return name !== null;
  }

  function set(): CodePointRange[] {
    const negated = take('^');
    const ranges: CodePointRange[] = [];
    for (;;) {
      if (at >= points.length) fail('a class is not closed');
      if (take(']')) break;
      const first = member();
      if (first.length === 1 && first[0]![0] === first[0]![1] && points[at] === '-' && points[at + 1] !== ']') {
        at++;
        const last = member();
        if (last.length !== 1 || last[0]![0] !== last[0]![1] || last[0]![0] < first[0]![0]) fail('a range in a class is the wrong way round');
        ranges.push([first[0]![0], last[0]![0]]);
      } else ranges.push(...first);
    }
    return negated ? complementRanges(ranges) : normaliseRanges(ranges);
  }

  function member(): readonly CodePointRange[] {
    const point = points[at++];
    if (point === undefined) return fail('a class is not closed');
    return point === '\\' ? escaped(true) : [single(point)];
  }

  function escaped(inClass: boolean): readonly CodePointRange[] {
    const point = points[at++];
    if (point === undefined) return fail('it ends in a backslash');
    const known = CLASSES[point];
    if (known !== undefined) return known;
    if (point === 'b' && inClass) return [[8, 8]];
    const control = CONTROL[point];
    if (control !== undefined && !/\d/.test(points[at] ?? '')) return [[control, control]];
    if (point === 'x' || point === 'u') return [codePoint(point)];
    if (/[A-Za-z0-9]/.test(point)) return fail(`\\${point} is not taken`);
    return [single(point)];
  }

  function codePoint(kind: string): CodePointRange {
    const rest = points.slice(at, at + 10).join('');
    const digits = (kind === 'x' ? /^([0-9a-fA-F]{2})/ : /^(?:([0-9a-fA-F]{4})|\{([0-9a-fA-F]{1,6})\})/).exec(rest);
    if (digits === null) return fail(`\\${kind} has no digits`);
    at += digits[0].length;
    const value = Number.parseInt(digits[1] ?? digits[2]!, 16);
    if (value > MAX_CODE_POINT || (value >= 0xd800 && value <= 0xdfff)) fail('it names a code point that does not exist');
    return [value, value];
  }

  const whole: GrammarNode[] = [];
  const anything = repeat(character(complementRanges([])), 0, null);
  const anchored = topLevelAlternatives();
  for (const part of anchored) whole.push(part);
  if (at < points.length) fail(points[at] === '$' ? '$ stands inside of it' : 'a group is closed that was not opened');
  return choice(...whole);

  /** Each alternative of the whole pattern has anchors of its own. */
  function topLevelAlternatives(): GrammarNode[] {
    const parts: GrammarNode[] = [];
    do {
      const start = take('^');
      const inside = branch(0);
      const end = take('$');
      parts.push(sequence(...(start ? [] : [anything]), inside, ...(end ? [] : [anything])));
    } while (take('|'));
    return parts;
  }
}

const single = (point: string): CodePointRange => [point.codePointAt(0)!, point.codePointAt(0)!];
