import { HearthError } from '../../../core/index.ts';
import {
  type CodePointRange,
  choice,
  complementRanges,
  EMPTY,
  type Grammar,
  type GrammarNode,
  MAX_CODE_POINT,
  normaliseRanges,
  repeat,
  rule,
  sequence,
  text,
} from './grammar.ts';

const MAX_BYTES = 64 * 1024;
const MAX_RULES = 2_048;
const MAX_COUNT = 10_000;
const MAX_DEPTH = 64;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '\\': '\\', '"': '"', '[': '[', ']': ']', '-': '-', '^': '^' };

/**
 * Reads the grammar notation of llama.cpp (GBNF), which is also the EBNF of XGrammar: `name ::= "text" [a-z] (a | b) c? d* e+ f{2,5} .  # comment`,
 * beginning at `root`. Throws invalid_value naming the line.
 */
export function parseGbnf(source: string): Grammar {
  if (Buffer.byteLength(source) > MAX_BYTES)
    throw new HearthError('invalid_value', `The grammar is longer than ${MAX_BYTES} bytes.`, { details: { param: 'grammar' } });
  const points = Array.from(source);
  let at = 0;
  const rules = new Map<string, GrammarNode>();
  const used = new Map<string, number>();

  const fail = (what: string, where = at): never => {
    const line = points.slice(0, where).filter((point) => point === '\n').length + 1;
    throw new HearthError('invalid_value', `The grammar cannot be read in line ${line}: ${what}.`, { details: { param: 'grammar', line } });
  };
  /** Spaces and comments; new lines too where an expression may go on. */
  const blank = (lines: boolean): void => {
    for (;;) {
      const point = points[at];
      if (point === '#') while (at < points.length && points[at] !== '\n') at++;
      else if (point === ' ' || point === '\t' || (lines && (point === '\n' || point === '\r'))) at++;
      else return;
    }
  };
  const name = (): string | null => {
    const start = at;
    while (/[A-Za-z0-9_-]/.test(points[at] ?? '')) at++;
    return at === start ? null : points.slice(start, at).join('');
  };
  /** Whether a definition begins here: then the expression before has ended. */
  const beginsRule = (): boolean => {
    const start = at;
    const found = name();
    blank(false);
    const is = found !== null && points.slice(at, at + 3).join('') === '::=';
    at = start;
    return is;
  };

  function alternatives(nested: boolean, depth: number): GrammarNode {
    if (depth > MAX_DEPTH) fail(`groups are nested deeper than ${MAX_DEPTH}`);
    const branches = [branch(nested, depth)];
    while (points[at] === '|') {
      at++;
      blank(true);
      branches.push(branch(nested, depth));
    }
    return choice(...branches);
  }

  function branch(nested: boolean, depth: number): GrammarNode {
    const items: GrammarNode[] = [];
    for (;;) {
      const start = at;
      blank(true);
      const point = points[at];
      if (point === undefined || point === '|' || point === ')') break;
      if (!nested && beginsRule()) {
        at = start;
        break;
      }
      items.push(counted(item(depth)));
    }
    blank(true);
    return items.length === 0 ? EMPTY : sequence(...items);
  }

  function item(depth: number): GrammarNode {
    const point = points[at];
    if (point === '"') return literal();
    if (point === '[') return set();
    if (point === '.') {
      at++;
      return { kind: 'class', ranges: complementRanges([]) };
    }
    if (point === '(') {
      at++;
      const inside = alternatives(true, depth + 1);
      if (points[at] !== ')') fail('a group is not closed');
      at++;
      return inside;
    }
    const start = at;
    const found = name() ?? fail(`${JSON.stringify(point)} is not expected here`);
    if (!used.has(found)) used.set(found, start);
    return rule(found);
  }

  function counted(node: GrammarNode): GrammarNode {
    let result = node;
    for (;;) {
      const point = points[at];
      if (point === '*') result = repeat(result, 0, null);
      else if (point === '+') result = repeat(result, 1, null);
      else if (point === '?') result = repeat(result, 0, 1);
      else if (point === '{') {
        const bounds = /^\{\s*(\d{1,6})\s*(,\s*(\d{1,6})?\s*)?\}/.exec(points.slice(at, at + 32).join('')) ?? fail('a count is written {n}, {n,} or {n,m}');
        const min = Number(bounds[1]);
        const max = bounds[2] === undefined ? min : bounds[3] === undefined ? null : Number(bounds[3]);
        if (min > MAX_COUNT || (max !== null && (max > MAX_COUNT || max < min))) fail(`the count ${bounds[0]} is out of range`);
        at += bounds[0].length - 1;
        result = repeat(result, min, max);
      } else return result;
      at++;
    }
  }

  function literal(): GrammarNode {
    at++;
    let value = '';
    for (;;) {
      const point = points[at];
      if (point === undefined || point === '\n') fail('a text is not closed');
      if (point === '"') break;
      value += character();
    }
    at++;
    return text(value);
  }

  function set(): GrammarNode {
    at++;
    const negated = points[at] === '^';
    if (negated) at++;
    const ranges: CodePointRange[] = [];
    while (points[at] !== ']') {
      if (points[at] === undefined || points[at] === '\n') fail('a class is not closed');
      const first = character().codePointAt(0)!;
      let last = first;
      if (points[at] === '-' && points[at + 1] !== ']') {
        at++;
        last = character().codePointAt(0)!;
        if (last < first) fail('a range in a class is the wrong way round');
      }
      ranges.push([first, last]);
    }
    at++;
    return { kind: 'class', ranges: negated ? complementRanges(ranges) : normaliseRanges(ranges) };
  }

  function character(): string {
    const point = points[at++]!;
    if (point !== '\\') return point;
    const kind = points[at++] ?? fail('it ends in a backslash');
    const digits = { x: 2, u: 4, U: 8 }[kind];
    if (digits === undefined) return ESCAPES[kind] ?? fail(`\\${kind} is no escape`);
    const value = points.slice(at, at + digits).join('');
    at += digits;
    const number = /^[0-9a-fA-F]+$/.test(value) && value.length === digits ? Number.parseInt(value, 16) : MAX_CODE_POINT + 1;
    if (number > MAX_CODE_POINT || (number >= 0xd800 && number <= 0xdfff)) fail(`\\${kind}${value} is no character`);
    return String.fromCodePoint(number);
  }

  for (blank(true); at < points.length; blank(true)) {
    const start = at;
    const defined = name() ?? fail('the name of a rule is expected');
    blank(false);
    if (points.slice(at, at + 3).join('') !== '::=') fail('::= is expected behind the name of a rule');
    at += 3;
    blank(true);
    if (rules.has(defined)) fail(`the rule ${defined} is defined twice`, start);
    if (rules.size >= MAX_RULES) fail(`it has more than ${MAX_RULES} rules`, start);
    rules.set(defined, EMPTY);
    rules.set(defined, alternatives(false, 0));
    if (points[at] === ')') fail('a group is closed that was not opened');
  }
  for (const [found, where] of used) if (!rules.has(found)) fail(`the rule ${found} is used, but not defined`, where);
  if (!rules.has('root')) throw new HearthError('invalid_value', 'The grammar has no rule root, at which answers begin.', { details: { param: 'grammar' } });
  return { root: rule('root'), rules };
}
